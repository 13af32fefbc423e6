package propagation

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// gatherEvents is how long events of an object in a member are gathered before the federated
	// object is looked at. They come in bursts.
	gatherEvents = 200 * time.Millisecond
	// Where they go on and on, they are gathered for gatherBusy from the freeLooks-th look on, until
	// there was none for calm.
	freeLooks  = 10
	gatherBusy = looksApart
	calm       = 5 * time.Second
	// All events of one member together have objects looked at so often. It is as often as we
	// write there.
	looksPerSecond, lookBurst = 200, 5000
)

// pace is how often objects are looked at because of the events of one member: what changes there
// all the time costs what others need, as each look may end with a write to the host. It may be
// used concurrently.
type pace struct {
	now   func() time.Time
	looks *rate.Limiter

	mu    sync.Mutex
	byKey map[objectKey]*looked // guarded by mu
	swept time.Time             // guarded by mu
}

// looked is how an object is looked at because of a member.
type looked struct {
	due   time.Time
	count int // of looks without calm
}

func newPace(now func() time.Time) *pace {
	return &pace{now: now, looks: rate.NewLimiter(looksPerSecond, lookBurst), byKey: map[objectKey]*looked{}}
}

// after returns how long after an event the object is to be looked at: those of one look all end at
// the same moment. Each has to be put into the queue: it makes one of two looks, the earlier,
// which an event in between would miss.
func (p *pace) after(key objectKey) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.sweep(now)
	l := p.byKey[key]
	switch {
	case l == nil:
		l = &looked{}
		p.byKey[key] = l
	case now.Before(l.due):
		return l.due.Sub(now)
	case now.Sub(l.due) > calm:
		l.count = 0
	}
	wait := gatherEvents
	if l.count >= freeLooks {
		wait = gatherBusy
	}
	wait = max(wait, p.looks.ReserveN(now, 1).DelayFrom(now))
	l.due = now.Add(wait)
	l.count++
	return wait
}

// sweep forgets, now and then, the objects that are calm. p.mu is held.
func (p *pace) sweep(now time.Time) {
	if now.Sub(p.swept) < calm {
		return
	}
	p.swept = now
	for key, l := range p.byKey {
		if now.Sub(l.due) > calm {
			delete(p.byKey, key)
		}
	}
}
