package propagation

import (
	"sync"
	"time"
)

// statusPace bounds how often what goes on in members has one object looked at and written: who watches
// it gets all of it each time. What the engine says of a changed spec for the first time is not
// held back. It may be used concurrently.
type statusPace struct {
	mu       sync.Mutex
	looked   time.Time // when the object was last looked at; guarded by mu
	reported time.Time // when a status was last written that speaks of no newer spec; guarded by mu
}

const (
	// reportsApart is the time between such writes, at least: there are never more than two in a
	// second, and some of a second is left for the write of what has waited.
	reportsApart = 750 * time.Millisecond
	// looksApart is how long after a look events of members have the object looked at again: to
	// look at it more often than it may be written costs, and is of no use.
	looksApart = reportsApart
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

// report notes that a status was written.
func (p *statusPace) report(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reported = now
}

// untilReport returns how long another one has to wait.
func (p *statusPace) untilReport(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.reported.Add(reportsApart).Sub(now), 0)
}
