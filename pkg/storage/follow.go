package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Revision returns the one that the store is at.
func (s *Store) Revision(ctx context.Context) (revision int64, err error) {
	err = s.read(func(client *clientv3.Client) error {
		answer, err := client.Get(ctx, "\x00", clientv3.WithLimit(1), clientv3.WithKeysOnly())
		if err == nil {
			revision = answer.Header.Revision
		}
		return err
	})
	return revision, err
}

// Keys returns the keys below a prefix that were there at a revision. One that is compacted is an error
// of the API, with the reason Expired.
func (s *Store) Keys(ctx context.Context, prefix string, revision int64) (keys []string, err error) {
	err = s.read(func(client *clientv3.Client) error {
		answer, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithRev(revision))
		if err != nil {
			return err
		}
		for _, kv := range answer.Kvs {
			keys = append(keys, string(kv.Key))
		}
		return nil
	})
	return keys, err
}

// Value returns what a key had at a revision, nil if it was not there. Errors are as those of Keys.
func (s *Store) Value(ctx context.Context, key string, revision int64) (value []byte, err error) {
	err = s.read(func(client *clientv3.Client) error {
		answer, err := client.Get(ctx, key, clientv3.WithRev(revision))
		if err == nil && len(answer.Kvs) > 0 {
			value = answer.Kvs[0].Value
		}
		return err
	})
	return value, err
}

// Follow calls take for each change of a key from one up to, and without, another after a revision: each
// once, in their order. value is nil if the key was deleted, before if it was not there. A call
// without a key says that everything up to a revision was told. Follow returns with ctx, with an error of
// take, or if a change can no longer be told, as it is compacted: that is an error of the API with
// the reason Expired.
func (s *Store) Follow(ctx context.Context, from, end string, after int64, take func(key string, value, before []byte, revision int64) error) error {
	return s.with(ctx, func(client *clientv3.Client) error {
		ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
		defer cancel()
		for answer := range client.Watch(ctx, from, clientv3.WithRange(end), clientv3.WithRev(after+1), clientv3.WithPrevKV(), clientv3.WithProgressNotify()) {
			if err := answer.Err(); err != nil {
				return err
			}
			for _, event := range answer.Events {
				if err := tell(event, take); err != nil {
					return err
				}
			}
			if answer.IsProgressNotify() {
				if err := take("", nil, nil, answer.Header.Revision); err != nil {
					return err
				}
			}
		}
		return ctx.Err()
	})
}

// tell passes an event on. What a key had before may be compacted.
func tell(event *clientv3.Event, take func(key string, value, before []byte, revision int64) error) error {
	var value, before []byte
	if event.Type == clientv3.EventTypePut {
		value = event.Kv.Value
	}
	switch {
	case event.PrevKv != nil:
		before = event.PrevKv.Value
	case !event.IsCreate():
		return rpctypes.ErrCompacted
	}
	return take(string(event.Kv.Key), value, before, event.Kv.ModRevision)
}

// with lends a client of its own.
func (s *Store) with(ctx context.Context, use func(*clientv3.Client) error) error {
	client, err := s.client(ctx)
	if err != nil {
		return fmt.Errorf("make a client of the %s: %w", s, err)
	}
	defer func() { _ = client.Close() }()
	return expired(use(client))
}

// reads is the connection over which a store is read now and then: to make one costs more than most reads.
type reads struct {
	mu     sync.Mutex
	client *clientv3.Client // guarded by mu; nil until it is needed
	closed bool             // guarded by mu
}

// read lends the client of all reads.
func (s *Store) read(use func(*clientv3.Client) error) error {
	client, err := s.reader()
	if err != nil {
		return fmt.Errorf("make a client of the %s: %w", s, err)
	}
	return expired(use(client))
}

func (s *Store) reader() (*clientv3.Client, error) {
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	if s.reads.closed {
		return nil, errClosed
	}
	if s.reads.client == nil {
		client, err := s.client(context.Background()) // it ends with the store
		if err != nil {
			return nil, err
		}
		s.reads.client = client
	}
	return s.reads.client, nil
}

var errClosed = errors.New("the store is closed")

func (r *reads) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed = true; r.client != nil {
		_ = r.client.Close()
	}
}

// expired makes an error of the API of one that says that a revision is compacted.
func expired(err error) error {
	if errors.Is(err, rpctypes.ErrCompacted) {
		return apierrors.NewResourceExpired("the store has no longer what was there at the resource version")
	}
	return err
}
