package hostwatch

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	// checkEvery is how often a cache is compared with the host, and up to half as much later.
	checkEvery = 10 * time.Minute
	// pageSize is how many objects are asked for at once, and catchUp for how long the watch may
	// be behind. At most maxSuspects objects are read.
	pageSize    = 500
	catchUp     = 10 * time.Second
	maxSuspects = 64
	// callTimeout bounds one call to the host.
	callTimeout = 15 * time.Second
)

// Checker compares caches with what the host has, now and then: a list of names and versions, and,
// where they differ, a look at the object some time later. If an event was lost, everything is
// listed anew. It lists one resource at a time.
type Checker struct {
	host metadata.Interface
	turn chan struct{} // holds one value while something is listed
}

// NewChecker makes a client of the host. It does no I/O.
func NewChecker(host *rest.Config) (*Checker, error) {
	client, err := metadata.NewForConfig(host)
	if err != nil {
		return nil, fmt.Errorf("make a client of the host's metadata: %w", err)
	}
	return &Checker{host: client, turn: make(chan struct{}, 1)}, nil
}

// Follow has an informer list anew whenever it was found to have lost something, until ctx ends.
// The informer is on the objects of a resource in one namespace, or in all of them if that is empty.
func (c *Checker) Follow(ctx context.Context, resource schema.GroupVersionResource, namespace string, informer *Informer) {
	f := &follower{host: c.host.Resource(resource), resource: resource.GroupResource(), namespace: namespace, informer: informer}
	for sleep(ctx, wait.Jitter(checkEvery, 0.5)) {
		if !informer.HasSynced() {
			continue // it is about to list, or tries to
		}
		suspects, err := c.suspects(ctx, f)
		if err != nil {
			klog.FromContext(ctx).V(2).Info("Failed to compare the cache with the host", "type", f.resource, "problem", err.Error())
			continue
		}
		if len(suspects) == 0 || !sleep(ctx, catchUp) {
			continue
		}
		for _, s := range suspects {
			if f.wasLost(ctx, s) {
				klog.FromContext(ctx).Info("Watch of the host lost events", "type", f.resource, "object", s.name)
				informer.ListAnew()
				break
			}
		}
	}
}

// suspects waits for its turn and has f compare.
func (c *Checker) suspects(ctx context.Context, f *follower) ([]suspect, error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.turn }()
	return f.suspects(ctx)
}

// follower compares one cache.
type follower struct {
	host      metadata.Getter
	resource  schema.GroupResource
	namespace string
	informer  *Informer
}

// suspect is an object of which the host's list said something else than the cache.
type suspect struct {
	name cache.ObjectName
	// uid and version are what the list had; empty if it did not have the object.
	uid     types.UID
	version string
}

// in is where objects are; namespace is empty for all of them.
func (f *follower) in(namespace string) metadata.ResourceInterface {
	if namespace == "" {
		return f.host
	}
	return f.host.Namespace(namespace)
}

// suspects lists what the host has and compares: at most maxSuspects objects.
func (f *follower) suspects(ctx context.Context) ([]suspect, error) {
	listed, options := map[string]bool{}, metav1.ListOptions{Limit: pageSize, LabelSelector: f.informer.selector}
	var found []suspect
	for {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		page, err := f.in(f.namespace).List(call, options)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", f.resource, err)
		}
		for i := range page.Items {
			object := &page.Items[i]
			name := cache.MetaObjectToName(object)
			listed[name.String()] = true
			if cached := f.cached(name); (cached == nil || isBefore(cached.GetResourceVersion(), object.ResourceVersion)) && len(found) < maxSuspects {
				found = append(found, suspect{name, object.UID, object.ResourceVersion})
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return f.missing(found, listed, page.ResourceVersion), nil
		}
	}
}

// missing adds the objects that a list of a version did not have although it could.
func (f *follower) missing(found []suspect, listed map[string]bool, version string) []suspect {
	for _, object := range f.informer.GetStore().List() {
		cached, ok := object.(metav1.Object)
		if !ok || len(found) == maxSuspects {
			break
		}
		name := cache.MetaObjectToName(cached)
		if !listed[name.String()] && !isBefore(version, cached.GetResourceVersion()) {
			found = append(found, suspect{name: name})
		}
	}
	return found
}

// cached returns nil if the cache does not have an object.
func (f *follower) cached(name cache.ObjectName) metav1.Object {
	object, ok, err := f.informer.GetStore().GetByKey(name.String())
	if err != nil || !ok {
		return nil
	}
	cached, ok := object.(metav1.Object)
	if !ok {
		return nil
	}
	return cached
}

// wasLost reports whether the cache still does not show what the list did.
func (f *follower) wasLost(ctx context.Context, s suspect) bool {
	if cached := f.cached(s.name); cached != nil && s.version != "" {
		return isBefore(cached.GetResourceVersion(), s.version)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stored, err := f.in(s.name.Namespace).Get(ctx, s.name.Name, metav1.GetOptions{})
	cached := f.cached(s.name)
	switch {
	case err == nil:
		return cached == nil && stored.UID == s.uid
	case apierrors.IsNotFound(err):
		return cached != nil && s.version == ""
	}
	return false
}

// isBefore reports whether one resourceVersion is known to be earlier than another.
func isBefore(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
