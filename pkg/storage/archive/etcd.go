package archive

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
)

const (
	// etcdKeys is how many keys one request lists without values, etcdValues how many with
	// them.
	etcdKeys   = 5000
	etcdValues = 32
	// etcdTimeout bounds one request.
	etcdTimeout = 30 * time.Second
	// keysPerLease is how many keys share a lease, as API servers do it.
	keysPerLease = 1000
)

// API servers remember under these keys how far they have compacted: in etcd under the first,
// in a store behind Kine's front under the second. It means nothing to another store.
const (
	compactionOfEtcd = "compact_rev_key"
	compactionOfKine = "compact_rev_key_apiserver"
)

// etcdSource is the contents of an etcd.
type etcdSource struct {
	client   *clientv3.Client
	name     string
	revision int64
	keys     []*mvccpb.KeyValue
	// leases are the lifetimes that were granted, by the lease.
	leases map[int64]int64
}

// FromEtcd returns the contents of an etcd as they are now. Memory is needed for the keys.
// etcd has to have the revision until all is read: API servers compact after five to ten
// minutes. The client is not closed.
func FromEtcd(ctx context.Context, client *clientv3.Client, name string, progress *Progress) (Source, error) {
	progress.Begin("Reading the keys of the "+name, 0)
	s := &etcdSource{client: client, name: name, leases: map[int64]int64{}}
	var err error
	s.revision, err = eachPage(ctx, client, func(kvs []*mvccpb.KeyValue) error {
		for _, kv := range kvs {
			switch string(kv.Key) {
			case compactionOfEtcd:
				continue
			case datastore.UnfinishedKey:
				return fmt.Errorf("the %s has only a part of what was to be copied into it", name)
			}
			s.keys = append(s.keys, kv)
		}
		progress.Add(int64(len(kvs)), 0)
		return nil
	}, clientv3.WithKeysOnly(), clientv3.WithLimit(etcdKeys))
	if err != nil {
		return nil, s.failed(err)
	}
	s.order()
	return s, nil
}

// order sorts the keys by revision. Keys that were written in one transaction, which API
// servers never do, have the same: the earlier ones of them get revisions below.
func (s *etcdSource) order() {
	slices.SortFunc(s.keys, func(a, b *mvccpb.KeyValue) int {
		return cmp.Or(cmp.Compare(a.ModRevision, b.ModRevision), bytes.Compare(a.Key, b.Key))
	})
	for i := len(s.keys) - 2; i >= 0; i-- {
		s.keys[i].ModRevision = min(s.keys[i].ModRevision, s.keys[i+1].ModRevision-1)
		s.keys[i].CreateRevision = min(s.keys[i].CreateRevision, s.keys[i].ModRevision)
	}
}

// eachPage lists all keys at one revision, which it returns.
func eachPage(ctx context.Context, client *clientv3.Client, each func([]*mvccpb.KeyValue) error, options ...clientv3.OpOption) (int64, error) {
	var revision int64
	for start := "\x00"; ; {
		page, err := get(ctx, client, start, append(options, clientv3.WithFromKey(), clientv3.WithRev(revision))...)
		if err != nil {
			return 0, err
		}
		if revision == 0 {
			revision = page.Header.Revision
		}
		if len(page.Kvs) > 0 {
			start = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
		}
		if err := each(page.Kvs); err != nil || !page.More {
			return revision, err
		}
	}
}

func get(ctx context.Context, client *clientv3.Client, key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	return client.Get(ctx, key, options...)
}

// lifetime says for how long a lease was granted. A key whose lease has ended is about to be
// deleted, wherever it is.
func (s *etcdSource) lifetime(ctx context.Context, lease int64) (int64, error) {
	if granted, known := s.leases[lease]; known || lease == 0 {
		return granted, nil
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	answer, err := s.client.TimeToLive(ctx, clientv3.LeaseID(lease))
	if err != nil {
		return 0, s.failed(err)
	}
	s.leases[lease] = max(answer.GrantedTTL, 1)
	return s.leases[lease], nil
}

// String implements Source.
func (s *etcdSource) String() string { return s.name }

// Kind implements Source.
func (s *etcdSource) Kind() string { return string(datastore.Etcd) }

// Revision implements Source.
func (s *etcdSource) Revision() int64 { return s.revision }

// Len implements Source.
func (s *etcdSource) Len() int64 { return int64(len(s.keys)) }

// Each implements Source.
func (s *etcdSource) Each(ctx context.Context, each func(KeyValue) error) error {
	for keys := s.keys; len(keys) > 0; {
		n := min(etcdValues, len(keys))
		if err := s.values(ctx, keys[:n], each); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

func (s *etcdSource) values(ctx context.Context, keys []*mvccpb.KeyValue, each func(KeyValue) error) error {
	ops := make([]clientv3.Op, len(keys))
	for i, kv := range keys {
		ops[i] = clientv3.OpGet(string(kv.Key), clientv3.WithRev(s.revision))
	}
	within, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	answer, err := s.client.Txn(within).Then(ops...).Commit()
	if err != nil {
		return s.failed(err)
	}
	for i, kv := range keys {
		found := answer.Responses[i].GetResponseRange().GetKvs()
		if len(found) != 1 {
			return s.failed(fmt.Errorf("the key %q is gone", kv.Key))
		}
		lease, err := s.lifetime(ctx, found[0].Lease) // which a list without values does not have
		if err != nil {
			return err
		}
		err = each(KeyValue{
			Key: kv.Key, Value: found[0].Value, Created: kv.CreateRevision, Revision: kv.ModRevision, Version: kv.Version, Lease: lease,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Since implements Source.
func (s *etcdSource) Since(ctx context.Context) (int64, error) {
	answer, err := get(ctx, s.client, datastore.UnfinishedKey)
	if err != nil {
		return 0, s.failed(err)
	}
	return answer.Header.Revision - s.revision, nil
}

// Close implements Source.
func (s *etcdSource) Close() error { return nil }

func (s *etcdSource) failed(err error) error {
	if errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("the %s has compacted the revision %d while it was read: try again, if need be with the API servers stopped that compact it", s.name, s.revision)
	}
	return fmt.Errorf("read from the %s: %w", s.name, err)
}

// etcdSink puts keys into an etcd.
type etcdSink struct {
	client *clientv3.Client
	name   string
	// there are the keys that an interrupted run has put and this one has not come to yet.
	there    map[string]there
	leases   map[int64]*grant
	progress *Progress
}

// there is what is under a key.
type there struct {
	revision int64
	sum      [sha256.Size]byte
}

// grant is a lease that takes more keys.
type grant struct {
	id   clientv3.LeaseID
	keys int
}

// ErrNotEmpty means that there is something in an etcd that data is to be copied into.
var ErrNotEmpty = errors.New("it is not empty")

// ToEtcd returns a sink that puts keys into an etcd, which must be empty. etcd gives them its
// own revisions, in the same order: they cannot be set.
//
// Since etcd cannot put many keys at once, they are there before the Commit. A key of its
// own, datastore.UnfinishedKey, says so until then, and keeps servers from using it. When that
// is there, an earlier run was interrupted, and this one goes on: what is there with the same
// value stays, what the source does not have is deleted. The client is not closed.
func ToEtcd(ctx context.Context, client *clientv3.Client, name, from string, progress *Progress) (Sink, error) {
	progress.Begin("Looking at what is in the "+name, 0)
	s := &etcdSink{client: client, name: name, there: map[string]there{}, leases: map[int64]*grant{}, progress: progress}
	marked := false
	_, err := eachPage(ctx, client, func(kvs []*mvccpb.KeyValue) error {
		for _, kv := range kvs {
			if string(kv.Key) == datastore.UnfinishedKey {
				marked = true
				continue
			}
			s.there[string(kv.Key)] = there{kv.ModRevision, sha256.Sum256(kv.Value)}
			progress.Add(1, int64(len(kv.Key)+len(kv.Value)))
		}
		return nil
	}, clientv3.WithLimit(etcdValues))
	if err != nil {
		return nil, s.failed(err)
	}
	if len(s.there) > 0 && !marked {
		return nil, s.failed(fmt.Errorf("%w: it has %d keys", ErrNotEmpty, len(s.there)))
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	if _, err := client.Put(ctx, datastore.UnfinishedKey, from); err != nil {
		return nil, s.failed(err)
	}
	return s, nil
}

// String implements Sink.
func (s *etcdSink) String() string { return s.name }

// Add implements Sink.
func (s *etcdSink) Add(ctx context.Context, kv KeyValue) error {
	key := string(kv.Key)
	if key == compactionOfKine {
		return nil
	}
	found := s.there[key]
	delete(s.there, key)
	if found.revision != 0 && found.sum == sha256.Sum256(kv.Value) {
		return nil
	}
	var options []clientv3.OpOption
	if kv.Lease > 0 {
		lease, err := s.lease(ctx, kv.Lease)
		if err != nil {
			return s.failed(err)
		}
		options = append(options, clientv3.WithLease(lease))
	}
	return s.change(ctx, key, found.revision, clientv3.OpPut(key, string(kv.Value), options...))
}

// change does what is to be done to a key that has a revision.
func (s *etcdSink) change(ctx context.Context, key string, revision int64, op clientv3.Op) error {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	answer, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(op).Commit()
	if err != nil {
		return s.failed(err)
	}
	if !answer.Succeeded {
		return s.failed(fmt.Errorf("somebody else has written to the key %q", key))
	}
	return nil
}

// lease returns a lease of a lifetime.
func (s *etcdSink) lease(ctx context.Context, seconds int64) (clientv3.LeaseID, error) {
	if last := s.leases[seconds]; last != nil && last.keys < keysPerLease {
		last.keys++
		return last.id, nil
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	granted, err := s.client.Grant(ctx, seconds)
	if err != nil {
		return 0, err
	}
	s.leases[seconds] = &grant{granted.ID, 1}
	return granted.ID, nil
}

// Commit implements Sink.
func (s *etcdSink) Commit(ctx context.Context) error {
	s.progress.Begin("Deleting what an interrupted run has left", int64(len(s.there)))
	for key, found := range s.there {
		if err := s.change(ctx, key, found.revision, clientv3.OpDelete(key)); err != nil {
			return err
		}
		s.progress.Add(1, 0)
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	if _, err := s.client.Delete(ctx, datastore.UnfinishedKey); err != nil {
		return s.failed(err)
	}
	return nil
}

// Close implements Sink. What was put stays, so that the next run can go on.
func (s *etcdSink) Close() error { return nil }

func (s *etcdSink) failed(err error) error { return fmt.Errorf("write to the %s: %w", s.name, err) }
