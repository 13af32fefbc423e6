package authority

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/url"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
)

// serverLifetime is that of a certificate with which servers know each other; it is replaced after half of it.
const serverLifetime = 24 * time.Hour

// Peer is the certificate of one server for others, which it signs itself and keeps in memory. It may be used concurrently.
type Peer struct {
	authority *Authority
	uri       *url.URL

	mu sync.Mutex
	// What follows is guarded by mu.

	certificate *tls.Certificate
	renew       time.Time
}

// Peer returns that of the server with an id.
func (a *Authority) Peer(id string) (*Peer, error) {
	uri, err := tunnel.ServerURI(id)
	if err != nil {
		return nil, err
	}
	return &Peer{authority: a, uri: uri}, nil
}

// TLS returns the certificate, and the authority that has signed those of others.
func (p *Peer) TLS() (*tls.Certificate, *x509.CertPool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	issuer, _, err := p.authority.config.Signer()
	if err != nil {
		return nil, nil, fmt.Errorf("the authority of agents: %w", err)
	}
	if now := p.authority.config.Now(); p.certificate == nil || !now.Before(p.renew) {
		if err := p.sign(now); err != nil {
			return nil, nil, err
		}
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(issuer)
	return p.certificate, trusted, nil
}

// sign makes a certificate with a new key. mu must be held.
func (p *Peer) sign(now time.Time) error {
	issuer, signer, err := p.authority.config.Signer()
	if err != nil {
		return fmt.Errorf("the authority of agents: %w", err)
	}
	key, err := identity.NewKey()
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("choose a serial number: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), URIs: []*url.URL{p.uri}, BasicConstraintsValid: true,
		NotBefore: now.Add(-Backdate).UTC(), NotAfter: earlier(now.Add(serverLifetime), issuer.NotAfter).UTC(),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, issuer, key.Public(), signer)
	if err != nil {
		return fmt.Errorf("sign the certificate of this server: %w", err)
	}
	p.certificate, p.renew = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, now.Add(serverLifetime/2)
	return nil
}
