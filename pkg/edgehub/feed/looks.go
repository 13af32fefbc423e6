package feed

import (
	"sync"
	"time"
)

// lookLasts is how long what an API server had come to is taken for what it has come to: feeds that were cut off together are back together.
const lookLasts = 5 * time.Second

// Looks are what the API server had come to when a feed looked, by kind of object: resourceVersions of a kind are of one database. An API that answers each of its users as it likes is looked at by each. Feeds that were cut off together look once. It may be used concurrently.
type Looks struct {
	mu  sync.Mutex
	all map[looked]look // guarded by mu
}

// looked is what is looked at: a kind, and as whom if that matters.
type looked struct{ kind, owner string }

type look struct {
	version uint64
	at      time.Time
}

// after returns what a look found that was begun no earlier than a moment, and not long ago.
func (l *Looks) after(kind, owner string, moment time.Time) (uint64, bool) {
	if l == nil {
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.all[looked{kind, owner}]
	return last.version, ok && !last.at.Before(moment) && time.Since(last.at) < lookLasts
}

// note has what a look found be known, which was begun at a moment.
func (l *Looks) note(kind, owner string, version uint64, began time.Time) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[looked]look{}
	}
	l.all[looked{kind, owner}] = look{version, began}
}
