package memberclient

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
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
	// writeMemory is how long an answer to a write may be newer than the watch.
	writeMemory = 30 * time.Second
	// listTimeout bounds one list; a page holds 500 objects.
	listTimeout = time.Minute
)

// Cache holds the managed objects of one type in one member.
type Cache struct {
	conn       *Conn
	target     Type
	keepStatus bool
	stop       context.CancelFunc

	mu      sync.Mutex
	state   State
	err     error
	store   cache.Store
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
	created := &Cache{conn: c, target: t, keepStatus: keepStatus, stop: stop, state: Filling, writes: map[string]write{}}
	c.caches[t.Resource] = created
	// Ends with stop, or when the Conn is closed.
	c.wg.Go(func() { created.run(ctx) })
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
	var live *Live
	if object, ok, _ := c.store.GetByKey(key); ok {
		live = object.(*Live)
	}
	if ours, ok := c.writes[key]; ok {
		if ours.supersedes(live) {
			live = ours.live
		} else {
			delete(c.writes, key)
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

// wrote remembers the result of a write until the watch shows it.
func (c *Cache) wrote(namespace, name string, result write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, old := range c.writes {
		if time.Since(old.at) > writeMemory {
			delete(c.writes, key)
		}
	}
	result.at = time.Now()
	c.writes[cache.NewObjectName(namespace, name).String()] = result
}

// saw forgets the answer to an apply that the watch has caught up with.
func (c *Cache) saw(live *Live) {
	c.mu.Lock()
	key := cache.NewObjectName(live.Namespace, live.Name).String()
	if ours, ok := c.writes[key]; ok && ours.live != nil && !older(live, ours.live) {
		delete(c.writes, key)
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

// run asks whether the type is served, and watches while it is.
func (c *Cache) run(ctx context.Context) {
	for ctx.Err() == nil {
		attempt, cancel := context.WithCancel(ctx)
		c.mu.Lock()
		c.restart = cancel
		c.mu.Unlock()
		served, err := c.conn.serves(attempt, c.target)
		switch {
		case err != nil:
			c.set(Filling, err)
			wait(attempt, recheck)
		case !served:
			c.set(NotServed, nil)
			wait(attempt, recheck)
		default:
			c.watch(attempt, cancel)
		}
		cancel()
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// watch runs one informer until ctx ends, or the type is gone.
func (c *Cache) watch(ctx context.Context, cancel context.CancelFunc) {
	informer := c.newInformer()
	_ = informer.SetTransform(c.trim) // these three fail only once the informer runs
	_ = informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			cancel()
			return
		}
		if !informer.HasSynced() {
			c.set(Filling, err)
		}
	})
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    c.handle,
		UpdateFunc: func(_, object any) { c.handle(object) },
		DeleteFunc: c.handle,
	})
	c.mu.Lock()
	c.store = informer.GetStore()
	c.mu.Unlock()
	var wg sync.WaitGroup
	// Ends with ctx.
	wg.Go(func() {
		if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			c.set(Synced, nil)
		}
	})
	informer.RunWithContext(ctx)
	wg.Wait()
	c.set(Filling, nil)
}

func (c *Cache) handle(object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	if live, ok := object.(*Live); ok {
		c.saw(live)
	}
}

// trim makes what the informer stores. It may see its own result again.
func (c *Cache) trim(object any) (any, error) {
	switch object := object.(type) {
	case *unstructured.Unstructured:
		return NewLive(object, c.keepStatus)
	case *metav1.PartialObjectMetadata:
		return NewLive(object, false)
	}
	return object, nil
}

func (c *Cache) newInformer() cache.SharedIndexInformer {
	if c.keepStatus {
		client := c.conn.dynamic.Resource(c.target.Resource)
		return newInformer(&unstructured.Unstructured{},
			func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
				return client.List(ctx, options)
			}, client.Watch)
	}
	client := c.conn.metadata.Resource(c.target.Resource)
	return newInformer(&metav1.PartialObjectMetadata{},
		func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, options)
		}, client.Watch)
}

func newInformer(example runtime.Object,
	list func(context.Context, metav1.ListOptions) (runtime.Object, error),
	watchFunc func(context.Context, metav1.ListOptions) (watch.Interface, error),
) cache.SharedIndexInformer {
	const selector = v1beta1.ManagedLabel + "=true"
	return cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			ctx, cancel := context.WithTimeout(ctx, listTimeout)
			defer cancel()
			options.LabelSelector = selector
			return list(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.LabelSelector = selector
			return watchFunc(ctx, options)
		},
	}, example, 0, cache.Indexers{})
}
