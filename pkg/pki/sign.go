package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
)

// pair is a certificate with its key.
type pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "EC PRIVATE KEY"
)

// writeNewKey makes a key and writes it to name.
func (p *PKI) writeNewKey(name string) (*ecdsa.PrivateKey, error) {
	key, encoded, err := newKey()
	if err != nil {
		return nil, err
	}
	if err := writeFile(p.path(name), encoded, 0o600); err != nil {
		return nil, err
	}
	return key, nil
}

// signAuthority writes a certificate that key signs for itself.
func (p *PKI) signAuthority(a authority, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	template, err := p.template(a.commonName, nil)
	if err != nil {
		return nil, err
	}
	template.NotAfter = template.NotBefore.Add(authorityLifetime)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority %s: %w", a.name, err)
	}
	if err := writeFile(p.path(a.name+".crt"), encodeCertificate(der), 0o644); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// signLeaf writes a new certificate with a new key.
func (p *PKI) signLeaf(l leaf, issuer *pair) error {
	key, encodedKey, err := newKey()
	if err != nil {
		return err
	}
	template, err := p.template(l.commonName, l.organization)
	if err != nil {
		return err
	}
	template.NotAfter = template.NotBefore.Add(leafLifetime)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{l.usage}
	if l.usage == x509.ExtKeyUsageServerAuth {
		template.DNSNames, template.IPAddresses = splitHosts(p.config.Hosts)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.certificate, key.Public(), issuer.key)
	if err != nil {
		return fmt.Errorf("sign %s: %w", l.file, err)
	}
	return writeFile(p.path(l.file), append(encodeCertificate(der), encodedKey...), 0o600)
}

func (p *PKI) template(commonName string, organization []string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: commonName, Organization: organization},
		NotBefore:    p.config.Clock.Now().Add(-backdate).UTC(),
	}, nil
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a key: %w", err)
	}
	return key, encodeKey(der), nil
}

func encodeKey(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der})
}

func readCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseCertificate(data)
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseKey(data)
}

// readPair reads a leaf file; the halves must belong together.
func readPair(path string) (*pair, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	certificate, err := parseCertificate(data)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, err
	}
	if !sameKey(certificate, key) {
		return nil, errors.New("the certificate belongs to another key")
	}
	return &pair{certificate, key}, nil
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	block := findBlock(data, certificateBlock)
	if block == nil {
		return nil, errors.New("the file holds no certificate")
	}
	return x509.ParseCertificate(block)
}

func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	block := findBlock(data, keyBlock)
	if block == nil {
		return nil, errors.New("the file holds no key")
	}
	return x509.ParseECPrivateKey(block)
}

func findBlock(data []byte, kind string) []byte {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil
		}
		if block.Type == kind {
			return block.Bytes
		}
	}
}

func sameKey(certificate *x509.Certificate, key *ecdsa.PrivateKey) bool {
	return key.PublicKey.Equal(certificate.PublicKey)
}
