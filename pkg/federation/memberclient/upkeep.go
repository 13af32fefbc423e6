package memberclient

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// A watch may lose events, whatever is between us and the member's store, and an answer to a
// write may come after the watch has shown the end of the object. So a cache is compared with
// what the member has: a write of ours that the watch does not show, soon and by reading
// the object; everything, now and then and by a list that the member answers from memory.
// Neither changes what the cache has seen. If an event was lost, everything is listed anew,
// as when a watch has failed.

const (
	// catchUp is for how long the watch may be behind.
	catchUp = 10 * time.Second
	// maxChecks bounds how many objects are read at a time. If there are more, everything is
	// listed anew.
	maxChecks = 64
	// enoughChecks is how often the member has to say of one object what the watch does not
	// show, until everything is listed anew.
	enoughChecks = 2
	// Everything is compared so often, and up to resyncJitter times later.
	resyncEvery, resyncJitter = 8 * time.Minute, 0.5
	// anewEvery is how often everything may be listed anew because of lost events.
	anewEvery = time.Minute
)

// due is when upkeep has what to do for a cache; a zero time is never.
type due struct {
	check   time.Time // of writes and suspects
	resync  time.Time
	version time.Time // of a question for the version that is wanted
	anew    time.Time // not sooner than this

	// suspects are what the last comparison found, at most maxChecks.
	suspects []suspect
}

// suspect is an object of which the member's list said something else than the cache.
type suspect struct {
	key             string
	uid             types.UID
	resourceVersion string
	// missing: the list did not have it; else the cache did not, or in an earlier version.
	missing bool
}

// filled says that everything was listed.
func (d *due) filled(now time.Time) {
	d.resync = now.Add(wait.Jitter(resyncEvery, resyncJitter))
	d.version = now.Add(recheck)
	d.suspects = nil
}

// wrote plans the check of a write, and reports whether there was none planned.
func (d *due) wrote(now time.Time) bool {
	if !d.check.IsZero() {
		return false
	}
	d.check = now.Add(catchUp)
	return true
}

// next is when the next thing is due.
func (d *due) next() time.Time {
	next := d.resync
	for _, other := range []time.Time{d.check, d.version} {
		if !other.IsZero() && other.Before(next) {
			next = other
		}
	}
	return next
}

func (c *Conn) wakeUpkeep() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// upkeep does what is due for the caches, one after the other, until the Conn is closed.
func (c *Conn) upkeep() {
	for c.ctx.Err() == nil {
		timer := time.NewTimer(time.Until(c.tend()))
		select {
		case <-c.ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// tend does what is due now, and returns when something is due next.
func (c *Conn) tend() time.Time {
	c.mu.Lock()
	caches := make([]*Cache, 0, len(c.caches))
	for _, cache := range c.caches {
		caches = append(caches, cache)
	}
	c.mu.Unlock()
	next := time.Now().Add(resyncEvery)
	for _, cache := range caches {
		if at := cache.tend(c.ctx); !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return next
}

// tend does what is due for a cache, and returns when something is due next; zero if it is
// not filled, since filling it wakes upkeep.
func (c *Cache) tend(ctx context.Context) time.Time {
	for _, task := range []struct {
		at func(*due) *time.Time
		do func(context.Context)
	}{
		{func(d *due) *time.Time { return &d.check }, c.check},
		{func(d *due) *time.Time { return &d.resync }, c.resync},
		{func(d *due) *time.Time { return &d.version }, c.askVersion},
	} {
		c.mu.Lock()
		at := task.at(&c.due)
		isDue := c.state == Synced && !at.IsZero() && !at.After(time.Now())
		if isDue {
			*at = time.Time{}
		}
		c.mu.Unlock()
		if isDue {
			task.do(ctx)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Synced {
		return time.Time{}
	}
	return c.due.next()
}

// check asks the member for what the watch does not show.
func (c *Cache) check(ctx context.Context) {
	now := time.Now()
	c.mu.Lock()
	keys := c.overdue(now.Add(-catchUp), maxChecks+1)
	suspects := c.due.suspects
	c.due.suspects = nil
	if len(keys) > maxChecks {
		keys = nil
		c.listAnew(now)
	}
	c.mu.Unlock()
	for _, key := range keys {
		if !c.checkWrite(ctx, key) {
			break
		}
	}
	for _, s := range suspects {
		if c.wasLost(ctx, s) {
			klog.FromContext(ctx).V(2).Info("Watch of a member lost events", "type", c.target.Resource.GroupResource(), "object", s.key)
			c.mu.Lock()
			c.listAnew(now)
			c.mu.Unlock()
			break
		}
	}
	c.mu.Lock()
	if len(c.writes) > 0 {
		c.due.wrote(time.Now())
	}
	c.mu.Unlock()
}

// listAnew ends the watch, if that is not too soon, and with it what it has lost. c.mu is
// held.
func (c *Cache) listAnew(now time.Time) {
	if now.Before(c.due.anew) {
		return
	}
	c.due.anew = now.Add(anewEvery)
	if c.anew = true; c.cut != nil {
		c.cut()
	}
}

// read reads an object past the cache; nil if it is not there, or not managed.
func (c *Cache) read(ctx context.Context, key string) (*Live, error) {
	name, err := cache.ParseObjectName(key)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	object, err := c.fetch(ctx, name)
	if err != nil {
		return nil, unlessMissing(err, name.Name)
	}
	if object.GetName() != name.Name || object.GetNamespace() != name.Namespace {
		return nil, &AnswerError{Problem: "the member answers another object than the one that was asked for"}
	}
	if !isManaged(object) {
		return nil, nil
	}
	return NewLive(object, c.keep)
}

func (c *Cache) fetch(ctx context.Context, name cache.ObjectName) (metav1.Object, error) {
	if c.keep.whole() {
		return c.conn.resource(c.servedVersion(), name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	}
	if name.Namespace == "" {
		return c.conn.metadata.Resource(c.servedVersion()).Get(ctx, name.Name, metav1.GetOptions{})
	}
	return c.conn.metadata.Resource(c.servedVersion()).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
}

// checkWrite asks the member for an object that we wrote and the watch does not show, and
// tells of it if it is not what we wrote any more. It reports whether the member answered.
func (c *Cache) checkWrite(ctx context.Context, key string) bool {
	c.mu.Lock()
	ours, ok := c.writes[key]
	c.mu.Unlock()
	if !ok {
		return true
	}
	found, err := c.read(ctx, key)
	c.mu.Lock()
	if latest, ok := c.writes[key]; !ok || latest != ours {
		c.mu.Unlock()
		return true // the watch has shown it meanwhile, or we wrote again
	}
	if err != nil { // what is not known stays as it is
		ours.at = time.Now()
		c.writes[key] = ours
		c.mu.Unlock()
		return false
	}
	changed := c.found(key, ours, found)
	current := c.current(key)
	c.mu.Unlock()
	if changed {
		c.tell(current, ours.live)
	}
	return true
}

// found replaces the result of a write by what the member says now, nil if the object is not
// there, and reports whether that is something else. c.mu is held.
func (c *Cache) found(key string, ours write, now *Live) (changed bool) {
	shown := c.objects[key]
	confirmed := write{live: now, at: time.Now(), checks: ours.checks + 1}
	switch {
	case now == nil && shown != nil:
		confirmed.gone = shown.UID
		changed = ours.gone != shown.UID
	case now == nil:
		changed = ours.live != nil
	case ours.live == nil:
		changed = true
	default:
		changed = now.UID != ours.live.UID || now.ResourceVersion != ours.live.ResourceVersion
	}
	c.forget(key)
	isShown := now != nil && shown != nil && !older(shown, now)
	gone, seen := c.deletions.of(key)
	switch {
	case c.isNews(confirmed, shown):
		if c.conn.budget.take(confirmed.sizeBytes()) == nil {
			c.writes[key] = confirmed
		}
		if confirmed.checks >= enoughChecks {
			c.listAnew(confirmed.at)
		}
	case now != nil && !isShown && !(seen && gone.ends(now)): // the watch has passed it and did not show it
		c.listAnew(confirmed.at)
	}
	return changed
}

// resync compares the cache with what the member's own cache has. That may be older than
// what the watch has shown: what differs is looked at again.
func (c *Cache) resync(ctx context.Context) {
	listed := map[string]struct{}{} // of the keys that the cache has
	var suspects []suspect
	var sizeBytes int64
	version, err := c.conn.list(ctx, query{resource: c.servedVersion(), namespace: c.target.Namespace, keep: Keep{}, cached: true}, func(live *Live) error {
		if sizeBytes += live.sizeBytes(); sizeBytes > maxCachedBytes {
			return errTooMuch
		}
		key := keyOf(live)
		c.mu.Lock()
		shown := c.objects[key]
		c.mu.Unlock()
		if shown != nil {
			listed[key] = struct{}{}
		}
		if shown == nil || older(shown, live) {
			suspects = append(suspects, suspect{key: key, uid: live.UID, resourceVersion: live.ResourceVersion})
		}
		if len(suspects) == maxChecks {
			return errManySuspects
		}
		return nil
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.due.resync = now.Add(wait.Jitter(resyncEvery, resyncJitter))
	c.due.suspects = suspects
	if err == nil {
		c.suspectMissing(listed, version)
	} else if err != errManySuspects {
		klog.FromContext(ctx).V(4).Info("Failed to compare the cache of a member's objects", "type", c.target.Resource.GroupResource(), "problem", Problem(err))
		return
	}
	if len(c.due.suspects) > 0 {
		c.due.check = now.Add(catchUp)
	}
	c.deletions.expire(now)
}

// errManySuspects ends a list of which enough is known.
var errManySuspects = &AnswerError{Problem: "the member's list differs much from its watch"}

// suspectMissing adds the objects that the list of a version did not have although it could.
// c.mu is held.
func (c *Cache) suspectMissing(listed map[string]struct{}, version string) {
	for key, shown := range c.objects {
		if len(c.due.suspects) == maxChecks {
			return
		}
		if _, ok := listed[key]; !ok && !isBefore(version, shown.ResourceVersion) {
			c.due.suspects = append(c.due.suspects, suspect{key: key, uid: shown.UID, missing: true})
		}
	}
}

// wasLost reports whether the cache still does not know what a list said some time ago,
// although it is so.
func (c *Cache) wasLost(ctx context.Context, s suspect) bool {
	if !c.isSuspect(s) {
		return false
	}
	found, err := c.read(ctx, s.key)
	if err != nil || !c.isSuspect(s) {
		return false
	}
	if s.missing {
		return found == nil
	}
	return found != nil && found.UID == s.uid
}

func (c *Cache) isSuspect(s suspect) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown := c.objects[s.key]
	switch {
	case s.missing:
		return shown != nil && shown.UID == s.uid
	case shown == nil:
		return true
	}
	return isBefore(shown.ResourceVersion, s.resourceVersion)
}

// askVersion has the cache filled from the version that is wanted once the member serves it.
func (c *Cache) askVersion(ctx context.Context) {
	if c.servedVersion() == c.target.Resource {
		return
	}
	served, err := c.conn.serves(ctx, c.target)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due.version = time.Now().Add(recheck)
	if err == nil && served && c.restart != nil {
		c.restart()
	}
}
