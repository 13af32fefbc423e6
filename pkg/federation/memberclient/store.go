package memberclient

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// maxCachedBytes bounds what all caches of one member hold together, some 100,000 objects.
const maxCachedBytes = 256 << 20

// errTooMuch says that a member has more than its caches may hold.
var errTooMuch = &AnswerError{Problem: fmt.Sprintf(
	"the member sends more than %d MiB of objects with the label kubefed.io/managed=true", maxCachedBytes>>20)}

// budget is how much of its limit is taken. It may be used concurrently.
type budget struct {
	limitBytes int64
	takenBytes atomic.Int64
}

// take returns errTooMuch if there is not as much left.
func (b *budget) take(sizeBytes int64) error {
	if b.takenBytes.Add(sizeBytes) > b.limitBytes {
		b.give(sizeBytes)
		return errTooMuch
	}
	return nil
}

func (b *budget) give(sizeBytes int64) { b.takenBytes.Add(-sizeBytes) }

// store is what a reflector fills, for one attempt: the objects of a Cache. Its fields and
// those objects are guarded by cache.mu.
type store struct {
	cache *Cache
	// fail ends the attempt.
	fail context.CancelCauseFunc

	listing     time.Time // when the last list was begun
	listedBytes int64     // taken for a list that is under way
	heldBytes   int64     // taken for cache.objects
	closed      bool
}

// pagedSource keeps reflectors from asking for a list as a stream of events: that has no
// end but what the member says, and a member that says none is asked again without a pause.
type pagedSource struct{ *cache.ListWatch }

// IsWatchListSemanticsUnSupported is asked by reflectors.
func (pagedSource) IsWatchListSemanticsUnSupported() bool { return true }

func (s *store) source() cache.ListerWatcher {
	return pagedSource{&cache.ListWatch{
		ListWithContextFunc:  s.list,
		WatchFuncWithContext: s.cache.watch,
	}}
}

// list lists everything: the reflector's pages are of no use, since it keeps them all.
func (s *store) list(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
	s.unlist()
	c, list := s.cache, &liveList{}
	version, err := c.conn.list(ctx, query{resource: c.servedVersion(), keep: c.keep}, func(live *Live) error {
		if err := s.takeListed(live.sizeBytes()); err != nil {
			return err
		}
		list.Items = append(list.Items, *live)
		return nil
	})
	if err != nil {
		return nil, err
	}
	list.ResourceVersion = version
	return list, nil
}

func (s *store) takeListed(sizeBytes int64) error {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	if s.closed { // the reflector does not wait for its lists
		return context.Canceled
	}
	if err := s.cache.conn.budget.take(sizeBytes); err != nil {
		return err
	}
	s.listedBytes += sizeBytes
	return nil
}

// unlist begins a list, and gives back what the last one has taken if it failed.
func (s *store) unlist() {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	s.cache.conn.budget.give(s.listedBytes)
	s.listedBytes = 0
	s.listing = time.Now()
}

// close gives everything back. The cache must not be Synced any more.
func (s *store) close() {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	s.cache.conn.budget.give(s.listedBytes + s.heldBytes)
	s.listedBytes, s.heldBytes, s.closed = 0, 0, true
	s.cache.objects, s.cache.shown = nil, ""
	s.cache.deletions = deletions{}
}

func keyOf(live *Live) string { return cache.NewObjectName(live.Namespace, live.Name).String() }

// Replace takes the result of list. Whoever listens is told what is new and what is gone,
// and what has become of our own writes: the list was made after them, so that they are no
// news any more.
func (s *store) Replace(items []any, resourceVersion string) error {
	c := s.cache
	objects := make(map[string]*Live, len(items))
	for _, item := range items {
		live := item.(*Live)
		objects[keyOf(live)] = live
	}
	c.mu.Lock()
	old, listing := c.objects, s.listing
	c.objects, c.shown = objects, resourceVersion
	c.deletions = deletions{}
	c.conn.budget.give(s.heldBytes)
	s.heldBytes, s.listedBytes = s.listedBytes, 0
	done := c.settle(func(w write) bool { return w.at.Before(listing) })
	c.due.filled(time.Now())
	c.anew = false
	c.mu.Unlock()
	c.set(Synced, nil)
	for key, live := range objects {
		if before := old[key]; before == nil || before.UID != live.UID || before.ResourceVersion != live.ResourceVersion {
			c.saw(live)
			delete(done, key)
		}
	}
	for key, live := range old {
		if objects[key] == nil {
			c.lost(live)
			delete(done, key)
		}
	}
	for key, ours := range done {
		if shown := objects[key]; shown != nil || ours.live != nil {
			c.tell(shown, ours.live)
		}
	}
	c.conn.wakeUpkeep()
	return nil
}

// Add is Update.
func (s *store) Add(object any) error { return s.Update(object) }

// Update takes an event of the watch. If there is no room for it the attempt ends: what is
// left would not be what the member has.
func (s *store) Update(object any) error {
	live := object.(*Live)
	if err := s.put(live); err != nil {
		s.fail(err)
		return nil // the reflector would log the object
	}
	s.cache.saw(live)
	return nil
}

func (s *store) put(live *Live) error {
	c, key := s.cache, keyOf(live)
	c.mu.Lock()
	defer c.mu.Unlock()
	more := live.sizeBytes()
	if old := c.objects[key]; old != nil {
		more -= old.sizeBytes()
	}
	if err := c.conn.budget.take(more); err != nil {
		return err
	}
	s.heldBytes += more
	c.objects[key] = live
	c.deletions.forget(key)
	return nil
}

// Delete takes an event of the watch, with the last state of the object.
func (s *store) Delete(object any) error {
	live := object.(*Live)
	c, key := s.cache, keyOf(live)
	c.mu.Lock()
	if old := c.objects[key]; old != nil {
		live.Ended = live.Ended || (old.Ended && old.UID == live.UID)
		c.conn.budget.give(old.sizeBytes())
		s.heldBytes -= old.sizeBytes()
		delete(c.objects, key)
	}
	c.deletions.add(key, Deletion{UID: live.UID, Ended: live.Ended, At: time.Now(), resourceVersion: live.ResourceVersion})
	c.mu.Unlock()
	c.lost(live)
	return nil
}

// UpdateResourceVersion is told of the version of every event of the watch, bookmarks among
// them, after the event.
func (s *store) UpdateResourceVersion(resourceVersion string) {
	c := s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if !isBefore(resourceVersion, c.shown) {
		c.shown = resourceVersion
	}
}

// Resync has nothing to do: upkeep compares with what the member has.
func (s *store) Resync() error { return nil }
