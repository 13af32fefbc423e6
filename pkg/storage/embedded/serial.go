package embedded

import (
	"context"

	"github.com/k3s-io/kine/pkg/server"
)

// serialBackend lets one writer at a time through to a database that has one write lock.
// SQLite's own way of waiting for the lock is to sleep and try again, which at 64 writers
// costs some of them more than a second; here they queue.
type serialBackend struct {
	server.Backend
	// writer holds one token while nobody writes.
	writer chan struct{}
}

func newSerialBackend(backend server.Backend) *serialBackend {
	s := &serialBackend{Backend: backend, writer: make(chan struct{}, 1)}
	s.writer <- struct{}{}
	return s
}

// acquire waits for the token; the caller gives it back with release.
func (s *serialBackend) acquire(ctx context.Context) error {
	select {
	case <-s.writer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *serialBackend) release() { s.writer <- struct{}{} }

// Create implements server.Backend.
func (s *serialBackend) Create(ctx context.Context, key string, value []byte, lease int64) (int64, error) {
	if err := s.acquire(ctx); err != nil {
		return 0, err
	}
	defer s.release()
	return s.Backend.Create(ctx, key, value, lease)
}

// Update implements server.Backend.
func (s *serialBackend) Update(ctx context.Context, key string, value []byte, revision, lease int64) (int64, *server.KeyValue, bool, error) {
	if err := s.acquire(ctx); err != nil {
		return 0, nil, false, err
	}
	defer s.release()
	return s.Backend.Update(ctx, key, value, revision, lease)
}

// Delete implements server.Backend.
func (s *serialBackend) Delete(ctx context.Context, key string, revision int64) (int64, *server.KeyValue, bool, error) {
	if err := s.acquire(ctx); err != nil {
		return 0, nil, false, err
	}
	defer s.release()
	return s.Backend.Delete(ctx, key, revision)
}
