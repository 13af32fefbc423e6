package storage

import (
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// failure is what is known to be wrong with the store; nil means nothing.
func (s *Store) failure() *fault.Unavailable {
	a := s.answers()
	if err := a.writable(); err != nil {
		return a.failure(err)
	}
	return nil
}

// Readiness is a check for /readyz. It is not one for /livez: a server whose database is
// away is well, and would not get better by being killed.
type Readiness struct {
	store *Store
	// last is what the last check found.
	last atomic.Pointer[fault.Unavailable]
}

// Readiness returns the check.
func (s *Store) Readiness() *Readiness { return &Readiness{store: s} }

// Name implements healthz.HealthChecker.
func (*Readiness) Name() string { return "datastore" }

// Check implements healthz.HealthChecker. It says in one sentence, without credentials, why the
// store cannot be used: it is not there, or it refuses writes. It says where the store is and
// what to do: that is not for everybody. The store is not asked: an embedded one finds out by
// itself, and of an etcd a key is read every second.
func (r *Readiness) Check(*http.Request) error {
	told := r.store.failure()
	r.last.Store(told)
	if told == nil {
		return nil
	}
	return errors.New(told.For(r.store.String()))
}

// Reason is why the last check failed, for people who need not know where the store is;
// empty if it did not.
func (r *Readiness) Reason() string {
	if told := r.last.Load(); told != nil {
		return told.Error()
	}
	return ""
}
