package hostreg

import (
	"bytes"
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
	"slices"
	"time"
)

const (
	authorityLifetime = 365 * 24 * time.Hour
	servingLifetime   = 30 * 24 * time.Hour
	// signsAfter is how long an authority is only trusted before it signs.
	signsAfter = 24 * time.Hour
	// backdate covers peers whose clock is behind.
	backdate = time.Hour
)

const (
	certificateBlock = "CERTIFICATE"
	keyBlock         = "EC PRIVATE KEY"
)

// authority is a certificate authority with its key.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// authorities are all that are trusted, oldest first.
type authorities []authority

// at returns the authorities as they should be at a time: without expired ones, and with a
// new one when the newest is due. changed says that they are not the same.
func (a authorities) at(now time.Time) (result authorities, changed bool, err error) {
	result = slices.DeleteFunc(slices.Clone(a), func(one authority) bool { return now.After(one.certificate.NotAfter) })
	changed = len(result) != len(a)
	if len(result) > 0 && !due(result[len(result)-1].certificate, now) {
		return result, changed, nil
	}
	one, err := newAuthority(now)
	if err != nil {
		return nil, false, err
	}
	return append(result, one), true, nil
}

// signer is the newest authority that everybody has had time to learn of, or the oldest.
func (a authorities) signer(now time.Time) authority {
	for _, one := range slices.Backward(a) {
		if now.After(one.certificate.NotBefore.Add(backdate + signsAfter)) {
			return one
		}
	}
	return a[0]
}

// trust is the certificates, PEM.
func (a authorities) trust() []byte {
	var out bytes.Buffer
	for _, one := range a {
		out.Write(encodeCertificate(one.certificate.Raw))
	}
	return out.Bytes()
}

// encode is the certificates and keys, PEM.
func (a authorities) encode() ([]byte, error) {
	var out bytes.Buffer
	for _, one := range a {
		key, err := encodeKey(one.key)
		if err != nil {
			return nil, err
		}
		out.Write(encodeCertificate(one.certificate.Raw))
		out.Write(key)
	}
	return out.Bytes(), nil
}

// decodeAuthorities is the inverse of encode. It returns an error unless every certificate
// is followed by its own key.
func decodeAuthorities(data []byte) (authorities, error) {
	var result authorities
	for {
		certificate, rest := pem.Decode(data)
		if certificate == nil {
			break
		}
		var key *pem.Block
		if key, data = pem.Decode(rest); key == nil || certificate.Type != certificateBlock || key.Type != keyBlock {
			return nil, errors.New("a certificate must be followed by its key")
		}
		one, err := parsePair(certificate.Bytes, key.Bytes)
		if err != nil {
			return nil, err
		}
		result = append(result, one)
	}
	if len(result) == 0 {
		return nil, errors.New("there is no authority in it")
	}
	return result, nil
}

func parsePair(certificate, key []byte) (authority, error) {
	var one authority
	var err error
	if one.certificate, err = x509.ParseCertificate(certificate); err != nil {
		return one, err
	}
	if one.key, err = x509.ParseECPrivateKey(key); err != nil {
		return one, err
	}
	if !one.key.PublicKey.Equal(one.certificate.PublicKey) {
		return one, errors.New("a certificate belongs to another key")
	}
	return one, nil
}

func newAuthority(now time.Time) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, fmt.Errorf("make the key of an authority: %w", err)
	}
	template, err := newTemplate(now, authorityLifetime)
	if err != nil {
		return authority{}, err
	}
	// Names differ, so that a verifier never confuses two authorities of one bundle.
	template.Subject = pkix.Name{CommonName: "koinon-serving-ca@" + now.UTC().Format("20060102150405")}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, fmt.Errorf("sign an authority: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	return authority{certificate, key}, err
}

// signServing returns a new serving certificate and its key, PEM. It does not outlive the
// authority.
func (a authority) signServing(now time.Time, hosts []string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a serving key: %w", err)
	}
	if key, err = encodeKey(private); err != nil {
		return nil, nil, err
	}
	template, err := newTemplate(now, servingLifetime)
	if err != nil {
		return nil, nil, err
	}
	if template.NotAfter.After(a.certificate.NotAfter) {
		template.NotAfter = a.certificate.NotAfter
	}
	template.Subject = pkix.Name{CommonName: "koinon"}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames, template.IPAddresses = splitHosts(hosts)
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, private.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a serving certificate: %w", err)
	}
	return encodeCertificate(der), key, nil
}

func newTemplate(now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		NotBefore:    now.Add(-backdate).UTC(),
		NotAfter:     now.Add(lifetime).UTC(),
	}, nil
}

// due says that two thirds of the lifetime have passed.
func due(certificate *x509.Certificate, now time.Time) bool {
	lifetime := certificate.NotAfter.Sub(certificate.NotBefore)
	return now.After(certificate.NotBefore.Add(lifetime / 3 * 2))
}

func splitHosts(hosts []string) (names []string, addresses []net.IP) {
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			addresses = append(addresses, ip)
			continue
		}
		names = append(names, host)
	}
	return names, addresses
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}
