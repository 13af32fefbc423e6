package memberclient

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// State is what a cache knows.
type State int

const (
	// Unwatched: nobody asked for the type yet.
	Unwatched State = iota
	// Filling: the cache does not know yet.
	Filling
	// NotServed: the member does not serve the type, in no version. Whether there are objects
	// of it all the same is not known: see Vanished.
	NotServed
	// Synced: what the cache holds is what the member has, or had a moment ago.
	Synced
)

const (
	// recheck is how often a member is asked again for a type that it did not have, or not in
	// the version that is wanted.
	recheck = 10 * time.Second
	// surfeitPause is how long a type is left alone of which the member sent too much.
	surfeitPause = 5 * time.Minute
)

// Cache holds the managed objects of one type in one member: what the list and the watch
// have shown, and, where our own writes are newer, what the member answered to them.
type Cache struct {
	conn   *Conn
	target Type
	keep   Keep
	stop   context.CancelFunc
	starts *rate.Limiter // of watches

	mu    sync.Mutex // guards what follows
	state State
	err   error
	// served is what is listed and watched; empty while that is not known, or nothing is.
	served  schema.GroupVersionResource
	objects map[string]*Live // by namespace/name; read-only
	restart context.CancelFunc
	// shown is the highest version that the list and the watch have delivered.
	shown string
	// deletions are those that the watch has shown since the last list.
	deletions deletions
	// writes are results of our own writes that the watch has not shown yet, by key. It holds
	// at most one entry per object written; upkeep takes those out that do not show.
	writes map[string]write
	due    due
	// anew has everything listed anew before it is watched again; cut ends the watch.
	anew bool
	cut  context.CancelFunc
}

// Watch fills and keeps a cache of the type. Calling it again is cheap; to keep something
// else, the cache is filled anew.
func (c *Conn) Watch(t Type, keep Keep) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	if old := c.caches[t.Resource]; old != nil {
		if old.keep.same(keep) && old.target == t {
			return
		}
		old.stop()
	}
	ctx, stop := context.WithCancel(c.ctx)
	created := newCache(c, t, keep, stop)
	c.caches[t.Resource] = created
	// Ends with stop, or when the Conn is closed.
	c.wg.Go(func() { created.run(ctx) })
	if !c.tended {
		c.tended = true
		// Ends when the Conn is closed.
		c.wg.Go(c.upkeep)
	}
}

func newCache(conn *Conn, t Type, keep Keep, stop context.CancelFunc) *Cache {
	return &Cache{
		conn: conn, target: t, keep: keep, stop: stop, state: Filling, writes: map[string]write{},
		starts: rate.NewLimiter(rate.Every(watchEvery), watchBurst),
	}
}

// Unwatch drops the cache of a type.
func (c *Conn) Unwatch(gvr schema.GroupVersionResource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.caches[gvr]; old != nil {
		old.stop()
		delete(c.caches, gvr)
	}
}

// Retry lets caches that are not filled try again now, instead of when their backoff
// ends: for when the member has just come back.
func (c *Conn) Retry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cache := range c.caches {
		cache.mu.Lock()
		if cache.state != Synced && cache.restart != nil {
			cache.restart()
		}
		cache.mu.Unlock()
	}
}

// Cached returns an object, nil if there is none, and what the cache knows. err says why
// a cache is still Filling, if it failed before.
func (c *Conn) Cached(gvr schema.GroupVersionResource, namespace, name string) (live *Live, state State, err error) {
	c.mu.Lock()
	found := c.caches[gvr]
	c.mu.Unlock()
	if found == nil {
		return nil, Unwatched, nil
	}
	return found.get(namespace, name)
}

func (c *Cache) get(namespace, name string) (*Live, State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Synced {
		return nil, c.state, c.err
	}
	return c.current(cache.NewObjectName(namespace, name).String()), Synced, nil
}

// current is the object as far as it is known: as the watch has shown it, or as a write of
// ours has left it since. c.mu is held.
func (c *Cache) current(key string) *Live {
	shown := c.objects[key]
	if ours, ok := c.writes[key]; ok && c.isNews(ours, shown) {
		return ours.live
	}
	return shown
}

// SeenDeleted returns how an object ended that the cache does not hold, if the watch has
// shown that; false if nobody watched when it went, or that was long ago: it may not have
// been there at all.
func (c *Conn) SeenDeleted(gvr schema.GroupVersionResource, namespace, name string) (Deletion, bool) {
	c.mu.Lock()
	found := c.caches[gvr]
	c.mu.Unlock()
	if found == nil {
		return Deletion{}, false
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	return found.deletions.of(cache.NewObjectName(namespace, name).String())
}

// older reports whether a is an earlier version than b. What cannot be compared is
// current.
func older(a, b *Live) bool { return isBefore(a.ResourceVersion, b.ResourceVersion) }

// isBefore reports whether one resourceVersion is known to be earlier than another.
func isBefore(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}

func (c *Cache) servedVersion() schema.GroupVersionResource {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.served
}

// tell says that an object is now live, or is gone if that is nil; last is what was known
// of it.
func (c *Cache) tell(live, last *Live) {
	event := Event{Live: live}
	if live == nil {
		event = Event{Live: last, Deleted: true}
	}
	c.conn.onEvent(c.target.Resource, event)
}

func (c *Cache) set(state State, err error) {
	c.mu.Lock()
	changed := c.state != state || (err != nil && c.err == nil)
	c.state, c.err = state, err
	if state == NotServed {
		c.served = schema.GroupVersionResource{}
	}
	c.mu.Unlock()
	if changed {
		c.conn.onEvent(c.target.Resource, Event{})
	}
}

// run asks whether the type is served, and lists and watches while it is.
func (c *Cache) run(ctx context.Context) {
	delay := retryDelay()
	for ctx.Err() == nil {
		attempt, cancel := context.WithCancel(ctx)
		c.mu.Lock()
		c.restart = cancel
		c.mu.Unlock()
		c.conn.sleep(attempt, c.try(attempt, delay))
		cancel()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.writes {
		c.forget(key)
	}
	c.writes = nil
}

// try keeps the cache as long as that goes well, and returns how long to wait before the
// next try.
func (c *Cache) try(ctx context.Context, delay wait.DelayFunc) time.Duration {
	served, err := c.conn.findServed(ctx, c.target)
	switch {
	case err != nil:
		c.set(Filling, err)
		return recheck
	case served.Empty():
		c.set(NotServed, nil)
		return recheck
	}
	c.mu.Lock()
	c.served = served
	c.mu.Unlock()
	if err := c.hold(ctx, delay); errors.Is(err, errTooMuch) || errors.Is(err, errEndless) {
		return surfeitPause
	}
	return delay()
}

// retryDelay returns how long to wait between attempts to list and watch: as reflectors do,
// 1 s or so, twice as long each time up to half a minute or so, and 1 s again after two
// minutes without any.
func retryDelay() wait.DelayFunc {
	backoff := wait.Backoff{Duration: 800 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 38, Cap: 30 * time.Second}
	return backoff.DelayWithReset(clock.RealClock{}, 2*time.Minute)
}

// hold lists and watches until ctx ends, the type is gone, or the member answers what must
// not be kept. It then returns that, and what the cache held is forgotten. Other failures
// are tried again: what the cache holds is what the member had a moment ago.
func (c *Cache) hold(ctx context.Context, delay wait.DelayFunc) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s := &store{cache: c, fail: fail}
	err := c.reflect(ctx, s, delay)
	c.set(Filling, err)
	s.close()
	return err
}

func (c *Cache) reflect(ctx context.Context, s *store, delay wait.DelayFunc) error {
	for {
		err := s.listAndWatch(ctx, delay)
		var answer *AnswerError
		switch {
		case ctx.Err() != nil:
			if errors.As(context.Cause(ctx), &answer) {
				return answer
			}
			return nil
		case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
			return nil
		case errors.As(err, &answer):
			return answer
		case err != nil:
			c.failed(err)
		}
		c.conn.sleep(ctx, delay())
	}
}

// failed says why a cache that holds nothing yet does not.
func (c *Cache) failed(err error) {
	c.mu.Lock()
	filled := c.state == Synced
	c.mu.Unlock()
	if !filled {
		c.set(Filling, err)
	}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
