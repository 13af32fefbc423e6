package enroll

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
)

// held is a certificate and its key.
type held struct {
	chain []*x509.Certificate // the agent's first
	key   crypto.Signer
	name  tunnel.Name
}

func newHeld(chain []*x509.Certificate, key crypto.Signer) (*held, error) {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(chain[0].PublicKey) {
		return nil, errors.New("the certificate is for another key")
	}
	name, err := tunnel.NameOf(chain[0])
	if err != nil {
		return nil, err
	}
	return &held{chain, key, name}, nil
}

// parseHeld reads what encode returns.
func parseHeld(text []byte) (*held, error) {
	key, err := identity.ParseKey(text)
	if err != nil {
		return nil, err
	}
	chain, err := identity.ParseCertificates(text)
	if err != nil {
		return nil, err
	}
	return newHeld(chain, key)
}

func (h *held) encode() ([]byte, error) {
	key, err := identity.EncodeKey(h.key)
	if err != nil {
		return nil, err
	}
	return append(identity.EncodeCertificates(h.chain...), key...), nil
}

func (h *held) tls() tls.Certificate {
	certificate := tls.Certificate{PrivateKey: h.key, Leaf: h.chain[0]}
	for _, c := range h.chain {
		certificate.Certificate = append(certificate.Certificate, c.Raw)
	}
	return certificate
}

// newer reports whether a certificate is to be used instead of another, which may be nil.
func (h *held) newer(than *held) bool {
	return than == nil || h.chain[0].NotAfter.After(than.chain[0].NotAfter)
}

// expired returns why the certificate is not to be used any more, or nil.
func (h *held) expired(now time.Time) error {
	if until := h.chain[0].NotAfter; now.After(until) {
		return fmt.Errorf("the certificate of this agent of %s was good until %s, and this machine's clock says %s: unless the clock is wrong, "+
			"a new token is needed; kubectl koinon agent makes one", h.name, stamp(until), stamp(now))
	}
	return nil
}

// due is when a certificate is to be renewed: between 60 and 80 % of its life, each at a time of its own, so that agents that began
// together do not renew together.
func (h *held) due() time.Time {
	leaf := h.chain[0]
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	random := new(big.Int).Mod(leaf.SerialNumber, big.NewInt(1000)).Int64()
	return leaf.NotBefore.Add(life*6/10 + life/5000*time.Duration(random))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
