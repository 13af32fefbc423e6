package propagation

import (
	"sync"
	"time"
)

// statusPace bounds how often what members report of one object is looked at and written: who watches
// it gets all of it each time. What the engine finds out about a changed spec is not held back.
// It may be used concurrently.
type statusPace struct {
	mu     sync.Mutex
	looked time.Time    // when the object was last looked at; guarded by mu
	writes [2]time.Time // the last ones, the earlier first; guarded by mu
}

const (
	// writesWithin is the time in which the status of an object is written twice, at most.
	writesWithin = time.Second
	// looksApart is how long after a look events of members have the object looked at again: to
	// look at it more often than it may be written costs, and is of no use.
	looksApart = writesWithin / 2
)

// look notes that the object is looked at.
func (p *statusPace) look(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looked = now
}

// untilLook returns how long an event has to wait.
func (p *statusPace) untilLook(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.looked.Add(looksApart).Sub(now), 0)
}

// wrote notes that the status was written.
func (p *statusPace) wrote(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes = [2]time.Time{p.writes[1], now}
}

// untilWrite returns how long another write has to wait.
func (p *statusPace) untilWrite(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.writes[0].Add(writesWithin).Sub(now), 0)
}
