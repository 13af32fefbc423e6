package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

const (
	requestBlock     = "CERTIFICATE REQUEST"
	certificateBlock = "CERTIFICATE"
	keyBlock         = "PRIVATE KEY"
)

// Request is a CSR that was checked.
type Request struct {
	// Name is whom the certificate is to be for; zero if the CSR does not say.
	Name tunnel.Name
	// Key is what it is to certify.
	Key crypto.PublicKey
}

// NewKey makes a key.
func NewKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

// EncodeKey returns a key as PEM, PKCS #8.
func EncodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}

// ParseKey reads a key as EncodeKey writes it.
func ParseKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != keyBlock {
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the private key cannot be read: %w", err)
		}
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
	}
	return nil, errors.New("there is no private key in it")
}

// NewRequest returns a CSR, PEM, for a name; for none if it is zero.
func NewRequest(key crypto.Signer, name tunnel.Name) ([]byte, error) {
	var template x509.CertificateRequest
	if name != (tunnel.Name{}) {
		if err := name.Validate(); err != nil {
			return nil, err
		}
		template.URIs = []*url.URL{name.URI()}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		return nil, fmt.Errorf("make a request for a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: requestBlock, Bytes: der}), nil
}

// subjectAltName is the extension of names.
var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// ParseRequest checks a CSR, PEM. What is cheap comes first: anybody may send one.
func ParseRequest(text []byte) (*Request, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != requestBlock || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("the CSR is not PEM: one block %q is needed, and nothing else", requestBlock)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the CSR cannot be read: %w", err)
	}
	if err := checkKey(csr.PublicKey); err != nil {
		return nil, err
	}
	switch csr.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		return nil, errors.New("the CSR is signed with SHA-1, which is not allowed")
	}
	if len(csr.Subject.Names) > 0 || len(csr.DNSNames)+len(csr.IPAddresses)+len(csr.EmailAddresses) > 0 {
		return nil, errors.New("the CSR asks for a subject or for names of hosts: only the URI of a cluster or a node is signed")
	}
	for _, extension := range csr.Extensions {
		if !extension.Id.Equal(subjectAltName) {
			return nil, fmt.Errorf("the CSR asks for the extension %s, which is not signed: only a name is", extension.Id)
		}
	}
	request := &Request{Key: csr.PublicKey}
	if len(csr.URIs) > 0 {
		if request.Name, err = tunnel.NameOf(&x509.Certificate{URIs: csr.URIs}); err != nil {
			return nil, fmt.Errorf("the CSR is not for an agent: %w", err)
		}
		if len(csr.URIs) > 1 {
			return nil, errors.New("the CSR has more URIs than that of a name")
		}
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the CSR is not signed by the key that it is for: %w", err)
	}
	return request, nil
}

func checkKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits >= 2048 && bits <= 4096 {
			return nil
		}
	}
	return errors.New("the CSR's key is of a kind that is not signed: ECDSA P-256 and P-384, Ed25519, and RSA with 2048 to 4096 bits are")
}

// KeyID names a public key: the SHA-256 of it, in hexadecimal.
func KeyID(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("name a public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// ParseCertificates reads certificates, PEM.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != certificateBlock {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("a certificate cannot be read: %w", err)
		}
		found = append(found, certificate)
	}
	if len(found) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	return found, nil
}

// EncodeCertificates returns certificates as PEM.
func EncodeCertificates(certificates ...*x509.Certificate) []byte {
	var text []byte
	for _, certificate := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: certificate.Raw})...)
	}
	return text
}
