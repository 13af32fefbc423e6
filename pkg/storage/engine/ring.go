package engine

import (
	"slices"

	"github.com/k3s-io/kine/pkg/server"
)

// event is what watchers are told of one revision.
type event struct {
	*server.Event
	// missing is the revision whose value PrevKV lacks, 0 if it lacks nothing.
	missing int64
}

// eventBytes is what an event takes beside its values.
const eventBytes = 512

func (e event) bytes() int {
	size := eventBytes + len(e.KV.Value)
	if e.PrevKV != nil {
		size += len(e.PrevKV.Value)
	}
	return size
}

// ring has the most recent events, without gaps. It is guarded by the mutex of the state.
type ring struct {
	limitBytes int
	bytes      int
	events     []event
	// next is the revision that comes after the last event.
	next int64
	// changed is closed and made anew when events come.
	changed chan struct{}
	// generation counts resets.
	generation int
}

func newRing(limitBytes int) *ring {
	return &ring{limitBytes: limitBytes, changed: make(chan struct{})}
}

func (r *ring) add(events []event) {
	for _, each := range events {
		r.bytes += each.bytes()
	}
	r.events = append(r.events, events...)
	r.next = r.events[len(r.events)-1].KV.ModRevision + 1
	drop := 0
	for r.bytes > r.limitBytes && drop < len(r.events)-1 {
		r.bytes -= r.events[drop].bytes()
		r.events[drop] = event{}
		drop++
	}
	r.events = r.events[drop:]
	r.wake()
}

// reset empties the ring: the events that follow have nothing to do with those before.
func (r *ring) reset(next int64) {
	r.events, r.bytes, r.next = nil, 0, next
	r.generation++
	r.wake()
}

func (r *ring) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// from returns up to limit events from a revision on; false means that they begin before
// the ring does.
func (r *ring) from(revision int64, limit int) ([]event, bool) {
	first := r.next - int64(len(r.events))
	if revision < first {
		return nil, false
	}
	if revision >= r.next {
		return nil, true
	}
	events := r.events[revision-first:]
	return slices.Clone(events[:min(limit, len(events))]), true
}
