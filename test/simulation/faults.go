package simulation

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Fault is what goes wrong with some requests. The first of a member's faults that a request
// falls under is the one that it suffers.
type Fault struct {
	// Verbs that it is about: get, list, watch, create, update, patch, delete, discovery,
	// health. None: all of them.
	Verbs []string
	// Resource, plural. Empty: all.
	Resource string
	// Namespace and Name. Empty: all.
	Namespace, Name string
	// Rate is the fraction of requests that it is about. 0: all.
	Rate float64

	// Latency is waited for first.
	Latency time.Duration
	// Hang: there is no answer until the client gives up or faults are set anew.
	Hang bool
	// Code is answered, with the Status that API servers have for it, and with
	// RetryAfterSeconds if set.
	Code, RetryAfterSeconds int
	// Cut ends the connection's stream without an answer.
	Cut bool
	// Late: Code and Cut come after the request was carried out: the client cannot know.
	Late bool
	// Drop is for watches, also those that have begun: this fraction of their events is never
	// sent. Duplicate is the fraction that is sent twice.
	Drop, Duplicate float64
}

func (f *Fault) about(q *request) bool {
	return (len(f.Verbs) == 0 || slices.Contains(f.Verbs, q.verb)) && matches(f.Resource, q.resource) &&
		matches(f.Namespace, q.namespace) && matches(f.Name, q.name)
}

func matches(want, got string) bool { return want == "" || want == got }

// traps are the faults of a member.
type traps struct {
	seed int64

	mu     sync.Mutex
	faults []Fault
	// replaced is closed when faults are set anew; nil while nobody waits.
	replaced chan struct{}
	// asked counts requests that a fault with a rate is about, by what they ask.
	asked map[string]int
	// tamper changes what watches send; nil if nobody does.
	tamper func(WatchEvent) []WatchEvent
}

// WatchEvent is an event on its way to somebody who watches.
type WatchEvent struct {
	// Kind is ADDED, MODIFIED or DELETED.
	Kind     string
	Resource schema.GroupVersionResource
	// Namespace is empty for cluster types.
	Namespace, Name string
	// Revision is the version of the change.
	Revision uint64

	object *stored
}

// Tamper has f decide what is sent to whoever watches in the place of each event: nothing, the
// event twice, or others that it has held back. Of one watch, f is given the events in their
// order; it may be called concurrently for several. nil ends that. What a watch begins with, and
// bookmarks, are sent as they are.
func (m *Member) Tamper(f func(WatchEvent) []WatchEvent) {
	m.traps.mu.Lock()
	defer m.traps.mu.Unlock()
	m.traps.tamper = f
}

func (t *traps) onTheWay(e WatchEvent) []WatchEvent {
	t.mu.Lock()
	tamper := t.tamper
	t.mu.Unlock()
	if tamper == nil {
		return []WatchEvent{e}
	}
	return tamper(e)
}

// SetFaults replaces the faults of the member. Requests that hang are carried out.
func (m *Member) SetFaults(faults ...Fault) {
	t := &m.traps
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults, t.asked = slices.Clone(faults), map[string]int{}
	if t.replaced != nil {
		close(t.replaced)
		t.replaced = nil
	}
}

// catch returns the fault that a request suffers, and what is closed when that ends.
func (t *traps) catch(q *request) (*Fault, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.faults {
		fault := &t.faults[i]
		if !fault.about(q) || !t.strikes(fault, i, q) {
			continue
		}
		if fault.Hang && t.replaced == nil {
			t.replaced = make(chan struct{})
		}
		return fault, t.replaced
	}
	return nil, nil
}

// strikes decides by the seed, the fault, and how often the same was asked. t.mu is held.
func (t *traps) strikes(fault *Fault, number int, q *request) bool {
	if fault.Rate == 0 || fault.Rate >= 1 {
		return true
	}
	what := strconv.Itoa(number) + " " + q.verb + " " + q.path
	t.asked[what]++
	return fraction(t.seed, what, strconv.Itoa(t.asked[what])) < fault.Rate
}

// spoil returns the fractions of events that a watch is not sent, and is sent twice.
func (t *traps) spoil(q *request) (drop, duplicate float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.faults {
		if fault := &t.faults[i]; (fault.Drop > 0 || fault.Duplicate > 0) && fault.about(q) {
			return fault.Drop, fault.Duplicate
		}
	}
	return 0, 0
}

// suffer carries a request out, or not, as the fault says.
func (f *Fault) suffer(w http.ResponseWriter, r *http.Request, ended <-chan struct{}, carryOut http.Handler) {
	if !pause(r.Context(), f.Latency) {
		return
	}
	if f.Hang {
		select {
		case <-r.Context().Done():
			return
		case <-ended:
		}
	}
	fails := f.Code != 0 || f.Cut
	if !fails || f.Late {
		into := w
		if fails {
			into = &nowhere{header: http.Header{}}
		}
		carryOut.ServeHTTP(into, r)
	}
	switch {
	case f.Cut:
		panic(http.ErrAbortHandler)
	case f.Code != 0:
		fail(w, r, refusal(r, f.Code, f.RetryAfterSeconds))
	}
}

// pause returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// nowhere takes an answer that the client never gets.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n *nowhere) WriteHeader(int)             {}
