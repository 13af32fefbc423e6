package servingcert

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"

	"github.com/koinon-io/koinon/pkg/keypair"
)

// Certificate is the serving certificate of this process. It is what an API server reads its
// certificate from, and tells it of a new one; GetCertificate is for everybody else. Its
// methods may be called concurrently.
type Certificate struct {
	hosts    []string
	lifetime time.Duration

	mu        sync.Mutex   // guards the rest
	pair      keypair.Pair // without a certificate before the first renew
	key       []byte       // that of the pair, PEM
	trust     []byte       // the authorities, PEM
	listeners []dynamiccertificates.Listener
}

var _ dynamiccertificates.CertKeyContentProvider = &Certificate{}

// Name implements dynamiccertificates.CertKeyContentProvider.
func (c *Certificate) Name() string { return "koinon-serving" }

// CurrentCertKeyContent implements dynamiccertificates.CertKeyContentProvider.
func (c *Certificate) CurrentCertKeyContent() (certificate, key []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair.Certificate == nil {
		return nil, nil
	}
	return c.pair.CertificatePEM(), c.key
}

// AddListener implements dynamiccertificates.Notifier.
func (c *Certificate) AddListener(listener dynamiccertificates.Listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners = append(c.listeners, listener)
}

// GetCertificate is for a tls.Config: each connection gets the certificate of its time.
func (c *Certificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair.Certificate == nil {
		return nil, errors.New("there is no serving certificate yet")
	}
	return &tls.Certificate{Certificate: [][]byte{c.pair.Certificate.Raw}, PrivateKey: c.pair.Key, Leaf: c.pair.Certificate}, nil
}

// Trust is the authorities that whoever connects has to trust, PEM; nil before there is a certificate.
func (c *Certificate) Trust() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trust
}

// NotAfter is when the certificate ends; the zero time before there is one.
func (c *Certificate) NotAfter() time.Time {
	if leaf := c.leaf(); leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// leaf is the certificate, nil before there is one.
func (c *Certificate) leaf() *x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pair.Certificate
}

// renew replaces the certificate if it is absent, due, or of none of the authorities.
func (c *Certificate) renew(known authorities, signer keypair.Pair, now time.Time) (renewed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trust = known.trust()
	if c.pair.Certificate != nil && !keypair.Due(c.pair.Certificate, now) && len(known.signed(c.pair.Certificate)) > 0 {
		return false, nil
	}
	pair, err := signer.Issue(keypair.Leaf{
		Subject: pkix.Name{CommonName: "koinon"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, Hosts: c.hosts, Lifetime: c.lifetime,
	}, now)
	if err != nil {
		return false, fmt.Errorf("renew the serving certificate: %w", err)
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return false, err
	}
	c.pair, c.key = pair, key
	for _, listener := range c.listeners {
		listener.Enqueue()
	}
	return true, nil
}
