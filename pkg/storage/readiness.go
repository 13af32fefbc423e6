package storage

import (
	"net/http"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/status"
)

// Healthy says in one sentence, without credentials, why the store cannot be used: it is not
// there, or it refuses writes. Nil means that it can. It does not ask the store: an embedded
// one finds out by itself, and of an etcd a key is read every second.
func (s *Store) Healthy() error {
	if s.embedded == nil {
		return s.monitor.err()
	}
	if err := s.embedded.Health(); err != nil {
		return &unhealthy{s.answers().sentence(status.Convert(err).Message())}
	}
	return nil
}

// unhealthy is a sentence about the store, and only that: the cause was logged by whoever
// found it.
type unhealthy struct{ sentence string }

// Error implements error.
func (u *unhealthy) Error() string { return u.sentence }

// Readiness is a check for /readyz. It is not one for /livez: a server whose database is
// away is well, and would not get better by being killed.
type Readiness struct {
	store *Store
	// last is the result of the last check.
	last atomic.Pointer[string]
}

// Readiness returns the check.
func (s *Store) Readiness() *Readiness { return &Readiness{store: s} }

// Name implements healthz.HealthChecker.
func (*Readiness) Name() string { return "datastore" }

// Check implements healthz.HealthChecker.
func (r *Readiness) Check(*http.Request) error {
	err := r.store.Healthy()
	sentence := ""
	if err != nil {
		sentence = err.Error()
	}
	r.last.Store(&sentence)
	return err
}

// Reason is why the last check failed, for people who need not know where the store is;
// empty if it did not.
func (r *Readiness) Reason() string {
	last := r.last.Load()
	if last == nil {
		return ""
	}
	return strings.ReplaceAll(*last, r.store.String(), r.store.datastore.What())
}
