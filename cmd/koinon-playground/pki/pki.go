// Package pki makes the certificates of a cluster on this machine.
//
// An Authority is a key pair in two files of a directory; Issue makes certificates that
// it signs. What exists already is used again, so that calling everything twice is
// harmless. Keys are P-256, files are readable by their owner only.
//
// The certificates last ten years and are never renewed: clusters of the playground do
// not live that long.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const validity = 10 * 365 * 24 * time.Hour

// Authority is a certificate authority.
type Authority struct {
	dir  string
	name string
	cert *x509.Certificate
	key  crypto.Signer
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
	pair := pairOf(dir, name)
	if !exists(pair) {
		template := &x509.Certificate{
			Subject:               pkix.Name{CommonName: commonName},
			IsCA:                  true,
			BasicConstraintsValid: true,
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		}
		if err := issue(pair, template, nil, nil); err != nil {
			return nil, fmt.Errorf("make authority %s: %w", commonName, err)
		}
	}
	cert, key, err := load(pair)
	if err != nil {
		return nil, fmt.Errorf("load authority %s: %w", commonName, err)
	}
	return &Authority{dir: dir, name: name, cert: cert, key: key}, nil
}

// Files returns the files of the authority's own certificate.
func (a *Authority) Files() Pair { return pairOf(a.dir, a.name) }

// Issue makes a certificate for clients and servers, in DIR/NAME.crt and DIR/NAME.key of
// the authority's directory. Hosts are DNS names and IP addresses that it serves.
func (a *Authority) Issue(name string, subject pkix.Name, hosts ...string) (Pair, error) {
	pair := pairOf(a.dir, name)
	if exists(pair) {
		return pair, nil
	}
	template := &x509.Certificate{
		Subject:               subject,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if err := issue(pair, template, a.cert, a.key); err != nil {
		return Pair{}, fmt.Errorf("issue certificate %s: %w", name, err)
	}
	return pair, nil
}

// SigningKey makes the key pair DIR/NAME.key and, its public half, DIR/NAME.pub, as for
// service account tokens. Cert of the result is the public half.
func SigningKey(dir, name string) (Pair, error) {
	pair := Pair{Cert: filepath.Join(dir, name+".pub"), Key: filepath.Join(dir, name+".key")}
	if exists(pair) {
		return pair, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make key %s: %w", name, err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return Pair{}, fmt.Errorf("make key %s: %w", name, err)
	}
	return pair, write(pair, key, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// issue signs the template with the parent, or with itself if there is none.
func issue(pair Pair, template, parent *x509.Certificate, parentKey crypto.Signer) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return err
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(validity)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return err
	}
	return write(pair, key, &pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// write writes the key first: a pair is there once its public half is.
func write(pair Pair, key *ecdsa.PrivateKey, public *pem.Block) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(pair.Key, private, 0o600); err != nil {
		return err
	}
	return os.WriteFile(pair.Cert, pem.EncodeToMemory(public), 0o600)
}

func load(pair Pair) (*x509.Certificate, crypto.Signer, error) {
	certPEM, keyPEM, err := pair.Read()
	if err != nil {
		return nil, nil, err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, nil, fmt.Errorf("%s and %s must hold PEM", pair.Cert, pair.Key)
	}
	cert, certErr := x509.ParseCertificate(certBlock.Bytes)
	key, keyErr := x509.ParseECPrivateKey(keyBlock.Bytes)
	return cert, key, errors.Join(certErr, keyErr)
}

func pairOf(dir, name string) Pair {
	return Pair{Cert: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key")}
}

func exists(pair Pair) bool {
	_, certErr := os.Stat(pair.Cert)
	_, keyErr := os.Stat(pair.Key)
	return certErr == nil && keyErr == nil
}
