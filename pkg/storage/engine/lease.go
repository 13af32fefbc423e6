package engine

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// leaseRetry is how long a key is left when it could not be deleted.
const leaseRetry = 5 * time.Second

// leased is a key that ends by itself, unless it gets another revision first.
type leased struct {
	key      string
	revision int64
	deadline time.Time
}

// leases are the keys that end by themselves, by their deadlines. These are kept with the
// monotonic clock: a clock that is set forward ends nothing early.
type leases struct {
	mu      sync.Mutex
	heap    leaseHeap
	changed chan struct{}
}

func newLeases() *leases { return &leases{changed: make(chan struct{}, 1)} }

// add notes a key that was just written.
func (l *leases) add(key string, revision, seconds int64) {
	l.push(leased{key, revision, time.Now().Add(time.Duration(seconds) * time.Second)})
}

// restore replaces all by what the log has. What is left of a lease is read off the wall
// clock, and is never more than the lease.
func (l *leases) restore(records []sqllog.Record) {
	now := time.Now()
	l.mu.Lock()
	l.heap = nil
	l.mu.Unlock()
	for _, record := range records {
		left := min(max(record.Expires-now.Unix(), 0), record.Lease)
		l.push(leased{record.Key, record.Revision, now.Add(time.Duration(left) * time.Second)})
	}
}

func (l *leases) push(entry leased) {
	l.mu.Lock()
	defer l.mu.Unlock()
	heap.Push(&l.heap, entry)
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// next returns a key whose time has come, or else how long it is until one's has.
func (l *leases) next() (due leased, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.heap) == 0 {
		return leased{}, time.Hour
	}
	if wait := time.Until(l.heap[0].deadline); wait > 0 {
		return leased{}, wait
	}
	return heap.Pop(&l.heap).(leased), 0
}

// runLeases deletes keys whose time has come. Every process that shares the log does: the
// revision sees to it that a key is deleted once.
func (e *Engine) runLeases(ctx context.Context) {
	for {
		due, wait := e.leases.next()
		if wait == 0 {
			e.expire(ctx, due)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-e.leases.changed:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

func (e *Engine) expire(ctx context.Context, due leased) {
	version, _ := e.state.index().Get(due.key, 0)
	if version == nil || version.Revision != due.revision {
		return
	}
	done := e.write(ctx, write{kind: remove, key: due.key, conditions: modifiedAt(due.revision)})
	if done.err != nil && !errors.Is(done.err, errClosed) {
		due.deadline = time.Now().Add(leaseRetry)
		e.leases.push(due)
	}
}

// leaseHeap implements heap.Interface.
type leaseHeap []leased

func (h leaseHeap) Len() int           { return len(h) }
func (h leaseHeap) Less(i, j int) bool { return h[i].deadline.Before(h[j].deadline) }
func (h leaseHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *leaseHeap) Push(entry any) { *h = append(*h, entry.(leased)) }

// Pop implements heap.Interface.
func (h *leaseHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
