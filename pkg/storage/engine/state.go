package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/k3s-io/kine/pkg/server"

	"github.com/koinon-io/koinon/pkg/storage/mvcc"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// state is what this process knows of the log: all of it up to a revision.
type state struct {
	values *values
	leases *leases
	keys   atomic.Pointer[mvcc.Index]

	// mu makes those who apply records do so in turn. It guards the rest.
	mu     sync.Mutex
	known  sqllog.Mark
	recent *ring
	// open are the writes that the writer is about to commit, by operation. Whoever finds
	// one of them in the log, be it after the writer has lost the connection, settles it.
	open map[int64]*write
}

func newState(values *values, leases *leases, eventBytes int) *state {
	s := &state{values: values, leases: leases, recent: newRing(eventBytes), open: map[int64]*write{}}
	s.keys.Store(mvcc.New(0, 0))
	return s
}

func (s *state) index() *mvcc.Index { return s.keys.Load() }

// mark is how far the state is.
func (s *state) mark() sqllog.Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// apply adds records of an epoch that were committed. They follow one another; those that
// are known already are left out, since the one who wrote them and one who read them may
// both come here.
func (s *state) apply(epoch int64, records []sqllog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != s.known.Epoch {
		return sqllog.ErrEpoch
	}
	for len(records) > 0 && records[0].Revision <= s.known.Tail {
		records = records[1:]
	}
	if len(records) == 0 {
		return nil
	}
	if records[0].Revision != s.known.Tail+1 {
		return fmt.Errorf("revision %d does not follow %d", records[0].Revision, s.known.Tail)
	}
	versions := make([]*mvcc.Version, len(records))
	for i, record := range records {
		versions[i] = versionOf(record)
		if !record.Deleted {
			s.values.add(record.Revision, record.Value)
		}
		if record.Lease > 0 {
			s.leases.add(record.Key, record.Revision, record.Lease)
		}
	}
	replaced := s.index().Apply(versions)
	events := make([]event, len(records))
	for i, version := range versions {
		if w, found := s.open[records[i].Operation]; found {
			w.committed = &outcome{revision: version.Revision, ok: true, version: replaced[i]}
		}
		events[i] = makeEvent(version, records[i].Value, replaced[i], s.values.cached)
	}
	last := records[len(records)-1]
	s.known.Tail, s.known.Operation = last.Revision, last.Operation
	s.recent.add(events)
	return nil
}

// begin says which of the writes are still to be done, what they come to, and for what state
// that is true. The generation changes when the state is replaced.
func (s *state) begin(writes []*write) (left []*write, plan plan, mark sqllog.Mark, generation int) {
	s.mu.Lock() // also until it is decided: a compaction would take away what is compared with
	defer s.mu.Unlock()
	for _, w := range writes {
		if w.committed == nil {
			s.open[w.operation] = w
			left = append(left, w)
		}
	}
	index := s.index()
	current := func(key string) *mvcc.Version {
		version, _ := index.Get(key, s.known.Tail)
		return version
	}
	return left, decide(current, s.known.Tail, left, time.Now()), s.known, s.recent.generation
}

// end forgets writes that were begun. What it leaves committed is final.
func (s *state) end(writes []*write) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range writes {
		delete(s.open, w.operation)
	}
}

// compact forgets what is older than a revision, and hands what can be deleted to discard, in
// the order in which it has to be.
func (s *state) compact(revision int64, discard func([]int64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision <= s.known.Compact {
		return
	}
	s.known.Compact = revision
	gone := s.index().Compact(revision)
	s.values.drop(gone)
	discard(gone)
}

// replace puts another state in the place of this one, unless it is an older one of the same
// contents: what was read never becomes unread. Watchers of the replaced state end. What
// belongs to the state outside of it is replaced by also, before anything is applied.
func (s *state) replace(index *mvcc.Index, mark sqllog.Mark, also func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mark.Epoch == s.known.Epoch && mark.Tail <= s.known.Tail {
		return
	}
	s.keys.Store(index)
	s.known = mark
	s.values.cache.InvalidateAll() // a log that has lost revisions may have given them out again
	s.recent.reset(mark.Tail + 1)
	also()
}

// makeEvent makes the event of a version. Where cached does not have the value before it, the
// watcher that needs it reads it.
func makeEvent(version *mvcc.Version, value []byte, before *mvcc.Version, cached func(revision int64) held) event {
	made := event{Event: &server.Event{
		Create: before == nil && !version.Deleted,
		Delete: version.Deleted,
		KV:     keyValue(version, value),
	}}
	if before == nil {
		return made
	}
	previous := cached(before.Revision)
	if !previous.there {
		made.missing = before.Revision
	}
	made.PrevKV = keyValue(before, previous.value)
	return made
}

func versionOf(r sqllog.Record) *mvcc.Version {
	return &mvcc.Version{
		Key: r.Key, Revision: r.Revision, Created: r.Created, Number: r.Version, Lease: r.Lease, Deleted: r.Deleted,
	}
}

// keyValue is a version as Kine's server wants it. Of a deletion, only the key and the
// revision mean something.
func keyValue(v *mvcc.Version, value []byte) *server.KeyValue {
	if v.Deleted {
		return &server.KeyValue{Key: v.Key, ModRevision: v.Revision}
	}
	return &server.KeyValue{
		Key: v.Key, Value: value, Version: v.Number, CreateRevision: v.Created, ModRevision: v.Revision, Lease: v.Lease,
	}
}

// load reads the state from the log, from the beginning.
func (e *Engine) load(ctx context.Context) error {
	for {
		before, err := e.log.Mark(ctx)
		if err != nil {
			return err
		}
		index := mvcc.New(0, 0)
		var leased []sqllog.Record
		err = e.log.Scan(ctx, before, func(record sqllog.Record) {
			index.Apply([]*mvcc.Version{versionOf(record)})
			if record.Lease > 0 {
				leased = append(leased, record)
			}
		})
		if errors.Is(err, sqllog.ErrEpoch) {
			continue
		}
		if err != nil {
			return err
		}
		after, err := e.log.Mark(ctx)
		if err != nil {
			return err
		}
		if after.Epoch != before.Epoch || after.Compact > before.Tail {
			continue // it was replaced or overtaken while it was read
		}
		index.Advance(before.Tail)
		undeleted := index.Compact(after.Compact) // by an earlier process, or by one that died
		before.Compact = after.Compact
		e.state.replace(index, before, func() {
			e.compacted.reset(before.Epoch, undeleted)
			e.leases.restore(leased)
		})
		return nil
	}
}
