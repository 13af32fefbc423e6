package frontend

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

// Limits bound what is carried for a name or a tenant. Zero is the default of a field.
type Limits struct {
	// Connections may be carried at once, and Dials may be waited for.
	Connections, Dials int
	// DialsPerSecond may be begun; that many at once. The default has no bound.
	DialsPerSecond float64
	// BytesPerSecond may pass in each direction. Who sends more waits, and holds up only his own. The default has no bound.
	BytesPerSecond float64
	// Weight is how much of a link a tenant gets beside others, where there is not enough: 1 by default, and mux.MaxWeight at most. Names have none.
	Weight int
}

// Timeouts are those of connections to a name. Zero is the default of a field.
type Timeouts struct {
	// Connect is how long it takes at most to connect. The default and the most is tunnel.DialTimeout.
	Connect time.Duration
	// Idle is how long nothing may pass. The default is four hours, as it is a kubelet's.
	Idle time.Duration
}

// IdleTimeout is the default of Timeouts.Idle.
const IdleTimeout = 4 * time.Hour

// DefaultLimits are those of a cluster, a node or a tenant that has no others.
func DefaultLimits(node bool) Limits {
	if node {
		return Limits{Connections: 1000, Dials: 64}
	}
	return Limits{Connections: 10_000, Dials: 512}
}

func (l Limits) or(other Limits) Limits {
	if l.Connections == 0 {
		l.Connections = other.Connections
	}
	if l.Dials == 0 {
		l.Dials = other.Dials
	}
	return l
}

func (t Timeouts) withDefaults() Timeouts {
	if t.Connect == 0 || t.Connect > tunnel.DialTimeout {
		t.Connect = tunnel.DialTimeout
	}
	if t.Idle == 0 {
		t.Idle = IdleTimeout
	}
	return t
}

// LimitError is why a client has to wait: somebody has as many as may be.
type LimitError struct {
	// Whose limit it is: a name or a tenant.
	Whose string
	// What there are so many of: "connections", "dials that are not answered yet", or "dials in a second".
	What  string
	Limit int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s has %d %s, as many as may be", e.Whose, e.Limit, e.What)
}

// tally counts what is carried for one name or tenant.
type tally struct {
	connections, dials int // guarded by mu of tallies
	dialed             meter
	// sent and received are the client's bytes.
	sent, received meter
}

func (t *tally) set(limits Limits) {
	t.dialed.set(limits.DialsPerSecond)
	t.sent.set(limits.BytesPerSecond)
	t.received.set(limits.BytesPerSecond)
}

// unused reports whether there is nothing that it remembers.
func (t *tally) unused(now time.Time) bool {
	return t.connections == 0 && t.dials == 0 && t.dialed.rested(now, true) && t.sent.rested(now, false) && t.received.rested(now, false)
}

// minSwept is how many keys are kept without looking which are used.
const minSwept = 64

// tallies counts by key. Keys of which there is nothing are not kept for long.
type tallies[K comparable] struct {
	mu sync.Mutex
	// What follows is guarded by mu.

	counts map[K]*tally
	// sweep is at how many keys it is looked which are used.
	sweep int
}

// dial counts a dial, unless there are as many as may be.
func (t *tallies[K]) dial(key K, whose string, limits Limits) (*tally, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := t.counts[key]
	if count == nil {
		count = t.added(key, limits)
	}
	switch {
	case count.dials >= limits.Dials:
		return nil, limited(&LimitError{whose, "dials that are not answered yet", limits.Dials})
	case count.connections+count.dials >= limits.Connections:
		return nil, limited(&LimitError{whose, "connections", limits.Connections})
	case !count.dialed.admit(time.Now()):
		return nil, limited(&LimitError{whose, "dials in a second", int(limits.DialsPerSecond)})
	}
	count.dials++
	return count, nil
}

// added adds a key. mu must be held.
func (t *tallies[K]) added(key K, limits Limits) *tally {
	if t.counts == nil {
		t.counts = map[K]*tally{}
	}
	if len(t.counts) >= max(t.sweep, minSwept) {
		now := time.Now()
		for other, count := range t.counts {
			if count.unused(now) {
				delete(t.counts, other)
			}
		}
		t.sweep = 2 * len(t.counts)
	}
	count := &tally{}
	count.set(limits)
	t.counts[key] = count
	return count
}

func limited(err *LimitError) error {
	return &Error{Status: http.StatusTooManyRequests, Text: err.Error(), RetryAfter: retryLimit, Err: err}
}

// add changes a count that is there.
func (t *tallies[K]) add(key K, connections, dials int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := t.counts[key]
	count.connections += connections
	count.dials += dials
	if count.unused(time.Now()) {
		delete(t.counts, key)
	}
}

// set has limits hold from now on.
func (t *tallies[K]) set(of func(K) Limits) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, count := range t.counts {
		count.set(of(key))
	}
}
