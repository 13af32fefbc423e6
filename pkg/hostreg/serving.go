package hostreg

import (
	"sync"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"

	"github.com/koinon-io/koinon/pkg/pki"
)

// serving is the serving certificate of this process. It is what an API server reads its
// certificate from, and tells it of a new one.
type serving struct {
	hosts []string

	mu        sync.Mutex // guards the rest
	pair      pki.Pair   // without a certificate before the first renew
	key       []byte     // that of the pair, PEM
	listeners []dynamiccertificates.Listener
}

var _ dynamiccertificates.CertKeyContentProvider = &serving{}

// Name implements dynamiccertificates.CertKeyContentProvider.
func (s *serving) Name() string { return "koinon-serving" }

// CurrentCertKeyContent implements dynamiccertificates.CertKeyContentProvider.
func (s *serving) CurrentCertKeyContent() (certificate, key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pair.Certificate == nil {
		return nil, nil
	}
	return s.pair.CertificatePEM(), s.key
}

// AddListener implements dynamiccertificates.Notifier.
func (s *serving) AddListener(listener dynamiccertificates.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, listener)
}

// renew replaces the certificate if it is absent, due, or not trusted by the authorities.
func (s *serving) renew(trusted authorities, now time.Time) (renewed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pair.Certificate != nil && !pki.Due(s.pair.Certificate, now) && trusted.signed(s.pair.Certificate) {
		return false, nil
	}
	pair, err := signServing(trusted.signer(now), now, s.hosts)
	if err != nil {
		return false, err
	}
	key, err := pair.KeyPEM()
	if err != nil {
		return false, err
	}
	s.pair, s.key = pair, key
	for _, listener := range s.listeners {
		listener.Enqueue()
	}
	return true, nil
}
