package frontend

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

// Limits bound what is carried at once. Zero is the default of a field.
type Limits struct {
	// Connections may be carried, and Dials may be waited for.
	Connections, Dials int
}

// Timeouts are those of connections to a name. Zero is the default of a field.
type Timeouts struct {
	// Connect is how long it takes at most to connect. The default and the most is tunnel.DialTimeout.
	Connect time.Duration
	// Idle is how long nothing may pass. The default is four hours, as it is a kubelet's.
	Idle time.Duration
}

const idleTimeout = 4 * time.Hour

// defaultLimits are those of a name or tenant that has no others.
func defaultLimits(node bool) Limits {
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
		t.Idle = idleTimeout
	}
	return t
}

// LimitError is why a client has to wait: somebody has as many as may be.
type LimitError struct {
	// Whose limit it is: a name or a tenant.
	Whose string
	// What there are so many of: "connections", or "dials that are not answered yet".
	What  string
	Limit int
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s has %d %s, as many as may be", e.Whose, e.Limit, e.What)
}

// tally counts what is carried for one name or tenant.
type tally struct{ connections, dials int }

// tallies counts by key. A key of which there is nothing is not kept.
type tallies[K comparable] struct {
	mu     sync.Mutex
	counts map[K]tally // guarded by mu
}

// dial counts a dial, unless there are as many as may be.
func (t *tallies[K]) dial(key K, whose string, limits Limits) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := t.counts[key]
	switch {
	case count.dials >= limits.Dials:
		return limited(&LimitError{whose, "dials that are not answered yet", limits.Dials})
	case count.connections+count.dials >= limits.Connections:
		return limited(&LimitError{whose, "connections", limits.Connections})
	}
	if t.counts == nil {
		t.counts = map[K]tally{}
	}
	count.dials++
	t.counts[key] = count
	return nil
}

func limited(err *LimitError) error {
	return &Error{Status: http.StatusTooManyRequests, Text: err.Error(), RetryAfter: retryLimit, Err: err}
}

// add changes a count.
func (t *tallies[K]) add(key K, connections, dials int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := t.counts[key]
	count.connections += connections
	count.dials += dials
	if count == (tally{}) {
		delete(t.counts, key)
		return
	}
	t.counts[key] = count
}
