package servingcert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"time"

	certutil "k8s.io/client-go/util/cert"

	"github.com/koinon-io/koinon/pkg/keypair"
)

const (
	authorityLifetime = 365 * 24 * time.Hour
	// signsAfter is how long an authority is only trusted before it signs: longer than the seven days of a certificate
	// of the tunnel's agents, which are told of authorities with that.
	signsAfter = 8 * 24 * time.Hour
)

// authorities are all that are trusted, oldest first.
type authorities []keypair.Pair

// at returns the authorities as they should be at a time: without expired ones, and with a
// new one when the newest is due.
func (a authorities) at(now time.Time) (authorities, error) {
	result := slices.DeleteFunc(slices.Clone(a), func(one keypair.Pair) bool { return now.After(one.Certificate.NotAfter) })
	if len(result) > 0 && !keypair.Due(result[len(result)-1].Certificate, now) {
		return result, nil
	}
	// Names differ, so that a verifier never confuses two authorities of one bundle.
	one, err := keypair.NewAuthority("koinon-serving-ca@"+now.UTC().Format("20060102150405"), now, authorityLifetime)
	if err != nil {
		return nil, err
	}
	return append(result, one), nil
}

// with returns the authorities and others that signed a certificate which is still served, in
// the order of their age.
func (a authorities) with(others authorities) authorities {
	result := slices.Clone(a)
	for _, one := range others {
		if !slices.ContainsFunc(result, func(known keypair.Pair) bool { return known.Certificate.Equal(one.Certificate) }) {
			result = append(result, one)
		}
	}
	slices.SortStableFunc(result, func(x, y keypair.Pair) int { return x.Certificate.NotBefore.Compare(y.Certificate.NotBefore) })
	return result
}

// signer is the newest of those that callers were told of and every replica has had time to
// read. One whose elder ends by then needs no such time: nothing else will be left. If
// there is none, it is the oldest that they were told of; and when nobody knows whom callers
// trust, as at a start, the oldest.
func (a authorities) signer(now time.Time, trusted func(keypair.Pair) bool) keypair.Pair {
	told := slices.DeleteFunc(slices.Clone(a), func(one keypair.Pair) bool { return !trusted(one) })
	if len(told) == 0 {
		return a[0]
	}
	for i := len(told) - 1; i > 0; i-- {
		if now.After(told[i].Issued().Add(signsAfter)) || now.Add(signsAfter).After(told[i-1].Certificate.NotAfter) {
			return told[i]
		}
	}
	return told[0]
}

// signed returns those that signed the certificate, at most one.
func (a authorities) signed(certificate *x509.Certificate) authorities {
	if certificate == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(a), func(one keypair.Pair) bool { return certificate.CheckSignatureFrom(one.Certificate) != nil })
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
		one, err := keypair.ParsePair(pem.EncodeToMemory(certificate), pem.EncodeToMemory(key))
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
