package memberclient

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// write is the result of a write of ours: what the member answered or, without live, that
// the object with that UID is gone. The watch may be behind it, or ahead.
type write struct {
	live *Live
	gone types.UID
	// at is when it was last known to be true.
	at time.Time
	// checks is how often the member was asked since and said the same.
	checks int
}

func (w write) sizeBytes() int64 {
	if w.live == nil {
		return int64(len(w.gone))
	}
	return w.live.sizeBytes()
}

// isNews reports whether a write is newer than what the watch has shown of the object and
// of everything else: what it has passed, it has shown or will not show. c.mu is held.
func (c *Cache) isNews(w write, shown *Live) bool {
	if w.live == nil {
		return shown != nil && shown.UID == w.gone
	}
	return (shown == nil || older(shown, w.live)) && !c.hasPassed(w.live)
}

// hasPassed reports whether the watch has come to the version of an object, or has shown its
// end. c.mu is held.
func (c *Cache) hasPassed(live *Live) bool {
	if gone, ok := c.deletions.of(keyOf(live)); ok && gone.ends(live) {
		return true
	}
	return live.ResourceVersion == c.shown || isBefore(live.ResourceVersion, c.shown)
}

// answered takes the answer to a write in the version of gvr, and returns what the cache
// keeps of it. What another version says of status is not what the cache compares with.
func (c *Cache) answered(gvr schema.GroupVersionResource, object *unstructured.Unstructured) (*Live, error) {
	c.mu.Lock()
	served := c.served
	c.mu.Unlock()
	keep := c.keep
	if !served.Empty() && served != gvr {
		keep = Keep{}
	}
	live, err := NewLive(object, keep)
	if err != nil {
		return nil, err
	}
	if served != gvr {
		c.mu.Lock()
		if shown := c.objects[keyOf(live)]; shown != nil && shown.UID == live.UID {
			live.Status, live.Ended = shown.Status, shown.Ended
			if live.Generation == shown.Generation { // else how it is now is not known yet
				live.Summary = shown.Summary
			}
		}
		c.mu.Unlock()
	}
	c.wrote(live.Namespace, live.Name, write{live: live})
	return live, nil
}

// wrote remembers the result of a write until the watch shows it, if there is room. If the
// watch has shown more already, such as the end of what was just created, whoever listens
// is told again, since he comes to know of the write only now.
func (c *Cache) wrote(namespace, name string, result write) {
	key := cache.NewObjectName(namespace, name).String()
	c.mu.Lock()
	c.forget(key)
	shown := c.objects[key]
	if c.state == Synced && !c.isNews(result, shown) && result.live != nil {
		same := shown != nil && shown.UID == result.live.UID && shown.ResourceVersion == result.live.ResourceVersion
		if c.isMissed(result.live, shown) {
			c.listAnew(time.Now())
		}
		c.mu.Unlock()
		if !same {
			c.tell(shown, result.live)
		}
		return
	}
	defer c.mu.Unlock()
	if c.writes == nil || c.conn.budget.take(result.sizeBytes()) != nil {
		return // nobody watches any more, or the watch will show it
	}
	result.at = time.Now()
	c.writes[key] = result
	if c.due.wrote(result.at) {
		c.conn.wakeUpkeep()
	}
}

// isMissed reports whether the watch has passed the version of an object that we wrote, and has
// shown neither that nor another object of the name nor its end: it lost events, or the member
// went back in its versions, as after a restore. c.mu is held.
func (c *Cache) isMissed(ours, shown *Live) bool {
	_, seen := c.deletions.of(keyOf(ours))
	return !seen && (shown == nil || (shown.UID == ours.UID && older(shown, ours)))
}

// forget drops the result of a write. c.mu is held.
func (c *Cache) forget(key string) {
	if old, ok := c.writes[key]; ok {
		c.conn.budget.give(old.sizeBytes())
		delete(c.writes, key)
	}
}

// settle forgets the writes that are done, and returns them by key. c.mu is held.
func (c *Cache) settle(isDone func(write) bool) map[string]write {
	done := map[string]write{}
	for key, ours := range c.writes {
		if isDone(ours) {
			done[key] = ours
			c.forget(key)
		}
	}
	return done
}

// saw tells of an object that the watch has shown, and forgets a write of ours that it has
// caught up with.
func (c *Cache) saw(live *Live) {
	c.mu.Lock()
	key := keyOf(live)
	if ours, ok := c.writes[key]; ok {
		if caughtUp := ours.live != nil && !older(live, ours.live); caughtUp || (ours.live == nil && ours.gone != live.UID) {
			c.forget(key)
		}
	}
	c.mu.Unlock()
	c.tell(live, nil)
}

// lost tells of an object that is gone, as the watch or a list has shown, and forgets what
// our writes made of it. An object that we have made since stays.
func (c *Cache) lost(last *Live) {
	c.mu.Lock()
	key := keyOf(last)
	if ours, ok := c.writes[key]; ok && (ours.gone == last.UID || (ours.live != nil && !older(last, ours.live))) {
		c.forget(key)
	}
	current := c.current(key)
	c.mu.Unlock()
	c.tell(current, last)
}

// overdue returns the keys of writes that the watch has not shown since a time, at most so
// many. c.mu is held.
func (c *Cache) overdue(before time.Time, atMost int) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(c.writes)) {
		if len(keys) < atMost && !c.writes[key].at.After(before) {
			keys = append(keys, key)
		}
	}
	return keys
}
