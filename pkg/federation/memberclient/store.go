package memberclient

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
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

// store fills a Cache with objects, in one attempt. Its fields and those objects are guarded
// by cache.mu.
type store struct {
	cache *Cache
	// fail ends the attempt.
	fail context.CancelCauseFunc

	listing     time.Time // when the last list was begun
	listedBytes int64     // taken for a list that is under way
	heldBytes   int64     // taken for cache.objects
	closed      bool
}

// listAndWatch lists everything, and follows watches from there on as long as they show
// everything. Then it returns why a watch could not be begun, or nil: everything is to be
// listed anew, after a pause.
func (s *store) listAndWatch(ctx context.Context, delay wait.DelayFunc) error {
	objects, version, err := s.list(ctx)
	if err != nil {
		return err
	}
	s.replace(objects, version)
	for ctx.Err() == nil {
		begun := time.Now()
		events, err := s.watch(ctx)
		switch {
		case utilnet.IsConnectionRefused(err), apierrors.IsTooManyRequests(err):
			s.cache.conn.sleep(ctx, delay())
		case err != nil:
			return err
		case events == 0 && time.Since(begun) < shortWatch:
			return nil
		}
	}
	return nil
}

// list lists everything.
func (s *store) list(ctx context.Context) (objects map[string]*Live, version string, err error) {
	s.unlist()
	c := s.cache
	objects = map[string]*Live{}
	version, err = c.conn.list(ctx, query{resource: c.servedVersion(), namespace: c.target.Namespace, keep: c.keep}, func(live *Live) error {
		if err := s.takeListed(live.sizeBytes()); err != nil {
			return err
		}
		objects[keyOf(live)] = live
		return nil
	})
	return objects, version, err
}

func (s *store) takeListed(sizeBytes int64) error {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
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
	s.listedBytes, s.heldBytes = 0, 0
	s.cache.objects, s.cache.shown = nil, ""
	s.cache.deletions = deletions{}
}

func keyOf(live *Live) string { return cache.NewObjectName(live.Namespace, live.Name).String() }

// replace takes the result of list. Whoever listens is told what is new and what is gone,
// and what has become of our own writes: the list was made after them, so that they are no
// news any more.
func (s *store) replace(objects map[string]*Live, resourceVersion string) {
	c := s.cache
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
}

// take takes an event of the watch. If there is no room for it the attempt ends: what is
// left would not be what the member has.
func (s *store) take(event watch.EventType, live *Live) {
	switch event {
	case watch.Added, watch.Modified:
		if err := s.put(live); err != nil {
			s.fail(err)
			return
		}
		s.cache.saw(live)
	case watch.Deleted:
		s.drop(live)
		s.cache.lost(live)
	}
	s.passed(live.ResourceVersion)
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

// drop takes an object out; live is its last state.
func (s *store) drop(live *Live) {
	c, key := s.cache, keyOf(live)
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.objects[key]; old != nil {
		live.Ended = live.Ended || (old.Ended && old.UID == live.UID)
		c.conn.budget.give(old.sizeBytes())
		s.heldBytes -= old.sizeBytes()
		delete(c.objects, key)
	}
	c.deletions.add(key, Deletion{UID: live.UID, Ended: live.Ended, At: time.Now(), resourceVersion: live.ResourceVersion})
}

// passed says that everything up to a version was shown: that of an event or a bookmark.
func (s *store) passed(resourceVersion string) {
	c := s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if resourceVersion != "" && !isBefore(resourceVersion, c.shown) {
		c.shown = resourceVersion
	}
}
