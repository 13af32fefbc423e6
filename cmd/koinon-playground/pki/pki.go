// Package pki keeps the certificates of a cluster on this machine.
//
// An Authority is a key pair in two files of a directory; Issue makes certificates that
// it signs. What exists already is used again, so that calling everything twice is
// harmless. Files are readable by their owner only, and keys are never replaced.
//
// The certificates last ten years and are never renewed: clusters of the playground do
// not live that long.
package pki

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/util/keyutil"

	"github.com/koinon-io/koinon/pkg/durable"
	"github.com/koinon-io/koinon/pkg/keypair"
)

const validity = 10 * 365 * 24 * time.Hour

// Authority is a certificate authority.
type Authority struct {
	dir, name string
	pair      keypair.Pair
}

// Pair names the two PEM files of a certificate.
type Pair struct {
	Cert, Key string
}

// Read returns the PEM of both files.
func (p Pair) Read() (cert, key []byte, err error) {
	if cert, err = os.ReadFile(p.Cert); err != nil {
		return nil, nil, fmt.Errorf("read certificate: %w", err)
	}
	if key, err = os.ReadFile(p.Key); err != nil {
		return nil, nil, fmt.Errorf("read key: %w", err)
	}
	return cert, key, nil
}

// NewAuthority makes the authority DIR/NAME.crt and DIR/NAME.key, or loads it.
func NewAuthority(dir, name, commonName string) (*Authority, error) {
	files := pairOf(dir, name)
	pair, err := loadOrMake(files, func(key crypto.Signer) (keypair.Pair, error) {
		return keypair.SignAuthority(commonName, key, time.Now(), validity)
	})
	if err != nil {
		return nil, fmt.Errorf("authority %s: %w", commonName, err)
	}
	return &Authority{dir: dir, name: name, pair: pair}, nil
}

// Files returns the files of the authority's own certificate.
func (a *Authority) Files() Pair { return pairOf(a.dir, a.name) }

// Issue makes a certificate for clients and servers, in DIR/NAME.crt and DIR/NAME.key of
// the authority's directory. Hosts are DNS names and IP addresses that it serves.
func (a *Authority) Issue(name string, subject pkix.Name, hosts ...string) (Pair, error) {
	files := pairOf(a.dir, name)
	_, err := loadOrMake(files, func(key crypto.Signer) (keypair.Pair, error) {
		return a.pair.Sign(keypair.Leaf{
			Subject: subject, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, Hosts: hosts, Lifetime: validity,
		}, key, time.Now())
	})
	if err != nil {
		return Pair{}, fmt.Errorf("certificate %s: %w", name, err)
	}
	return files, nil
}

// SigningKey makes the key pair DIR/NAME.key and, its public half, DIR/NAME.pub, as for
// service account tokens. Cert of the result is the public half.
func SigningKey(dir, name string) (Pair, error) {
	files := Pair{Cert: filepath.Join(dir, name+".pub"), Key: filepath.Join(dir, name+".key")}
	key, err := loadOrMakeKey(files.Key)
	if err != nil {
		return Pair{}, err
	}
	if _, err := os.Stat(files.Cert); err == nil {
		return files, nil
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return Pair{}, fmt.Errorf("encode the public half of %s: %w", files.Key, err)
	}
	return files, durable.WriteFile(files.Cert, pem.EncodeToMemory(&pem.Block{Type: keyutil.PublicKeyBlockType, Bytes: der}), 0o600)
}

// loadOrMake reads a pair, or signs one if there is no certificate. The key is written first:
// after a kill between the two it is used again.
func loadOrMake(files Pair, sign func(crypto.Signer) (keypair.Pair, error)) (keypair.Pair, error) {
	certificate, err := os.ReadFile(files.Cert)
	if err == nil {
		key, err := os.ReadFile(files.Key)
		if err != nil {
			return keypair.Pair{}, err
		}
		pair, err := keypair.ParsePair(certificate, key)
		if err != nil {
			return keypair.Pair{}, fmt.Errorf("%s or its key %w", files.Cert, err)
		}
		return pair, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return keypair.Pair{}, err
	}
	key, err := loadOrMakeKey(files.Key)
	if err != nil {
		return keypair.Pair{}, err
	}
	pair, err := sign(key)
	if err != nil {
		return keypair.Pair{}, err
	}
	return pair, durable.WriteFile(files.Cert, pair.CertificatePEM(), 0o600)
}

func loadOrMakeKey(file string) (crypto.Signer, error) {
	data, err := os.ReadFile(file)
	if err == nil {
		key, err := keypair.ParseKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s %w", file, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := keypair.NewKey()
	if err != nil {
		return nil, err
	}
	encoded, err := keypair.EncodeKey(key)
	if err != nil {
		return nil, err
	}
	return key, durable.WriteFile(file, encoded, 0o600)
}

func pairOf(dir, name string) Pair {
	return Pair{Cert: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key")}
}
