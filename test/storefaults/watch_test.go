package storefaults

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/test/storefaults/history"
)

// watcher watches all keys of a load through one store, and begins again where it was when
// that fails.
type watcher struct {
	member *member
	name   string
	// restless watchers end their watch now and then, and begin a new one.
	restless bool
	seed     uint64

	mu       sync.Mutex // guards the rest
	segments []history.Segment
	// next is the first revision that is to come.
	next int64
	// relists counts how often what is next was compacted.
	relists int
}

func newWatcher(m *member, name string, from int64) *watcher {
	return &watcher{member: m, name: name, next: from, segments: []history.Segment{{From: from}}}
}

// run watches until the context ends.
func (w *watcher) run(ctx context.Context) {
	random := rand.New(rand.NewPCG(w.seed, 0))
	patience := time.Second
	for ctx.Err() == nil {
		watching, cancel := context.WithCancel(ctx)
		if w.restless {
			watching, cancel = context.WithTimeout(ctx, patience/10+time.Duration(random.Int64N(int64(patience))))
		}
		before := w.at()
		if compacted := w.watch(watching); compacted {
			w.relist(ctx)
		}
		cancel()
		// One who never waits long enough for the first event would get none.
		if patience = min(2*patience, recovery/4); w.at() > before {
			patience = time.Second
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// watch runs one watch, and says whether it ended because what comes next was compacted.
func (w *watcher) watch(ctx context.Context) (compacted bool) {
	for answer := range w.member.watcher.Watch(ctx, root, clientv3.WithPrefix(), clientv3.WithRev(w.at()), clientv3.WithPrevKV(), clientv3.WithProgressNotify()) {
		if answer.CompactRevision != 0 {
			return true
		}
		if answer.Canceled {
			return false
		}
		w.take(answer)
	}
	return false
}

func (w *watcher) at() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}

func (w *watcher) take(answer clientv3.WatchResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	current := &w.segments[len(w.segments)-1]
	if answer.IsProgressNotify() {
		current.Steps = append(current.Steps, history.Step{Progress: answer.Header.Revision})
		return
	}
	for _, e := range answer.Events {
		current.Steps = append(current.Steps, history.Step{Event: event(e)})
		w.next = e.Kv.ModRevision + 1
	}
}

func event(e *clientv3.Event) history.Event {
	made := history.Event{Revision: e.Kv.ModRevision, Key: string(e.Kv.Key), Previous: version(e.PrevKv)}
	if e.Type == mvccpb.DELETE {
		made.Deleted = true
	} else {
		made.Value, made.Created, made.Number = nameOf(e.Kv.Value), e.Kv.CreateRevision, e.Kv.Version
	}
	return made
}

// relist reads the state anew and begins a new segment after it.
func (w *watcher) relist(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer, err := w.member.watcher.Get(ctx, root, clientv3.WithPrefix())
	if err != nil {
		return // the next watch finds the same
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.relists++
	w.next = answer.Header.Revision + 1
	w.segments = append(w.segments, history.Segment{From: w.next, Listed: versions(answer.Kvs)})
}

// seen is what the watcher was told. Call it when run has returned.
func (w *watcher) seen() history.Watcher {
	w.mu.Lock()
	defer w.mu.Unlock()
	return history.Watcher{Name: w.name, Segments: w.segments}
}
