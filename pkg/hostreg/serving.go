package hostreg

import (
	"crypto/x509"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
)

// serving is the serving certificate of this process. It is what an API server reads its
// certificate from, and tells it of a new one.
type serving struct {
	hosts []string

	mu               sync.Mutex // guards the rest
	certificate, key []byte
	parsed           *x509.Certificate
	listeners        []dynamiccertificates.Listener
}

var _ dynamiccertificates.CertKeyContentProvider = &serving{}

// Name implements dynamiccertificates.CertKeyContentProvider.
func (s *serving) Name() string { return "koinon-serving" }

// CurrentCertKeyContent implements dynamiccertificates.CertKeyContentProvider.
func (s *serving) CurrentCertKeyContent() (certificate, key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.certificate, s.key
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
	if s.parsed != nil && !due(s.parsed, now) && trusted.signed(s.parsed) {
		return false, nil
	}
	certificate, key, err := trusted.signer(now).signServing(now, s.hosts)
	if err != nil {
		return false, err
	}
	parsed, err := parseCertificate(certificate)
	if err != nil {
		return false, err
	}
	s.certificate, s.key, s.parsed = certificate, key, parsed
	for _, listener := range s.listeners {
		listener.Enqueue()
	}
	return true, nil
}

// signed says that one of the authorities signed the certificate.
func (a authorities) signed(certificate *x509.Certificate) bool {
	for _, one := range a {
		if certificate.CheckSignatureFrom(one.certificate) == nil {
			return true
		}
	}
	return false
}
