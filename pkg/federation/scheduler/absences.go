package scheduler

import (
	"maps"
	"sync"
	"time"
)

// absences are since when targets of objects are not there for them, as far as that was seen here. It holds one entry for each such
// target of an object. It may be used concurrently.
type absences struct {
	mu    sync.Mutex
	since map[key]map[string]time.Time // guarded by mu
}

// of returns since when which targets of an object are not there. It is not to be modified.
func (a *absences) of(k key) map[string]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.since[k]
}

// note says which targets of an object are not there now; the others are.
func (a *absences) note(k key, gone []string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	noted := make(map[string]time.Time, len(gone))
	for _, name := range gone {
		noted[name] = now
		if since, known := a.since[k][name]; known {
			noted[name] = since
		}
	}
	switch {
	case len(noted) == 0:
		delete(a.since, k)
	case !maps.Equal(a.since[k], noted):
		a.since[k] = noted
	}
}
