package feed

import (
	"context"
	"slices"
	"sync"
)

// turns are how many of something there may be at a time: in all, of all who are not of the node together, and of one of them. So the node has some of its own. It may be used concurrently.
type turns struct {
	all, others, each int

	mu sync.Mutex
	// What follows is guarded by mu.

	taken, takenByOthers int
	takenBy              map[string]int
	waiting              []*waiter // first come first
}

// waiter is who waits for a turn. An empty owner is the node.
type waiter struct {
	owner string
	given chan struct{} // closed when it is his
}

// take waits for a turn, and returns what gives it back, once. The error is that of ctx.
func (t *turns) take(ctx context.Context, owner string) (done func(), err error) {
	w := &waiter{owner, make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	t.give()
	t.mu.Unlock()
	done = func() { t.done(w) }
	select {
	case <-w.given:
		return done, nil
	case <-ctx.Done():
		done()
		return nil, context.Cause(ctx)
	}
}

// done has a turn be free again, or nobody wait for it.
func (t *turns) done(w *waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, w); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		return
	}
	t.count(w.owner, -1)
	t.give()
}

// give has those go on whose turn it is. mu must be held.
func (t *turns) give() {
	t.waiting = slices.DeleteFunc(t.waiting, func(w *waiter) bool {
		if t.taken >= t.all || w.owner != "" && (t.takenByOthers >= t.others || t.takenBy[w.owner] >= t.each) {
			return false
		}
		t.count(w.owner, 1)
		close(w.given)
		return true
	})
}

// count notes that somebody has so many more. mu must be held.
func (t *turns) count(owner string, more int) {
	t.taken += more
	if owner == "" {
		return
	}
	t.takenByOthers += more
	if t.takenBy == nil {
		t.takenBy = map[string]int{}
	}
	if t.takenBy[owner] += more; t.takenBy[owner] == 0 {
		delete(t.takenBy, owner)
	}
}
