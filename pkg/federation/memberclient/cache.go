package memberclient

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
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
	// NotServed: the member does not have the type.
	NotServed
	// Synced: what the cache holds is what the member has, or had a moment ago.
	Synced
)

const (
	// recheck is how often a member is asked again for a type that it did not have.
	recheck = 10 * time.Second
	// surfeitPause is how long a type is left alone of which the member sent too much.
	surfeitPause = 5 * time.Minute
	// writeMemory is how long an answer to a write may be newer than the watch.
	writeMemory = 30 * time.Second
)

// Cache holds the managed objects of one type in one member.
type Cache struct {
	conn       *Conn
	target     Type
	keepStatus bool
	stop       context.CancelFunc
	starts     *rate.Limiter // of watches

	mu      sync.Mutex
	state   State
	err     error
	objects map[string]*Live // by namespace/name
	restart context.CancelFunc
	// writes are results of our own writes that the watch has not shown yet, by key. It
	// holds at most one entry per object written in the last 30 s.
	writes map[string]write
}

// write is the answer to an apply, or, without live, the end of the object with that UID.
type write struct {
	live *Live
	gone types.UID
	at   time.Time
}

func (w write) sizeBytes() int64 {
	if w.live == nil {
		return int64(len(w.gone))
	}
	return w.live.sizeBytes()
}

// supersedes reports whether the write is newer than what the watch has shown.
func (w write) supersedes(shown *Live) bool {
	switch {
	case time.Since(w.at) > writeMemory:
		return false
	case w.live == nil:
		return shown != nil && shown.UID == w.gone
	}
	return shown == nil || older(shown, w.live)
}

// Watch fills and keeps a cache of the type. Calling it again is cheap; with another
// keepStatus the cache is filled anew.
func (c *Conn) Watch(t Type, keepStatus bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	if old := c.caches[t.Resource]; old != nil {
		if old.keepStatus == keepStatus && old.target == t {
			return
		}
		old.stop()
	}
	ctx, stop := context.WithCancel(c.ctx)
	created := newCache(c, t, keepStatus, stop)
	c.caches[t.Resource] = created
	// Ends with stop, or when the Conn is closed.
	c.wg.Go(func() { created.run(ctx) })
}

func newCache(conn *Conn, t Type, keepStatus bool, stop context.CancelFunc) *Cache {
	return &Cache{
		conn: conn, target: t, keepStatus: keepStatus, stop: stop, state: Filling, writes: map[string]write{},
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
	key := cache.NewObjectName(namespace, name).String()
	live := c.objects[key]
	if ours, ok := c.writes[key]; ok {
		if ours.supersedes(live) {
			live = ours.live
		} else {
			c.forget(key)
		}
	}
	return live, Synced, nil
}

// older reports whether a is an earlier version than b. What cannot be compared is
// current.
func older(a, b *Live) bool {
	order, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
	return err == nil && order < 0
}

// wrote remembers the result of a write until the watch shows it, if there is room.
func (c *Cache) wrote(namespace, name string, result write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, old := range c.writes {
		if time.Since(old.at) > writeMemory {
			c.forget(key)
		}
	}
	key := cache.NewObjectName(namespace, name).String()
	c.forget(key)
	if c.writes == nil || c.conn.budget.take(result.sizeBytes()) != nil {
		return // nobody watches any more, or the watch will show it
	}
	result.at = time.Now()
	c.writes[key] = result
}

// forget drops the result of a write. c.mu is held.
func (c *Cache) forget(key string) {
	if old, ok := c.writes[key]; ok {
		c.conn.budget.give(old.sizeBytes())
		delete(c.writes, key)
	}
}

// saw forgets the answer to an apply that the watch has caught up with.
func (c *Cache) saw(live *Live) {
	c.mu.Lock()
	key := cache.NewObjectName(live.Namespace, live.Name).String()
	if ours, ok := c.writes[key]; ok && ours.live != nil && !older(live, ours.live) {
		c.forget(key)
	}
	c.mu.Unlock()
	c.conn.onEvent(c.target.Resource, live)
}

func (c *Cache) set(state State, err error) {
	c.mu.Lock()
	changed := c.state != state || (err != nil && c.err == nil)
	c.state, c.err = state, err
	c.mu.Unlock()
	if changed {
		c.conn.onEvent(c.target.Resource, nil)
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
	served, err := c.conn.serves(ctx, c.target)
	switch {
	case err != nil:
		c.set(Filling, err)
		return recheck
	case !served:
		c.set(NotServed, nil)
		return recheck
	}
	if err := c.keep(ctx, delay); errors.Is(err, errTooMuch) {
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

// keep lists and watches until ctx ends, the type is gone, or the member answers what must
// not be kept. It then returns that, and what the cache held is forgotten. Other failures
// are tried again: what the cache holds is what the member had a moment ago.
func (c *Cache) keep(ctx context.Context, delay wait.DelayFunc) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s := &store{cache: c, fail: fail}
	err := c.reflect(ctx, s, delay)
	c.set(Filling, err)
	s.close()
	return err
}

func (c *Cache) reflect(ctx context.Context, s *store, delay wait.DelayFunc) error {
	reflector := cache.NewReflectorWithOptions(s.source(), &Live{}, s,
		cache.ReflectorOptions{TypeDescription: c.target.Resource.GroupResource().String()})
	for {
		err := reflector.ListAndWatchWithContext(ctx)
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
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
