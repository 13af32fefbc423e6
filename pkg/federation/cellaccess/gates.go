package cellaccess

import (
	"sync"
	"time"
)

// A member that does not answer is asked again after a time that doubles.
const minPause, maxPause = 5 * time.Second, 2 * time.Minute

// busyPause is when it is looked again whether a member is asked about no other cell.
const busyPause = time.Second

// gates let in one cell of a member at a time, and none for some time after one that failed. They may
// be used concurrently.
type gates struct {
	mu     sync.Mutex
	byName map[string]*gate // guarded by mu; only of members that are asked, or have failed
}

type gate struct {
	busy  bool
	pause time.Duration
	until time.Time
}

func newGates() *gates { return &gates{byName: map[string]*gate{}} }

// enter returns when to come again, and whether that is since the member has failed; zero if one may
// go on now, and has to leave.
func (g *gates) enter(member string) (again time.Time, failed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.byName[member]
	if !ok {
		at = &gate{}
		g.byName[member] = at
	}
	now := time.Now()
	switch {
	case now.Before(at.until):
		return at.until, true
	case at.busy:
		return now.Add(busyPause), false
	}
	at.busy = true
	return time.Time{}, false
}

// leave says whether the member has answered.
func (g *gates) leave(member string, answered bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.byName[member]
	if at == nil {
		return
	}
	if answered {
		delete(g.byName, member)
		return
	}
	at.busy = false
	at.pause = min(max(2*at.pause, minPause), maxPause)
	at.until = time.Now().Add(at.pause)
}

// open forgets that a member has failed.
func (g *gates) open(member string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := g.byName[member]; at != nil {
		at.until, at.pause = time.Time{}, 0
	}
}
