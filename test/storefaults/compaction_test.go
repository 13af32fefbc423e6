package storefaults

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/test/storefaults/history"
)

// compact compacts through the first store, unless that was done already.
func (r *rig) compact(revision int64) {
	r.t.Helper()
	r.compactAt(r.load.members[0], revision)
}

func (r *rig) compactAt(m *member, revision int64) {
	r.t.Helper()
	r.mu.Lock()
	r.compacted = max(r.compacted, revision)
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	if _, err := m.client.Compact(ctx, revision); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		r.t.Errorf("compact to %d through %s: %v", revision, m.name, err)
	}
	r.fault("compaction")
}

func TestCompactionUnderLoadOnMariaDB(t *testing.T) {
	r, _ := newMariaDBRig(t)
	r.compactUnderLoad()
}

func TestCompactionUnderLoadOnSQLite(t *testing.T) {
	r := newRig(t, openMember(t, "one", ""))
	r.compactUnderLoad()
}

func (r *rig) compactUnderLoad() {
	r.load.clients = 32
	r.start()
	random := rand.New(rand.NewPCG(r.load.seed, 5))
	var reading sync.WaitGroup
	for end := time.Now().Add(duration(5 * time.Second)); time.Now().Before(end); {
		r.wait(150 * time.Millisecond)
		revision := r.revision() - int64(random.IntN(100))
		if revision < 10 {
			continue
		}
		m := r.load.members[random.IntN(len(r.load.members))]
		r.compactAt(m, revision)
		for _, m := range r.load.members {
			r.checkCompacted(m, revision)
		}
		reading.Go(func() { r.readPages(m, revision, random.Uint64()) })
	}
	reading.Wait()
	r.finish()
	r.checkLaggards()
}

// checkCompacted checks what clients are told of a revision below a compaction: that it is
// compacted, with the compaction's revision for a watch.
func (r *rig) checkCompacted(m *member, revision int64) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	if _, err := m.client.Get(ctx, root); err != nil { // a server learns of a compaction with a read
		r.t.Errorf("read at %s: %v", m.name, err)
	}
	if _, err := m.client.Get(ctx, root, clientv3.WithPrefix(), clientv3.WithRev(revision-1)); !errors.Is(err, rpctypes.ErrCompacted) {
		r.t.Errorf("VIOLATION: list at %s at %d, which was compacted: got %v", m.name, revision-1, err)
	}
	answer := <-m.watcher.Watch(ctx, root, clientv3.WithPrefix(), clientv3.WithRev(revision-1))
	if answer.CompactRevision < revision {
		r.t.Errorf("VIOLATION: watch at %s from %d, with all before %d compacted: got %d events, compact revision %d, error %v",
			m.name, revision-1, revision, len(answer.Events), answer.CompactRevision, answer.Err())
	}
}

// readPages lists the past page by page, as API servers do: all of it is the state at one
// revision, or else it is compacted.
func (r *rig) readPages(m *member, revision int64, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	c := &client{load: r.load, number: -100, member: m}
	c.do(r.t.Context(), history.Operation{Kind: history.List, Key: root, Compare: revision}, func(ctx context.Context, o *history.Operation) error {
		o.Found = map[string]history.Version{}
		for key, more := root, true; more; {
			answer, err := m.client.Get(ctx, key, clientv3.WithRange(clientv3.GetPrefixRangeEnd(root)), clientv3.WithRev(revision), clientv3.WithLimit(int64(1+random.IntN(50))))
			if err != nil {
				if errors.Is(err, rpctypes.ErrCompacted) {
					o.Found = nil // that is an answer too
					return nil
				}
				return err
			}
			for name, found := range versions(answer.Kvs) {
				o.Found[name] = found
			}
			if more = answer.More; more {
				key = string(answer.Kvs[len(answer.Kvs)-1].Key) + "\x00"
			}
			o.Revision = answer.Header.Revision
		}
		o.Outcome = history.Done
		return nil
	})
}

// checkLaggards makes watchers begin where everything was compacted: they have to read anew
// and then agree with all others.
func (r *rig) checkLaggards() {
	r.t.Helper()
	for _, m := range r.load.members {
		w := newWatcher(m, m.name+" late", 2)
		ctx, stop := context.WithCancel(r.t.Context())
		done := make(chan struct{})
		go func() { // ends with the context
			defer close(done)
			w.run(ctx)
		}()
		for begun := time.Now(); time.Since(begun) < recovery && w.at() <= 2; {
			r.wait(5 * time.Millisecond)
		}
		stop()
		<-done
		if w.relists == 0 {
			r.t.Errorf("VIOLATION: a watcher of revision 2 at %s did not have to read anew", m.name)
		}
	}
}
