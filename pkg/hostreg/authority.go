package hostreg

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"slices"
	"time"

	certutil "k8s.io/client-go/util/cert"

	"github.com/koinon-io/koinon/pkg/pki"
)

const (
	authorityLifetime = 365 * 24 * time.Hour
	servingLifetime   = 30 * 24 * time.Hour
	// signsAfter is how long an authority is only trusted before it signs.
	signsAfter = 24 * time.Hour
)

// authorities are all that are trusted, oldest first.
type authorities []pki.Pair

// at returns the authorities as they should be at a time: without expired ones, and with a
// new one when the newest is due. changed says that they are not the same.
func (a authorities) at(now time.Time) (result authorities, changed bool, err error) {
	result = slices.DeleteFunc(slices.Clone(a), func(one pki.Pair) bool { return now.After(one.Certificate.NotAfter) })
	changed = len(result) != len(a)
	if len(result) > 0 && !pki.Due(result[len(result)-1].Certificate, now) {
		return result, changed, nil
	}
	// Names differ, so that a verifier never confuses two authorities of one bundle.
	one, err := pki.NewAuthority("koinon-serving-ca@"+now.UTC().Format("20060102150405"), now, authorityLifetime)
	if err != nil {
		return nil, false, err
	}
	return append(result, one), true, nil
}

// signer is the newest authority that everybody has had time to learn of, or the oldest.
func (a authorities) signer(now time.Time) pki.Pair {
	for _, one := range slices.Backward(a) {
		if now.After(one.Issued().Add(signsAfter)) {
			return one
		}
	}
	return a[0]
}

// signed says that one of the authorities signed the certificate.
func (a authorities) signed(certificate *x509.Certificate) bool {
	return slices.ContainsFunc(a, func(one pki.Pair) bool { return certificate.CheckSignatureFrom(one.Certificate) == nil })
}

// signServing returns a new serving certificate.
func signServing(authority pki.Pair, now time.Time, hosts []string) (pki.Pair, error) {
	return authority.Issue(pki.Leaf{
		Subject: pkix.Name{CommonName: "koinon"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, Hosts: hosts, Lifetime: servingLifetime,
	}, now)
}

// trust is the certificates, PEM.
func (a authorities) trust() []byte {
	var out bytes.Buffer
	for _, one := range a {
		out.Write(one.CertificatePEM())
	}
	return out.Bytes()
}

// encode is the certificates and keys, PEM.
func (a authorities) encode() ([]byte, error) {
	var out bytes.Buffer
	for _, one := range a {
		key, err := one.KeyPEM()
		if err != nil {
			return nil, err
		}
		out.Write(one.CertificatePEM())
		out.Write(key)
	}
	return out.Bytes(), nil
}

var errUnpaired = errors.New("has a certificate that is not followed by its key")

// decodeAuthorities is the inverse of encode. It returns an error unless every certificate
// is followed by its own key; the error is the end of a sentence.
func decodeAuthorities(data []byte) (authorities, error) {
	var result authorities
	for len(bytes.TrimSpace(data)) > 0 {
		certificate, rest := pem.Decode(data)
		if certificate == nil || certificate.Type != certutil.CertificateBlockType {
			return nil, errUnpaired
		}
		key, after := pem.Decode(rest)
		if key == nil {
			return nil, errUnpaired
		}
		one, err := pki.ParsePair(pem.EncodeToMemory(certificate), pem.EncodeToMemory(key))
		if err != nil {
			return nil, err
		}
		result, data = append(result, one), after
	}
	if len(result) == 0 {
		return nil, errors.New("is absent or empty")
	}
	return result, nil
}
