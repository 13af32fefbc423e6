package simulation

import (
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// verbs are all that requests are counted by.
var verbs = []string{"get", "list", "watch", "create", "update", "patch", "delete", "discovery", "health", "other"}

// counts is how often a member was asked.
type counts struct {
	requests [10]atomic.Int64 // by the index of verbs
	changes  atomic.Int64
	dropped  atomic.Int64

	mu   sync.Mutex
	sent map[schema.GroupVersionResource]int64 // guarded by mu
}

// showed notes that so many objects of a type were sent.
func (c *counts) showed(resource schema.GroupVersionResource, objects int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent == nil {
		c.sent = map[schema.GroupVersionResource]int64{}
	}
	c.sent[resource] += int64(objects)
}

// Sent is how many objects of a type the member has sent in lists and watches, since it was made.
func (m *Member) Sent(resource schema.GroupVersionResource) int64 {
	m.counts.mu.Lock()
	defer m.counts.mu.Unlock()
	return m.counts.sent[resource]
}

func (c *counts) asked(verb string) { c.requests[slices.Index(verbs, verb)].Add(1) }

// Counts says what a member, or several, was asked and did, since it was made.
type Counts struct {
	// Requests by verb: see Fault.Verbs. Those that failed count, too.
	Requests map[string]int64
	// Changes of objects, by whomever; and events of watches that a fault dropped.
	Changes, Dropped int64
}

// Writes are requests to create, update, patch or delete.
func (c Counts) Writes() int64 {
	return c.Requests["create"] + c.Requests["update"] + c.Requests["patch"] + c.Requests["delete"]
}

// Counts of the member until now.
func (m *Member) Counts() Counts {
	c := Counts{Requests: map[string]int64{}, Changes: m.counts.changes.Load(), Dropped: m.counts.dropped.Load()}
	for i, verb := range verbs {
		c.Requests[verb] = m.counts.requests[i].Load()
	}
	return c
}

// Counts of all members together.
func (f *Fleet) Counts() Counts {
	sum := Counts{Requests: map[string]int64{}}
	for _, m := range f.members {
		c := m.Counts()
		sum.Changes += c.Changes
		sum.Dropped += c.Dropped
		for verb, n := range c.Requests {
			sum.Requests[verb] += n
		}
	}
	return sum
}
