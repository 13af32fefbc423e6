package memberclient

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// maxDeletions bounds how many deletions a cache remembers, deletionMemory for how long, some
// 200 bytes each.
const (
	maxDeletions   = 1024
	deletionMemory = 10 * time.Minute
)

// Deletion is the end of an object that a watch has shown.
type Deletion struct {
	UID types.UID
	// Ended: it had run to its end, as Keep.Ended says.
	Ended bool
	At    time.Time

	resourceVersion string // of the event
}

// ends reports whether the deletion is later than a version of an object.
func (d Deletion) ends(live *Live) bool {
	return d.UID == live.UID && !isBefore(d.resourceVersion, live.ResourceVersion)
}

// deletions are the last ones, by key of the object: one for each that was not made again.
// Beyond maxDeletions the oldest are forgotten. The zero value is ready for use.
type deletions struct {
	byKey map[string]Deletion
	order []deleted // oldest first; those that are not in byKey any more among them
}

type deleted struct {
	key string
	at  time.Time
}

func (d *deletions) of(key string) (Deletion, bool) {
	deletion, ok := d.byKey[key]
	return deletion, ok
}

func (d *deletions) add(key string, deletion Deletion) {
	d.expire(deletion.At)
	if d.byKey == nil {
		d.byKey = map[string]Deletion{}
	}
	if len(d.order) == maxDeletions {
		d.dropOldest()
	}
	d.byKey[key] = deletion
	d.order = append(d.order, deleted{key, deletion.At})
}

// expire forgets what is older than deletionMemory.
func (d *deletions) expire(now time.Time) {
	for len(d.order) > 0 && now.Sub(d.order[0].at) > deletionMemory {
		d.dropOldest()
	}
}

func (d *deletions) dropOldest() {
	oldest := d.order[0]
	if d.byKey[oldest.key].At.Equal(oldest.at) {
		delete(d.byKey, oldest.key)
	}
	if d.order = d.order[1:]; len(d.order) == 0 {
		*d = deletions{}
	}
}

func (d *deletions) forget(key string) { delete(d.byKey, key) }
