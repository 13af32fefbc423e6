// Package keypair makes, signs and reads certificates with their keys, ECDSA P-256. It reads all keys that Kubernetes does, and keeps none: where they are is the caller's business.
//
// Its functions may be called concurrently.
package keypair

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"
)

// backdate covers peers whose clock is behind.
const backdate = time.Hour

// What blocks of PEM are called.
const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
	ecKeyBlock       = "EC PRIVATE KEY"
	rsaKeyBlock      = "RSA PRIVATE KEY"
)

// Pair is a certificate with its key.
type Pair struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// Leaf says what a certificate is for that signs no others.
type Leaf struct {
	Subject pkix.Name
	// Usages are x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth or both.
	Usages []x509.ExtKeyUsage
	// Hosts are the DNS names and IP addresses of a server.
	Hosts []string
	// URIs are in it, too.
	URIs []*url.URL
	// Lifetime begins now, but does not outlive the authority.
	Lifetime time.Duration
}

// NewKey makes a key, ECDSA P-256.
func NewKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

// SignAuthority makes a certificate for an authority, which the key signs itself. With an old
// key and the old name, what was signed before stays valid.
func SignAuthority(commonName string, key crypto.Signer, now time.Time, lifetime time.Duration) (Pair, error) {
	template, err := newTemplate(pkix.Name{CommonName: commonName}, now, lifetime)
	if err != nil {
		return Pair{}, err
	}
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	return sign(template, key, Pair{template, key})
}

// NewAuthority makes an authority with a new key.
func NewAuthority(commonName string, now time.Time, lifetime time.Duration) (Pair, error) {
	key, err := NewKey()
	if err != nil {
		return Pair{}, err
	}
	return SignAuthority(commonName, key, now, lifetime)
}

// Issue is Sign with a new key.
func (p Pair) Issue(leaf Leaf, now time.Time) (Pair, error) {
	key, err := NewKey()
	if err != nil {
		return Pair{}, err
	}
	return p.Sign(leaf, key, now)
}

// Sign makes a certificate for a key, signed by the authority p.
func (p Pair) Sign(leaf Leaf, key crypto.Signer, now time.Time) (Pair, error) {
	template, err := newTemplate(leaf.Subject, now, leaf.Lifetime)
	if err != nil {
		return Pair{}, err
	}
	if template.NotAfter.After(p.Certificate.NotAfter) {
		template.NotAfter = p.Certificate.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = leaf.Usages
	template.URIs = leaf.URIs
	for _, host := range leaf.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, host)
	}
	return sign(template, key, p)
}

func newTemplate(subject pkix.Name, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		Subject:               subject,
		NotBefore:             now.Add(-backdate).UTC(),
		NotAfter:              now.Add(lifetime).UTC(),
		BasicConstraintsValid: true,
	}, nil
}

// sign signs the template, for the owner of key.
func sign(template *x509.Certificate, key crypto.Signer, issuer Pair) (Pair, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.Certificate, key.Public(), issuer.Key)
	if err != nil {
		return Pair{}, fmt.Errorf("sign a certificate for %q: %w", template.Subject, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return Pair{}, fmt.Errorf("read the certificate for %q: %w", template.Subject, err)
	}
	return Pair{certificate, key}, nil
}

// Issued is when the certificate was made. It begins to be valid a little earlier, for peers
// whose clock is behind.
func (p Pair) Issued() time.Time { return issued(p.Certificate) }

func issued(certificate *x509.Certificate) time.Time { return certificate.NotBefore.Add(backdate) }

// Due says that it is time to renew a certificate that was made here: two thirds of its life
// have passed. It is due too if it is from the future.
func Due(certificate *x509.Certificate, now time.Time) bool {
	return now.After(RenewAt(certificate)) || now.Before(certificate.NotBefore)
}

// RenewAt is when a certificate that was made here is due.
func RenewAt(certificate *x509.Certificate) time.Time {
	issued := issued(certificate)
	return issued.Add(certificate.NotAfter.Sub(issued) / 3 * 2)
}

// CertificatePEM is the certificate, encoded.
func (p Pair) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: p.Certificate.Raw})
}

// KeyPEM is the key, encoded.
func (p Pair) KeyPEM() ([]byte, error) { return EncodeKey(p.Key) }

// EncodeKey returns a key, ECDSA or RSA, as PEM: in the forms that client-go writes.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("encode a key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: ecKeyBlock, Bytes: der}), nil
	case *rsa.PrivateKey:
		return pem.EncodeToMemory(&pem.Block{Type: rsaKeyBlock, Bytes: x509.MarshalPKCS1PrivateKey(key)}), nil
	}
	return nil, fmt.Errorf("encode a key: a %T is not written: ECDSA and RSA are", key)
}

// ParsePair reads a certificate and its key, both PEM; they may be in one file. The error is
// one of those of ParseKey, or says what is wrong with the certificate or that it belongs to
// another key.
func ParsePair(certificate, key []byte) (Pair, error) {
	var pair Pair
	var err error
	if pair.Key, err = ParseKey(key); err != nil {
		return Pair{}, err
	}
	if pair.Certificate, err = ParseCertificate(certificate); err != nil {
		return Pair{}, err
	}
	if !pair.Matches() {
		return Pair{}, ErrOtherKey
	}
	return pair, nil
}

// ErrOtherKey is that a certificate and a key do not belong together. It is the rest of a sentence that begins with the certificate.
var ErrOtherKey = errors.New("belongs to another key")

// What may be wrong with PEM.
var (
	errEmpty     = errors.New("is empty, as after a crash or on a full disk")
	errNoKey     = errors.New("holds no private key")
	errEncrypted = errors.New("holds a private key that is encrypted with a passphrase, which this server cannot ask for")
	errNoCert    = errors.New("holds no certificate")
)

// ParseKey reads a private key, PEM. Its errors are the rest of a sentence that begins with
// the file.
func ParseKey(data []byte) (crypto.Signer, error) {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errEmpty
	case bytes.Contains(data, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----")), bytes.Contains(data, []byte("Proc-Type: 4,ENCRYPTED")):
		return nil, errEncrypted
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if signer, ok := parseKeyBlock(block).(crypto.Signer); ok {
			return signer, nil
		}
	}
	return nil, errNoKey
}

// parseKeyBlock returns the private key of a block; nil if it holds none that can be read.
func parseKeyBlock(block *pem.Block) (key any) {
	var err error
	switch block.Type {
	case ecKeyBlock:
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case rsaKeyBlock:
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case keyBlock:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil
	}
	return key
}

// ParseCertificate reads the first certificate, PEM. Its errors are the rest of a sentence
// that begins with the file.
func ParseCertificate(data []byte) (*x509.Certificate, error) {
	certificates, err := ParseCertificates(data)
	if err != nil {
		return nil, err
	}
	return certificates[0], nil
}

// ParseCertificates reads all certificates, PEM: at least one. Its errors are as those of ParseCertificate.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errEmpty
	}
	var found []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != certificateBlock || len(block.Headers) != 0 {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errNoCert
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, errNoCert
	}
	return found, nil
}

// Matches says that the key is that of the certificate.
func (p Pair) Matches() bool {
	public, ok := p.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(p.Certificate.PublicKey)
}
