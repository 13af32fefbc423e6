package cellaccess

import (
	"sync"
	"time"
)

// A member that does not answer is asked again after a time that doubles.
const minPause, maxPause = 5 * time.Second, 2 * time.Minute

// busyPause is when a cell that waits for its turn looks again by itself: the one that is called may need it no more,
// and calls nobody then.
const busyPause = 10 * time.Second

// retryWorkers is how many members may be asked at once that have not answered the last time: others do
// not wait until these have not answered again.
const retryWorkers = memberWorkers / 2

// gates let in one cell of a member at a time, and none for some time after one that failed. They may
// be used concurrently.
type gates struct {
	// call has a cell come again that waits for its turn.
	call func(cellName)

	mu sync.Mutex
	// byName has only members that are asked, or have failed; retrying is how many are both. Guarded by mu.
	byName   map[string]*gate
	retrying int
}

type gate struct {
	busy    bool
	waiting map[cellName]struct{}
	pause   time.Duration
	until   time.Time
}

// failed reports whether the member has not answered the last time.
func (g *gate) failed() bool { return g.pause > 0 }

func newGates(call func(cellName)) *gates { return &gates{call: call, byName: map[string]*gate{}} }

// enter returns when a cell is to come again, and whether that is since the member has failed; zero if it may
// go on now, and has to leave.
func (g *gates) enter(member string, cell cellName) (again time.Time, failed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.byName[member]
	if !ok {
		at = &gate{waiting: map[cellName]struct{}{}}
		g.byName[member] = at
	}
	now := time.Now()
	switch {
	case now.Before(at.until):
		return at.until, true
	case at.busy:
		at.waiting[cell] = struct{}{}
		return now.Add(busyPause), false
	case at.failed() && g.retrying >= retryWorkers:
		return now.Add(busyPause), false
	}
	delete(at.waiting, cell)
	at.busy = true
	if at.failed() {
		g.retrying++
	}
	return time.Time{}, false
}

// leave says whether the member has answered. If so the next one is called, else all are told.
func (g *gates) leave(member string, answered bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.byName[member]
	if at == nil {
		return
	}
	if at.failed() {
		g.retrying--
	}
	at.busy = false
	if answered {
		at.pause, at.until = 0, time.Time{}
	} else {
		at.pause = min(max(2*at.pause, minPause), maxPause)
		at.until = time.Now().Add(at.pause)
	}
	for cell := range at.waiting {
		delete(at.waiting, cell)
		g.call(cell)
		if answered {
			break
		}
	}
	if answered && len(at.waiting) == 0 {
		delete(g.byName, member)
	}
}

// open has a member that has failed asked again at once.
func (g *gates) open(member string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := g.byName[member]; at != nil && at.failed() {
		at.until, at.pause = time.Time{}, minPause/2
	}
}
