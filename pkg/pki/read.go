package pki

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/koinon-io/koinon/pkg/keypair"
)

// damaged adds to what is wrong with a key what to do.
func (p *PKI) damaged(problem error) error {
	return fmt.Errorf("%w: restore the directory %s from a backup. It is not replaced, since every kubeconfig and token would be invalid: to have that, move the directory away", problem, p.config.Dir)
}

// readAuthority reads both files of an authority. If a file is absent, the error is
// fs.ErrNotExist; in any case it is the beginning of a sentence.
func (p *PKI) readAuthority(a authority) (keypair.Pair, error) {
	key, err := p.readKey(a.keyFile())
	if err != nil {
		return keypair.Pair{}, err
	}
	data, err := p.read(a.certificateFile())
	if err != nil {
		return keypair.Pair{}, err
	}
	pair := keypair.Pair{Key: key}
	if pair.Certificate, err = keypair.ParseCertificate(data); err != nil {
		return keypair.Pair{}, fmt.Errorf("%s %w", p.path(a.certificateFile()), err)
	}
	if !pair.Matches() {
		return keypair.Pair{}, fmt.Errorf("%s %w than %s", p.path(a.certificateFile()), keypair.ErrOtherKey, p.path(a.keyFile()))
	}
	if !pair.Certificate.IsCA {
		return keypair.Pair{}, fmt.Errorf("%s is not the certificate of an authority", p.path(a.certificateFile()))
	}
	return pair, nil
}

func (p *PKI) readKey(name string) (crypto.Signer, error) {
	data, err := p.read(name)
	if err != nil {
		return nil, err
	}
	key, err := keypair.ParseKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s %w", p.path(name), err)
	}
	return key, nil
}

// readLeaf reads a certificate with its key.
func (p *PKI) readLeaf(l leaf) (keypair.Pair, error) {
	data, err := p.read(l.file)
	if err != nil {
		return keypair.Pair{}, err
	}
	return keypair.ParsePair(data, data)
}

// read reads a file. Its error says in a few words that the file is absent, or why it cannot
// be read.
func (p *PKI) read(name string) ([]byte, error) {
	data, err := os.ReadFile(p.path(name))
	switch {
	case err == nil:
		return data, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s is missing (%w)", p.path(name), fs.ErrNotExist)
	}
	var reason *fs.PathError
	if errors.As(err, &reason) {
		err = reason.Err // the path is in the sentence already
	}
	return nil, fmt.Errorf("%s cannot be read (%w)", p.path(name), err)
}
