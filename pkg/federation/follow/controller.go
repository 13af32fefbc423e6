package follow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/fedclient"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/reach"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/reconcile"
)

const (
	// fieldManager owns what is written into federated objects. A federated object of which it owns nothing is never
	// deleted.
	fieldManager = "koinon-follow"
	// workers look at objects. They wait for the host, not for members.
	workers = 4
	// hostTimeout bounds one call to the host.
	hostTimeout = 15 * time.Second
	// resync is how often all objects are looked at, and refusedAgain when one is that was refused.
	resync, refusedAgain = 30 * time.Minute, 5 * time.Minute
	// notYet is when to look again for what a cache does not show yet.
	notYet = time.Second
)

// Objects are the federated objects; propagation.Engine has them.
type Objects interface {
	// Synced reports whether all objects of a kind, which is a FederatedTypeConfig, are known.
	Synced(kind string) bool
	// Get returns an object from the cache, nil if there is none.
	Get(kind, namespace, name string) *v1beta2.FederatedObject
	// InTargets returns the targets that have, or may have, objects of a namespace: of objects whose topology type has the same
	// base. It is not known while not all objects are.
	InTargets(namespace, topologyType string) (targets []placement.Candidate, known bool)
}

// Config is what a Controller works with. The lister's cache must be synced before Run.
type Config struct {
	// HostConfig reaches the host and our API groups in one endpoint.
	HostConfig *rest.Config
	Checker    *hostwatch.Checker
	Types      listersv1beta1.FederatedTypeConfigNamespaceLister
	Objects    Objects
	// Namespace is the only one whose objects are followed; empty: all.
	Namespace string
	Record    func(about *corev1.ObjectReference, happened ...events.Event)
}

// Controller has federated objects follow native ones.
type Controller struct {
	Config
	host         *host
	queue        workqueue.TypedRateLimitingInterface[key]
	typesChanged chan struct{}
	wg           sync.WaitGroup

	mu sync.Mutex // guards what follows
	// types are those that are watched, by FederatedTypeConfig.
	types map[string]*nativeType
	// marked are the native objects whose federated object has a mark that has not ended.
	marked map[key]bool
	// seen is what was seen of objects with which there was nothing to do, and told what was said last of one that is refused.
	seen map[key]versions
	told map[key]string
	// factories make clients, by group.
	factories map[string]*fedclient.Factory
}

// versions are what a native and a federated object were when there was nothing to do.
type versions struct {
	native, uid, mark string
	generation        int64
}

// New returns a Controller that does nothing before Run.
func New(config Config) (*Controller, error) {
	if config.HostConfig == nil || config.Checker == nil || config.Types == nil || config.Objects == nil || config.Record == nil {
		return nil, errors.New("follow: every field of Config but Namespace must be set")
	}
	h, err := newHost(config.HostConfig)
	if err != nil {
		return nil, err
	}
	return &Controller{
		Config:       config,
		host:         h,
		queue:        reconcile.NewQueue[key]("follow", 500*time.Millisecond, time.Minute),
		typesChanged: make(chan struct{}, 1),
		types:        map[string]*nativeType{}, marked: map[key]bool{}, seen: map[key]versions{}, told: map[key]string{},
		factories: map[string]*fedclient.Factory{},
	}, nil
}

// ObjectChanged has the native object looked at again of a federated one that follows it, or stands in its way; kind is the
// name of its FederatedTypeConfig.
func (c *Controller) ObjectChanged(kind, namespace, name string) {
	config, err := c.Types.Get(kind)
	if err != nil {
		return // TypeChanged tells once it is there, and all are looked at
	}
	k, ok := nativeKey(config, namespace, name)
	if !ok {
		return
	}
	marked := markOf(c.Objects.Get(kind, namespace, name)) != nil
	c.mu.Lock()
	was, t := c.marked[k], c.types[kind]
	if marked {
		c.marked[k] = true
	} else {
		delete(c.marked, k)
	}
	c.mu.Unlock()
	if marked || was || t != nil && t.get(k) != nil {
		c.queue.Add(k)
	}
}

// Run works until ctx ends, and returns when all goroutines have.
func (c *Controller) Run(ctx context.Context) error {
	c.wg.Go(func() { c.followTypes(ctx) })
	c.wg.Go(func() { c.findUnfederated(ctx) })
	c.wg.Go(func() { // ends with ctx
		reconcile.Work[key]{Queue: c.queue, Do: c.sync, Failed: "Failed to have an object followed"}.Run(ctx, workers)
	})
	wait.UntilWithContext(ctx, c.lookAtAll, resync)
	c.wg.Wait()
	return nil
}

func (c *Controller) lookAtAll(context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for kind, t := range c.types {
		c.lookAnew(kind, t)
	}
}

// errNotKnown: caches are not filled.
var errNotKnown = fmt.Errorf("%w: not all objects are known", reconcile.ErrNotYet)

// sync brings the federated object of one native object to what that is.
func (c *Controller) sync(ctx context.Context, k key) error {
	config, err := c.Types.Get(k.kind)
	if err != nil {
		c.forget(k)
		return nil
	}
	c.mu.Lock()
	t := c.types[k.kind]
	c.mu.Unlock()
	if t == nil || !t.informer.HasSynced() {
		return nil // all are looked at once it is known what there is
	}
	if !c.Objects.Synced(k.kind) {
		return errNotKnown
	}
	namespace, name := k.federated(config)
	federated := c.Objects.Get(k.kind, namespace, name)
	seen := t.get(k)
	if seen == nil {
		return c.without(ctx, k, config, t, federated)
	}
	if c.hasSeen(k, seen, federated) {
		return nil
	}
	wanted, keep, problem := following.Wanted(seen.Labels)
	switch {
	case problem != "":
		c.refuse(k, config, seen.UID, fmt.Sprintf("metadata.labels[%s] is %q: it %s", v1beta1.FederateLabel, seen.Labels[v1beta1.FederateLabel], problem))
		return nil
	case !wanted:
		return c.end(ctx, k, config, federated, "the label "+v1beta1.FederateLabel+" of the native object says so")
	}
	object, err := c.host.get(ctx, t.resource, k)
	switch {
	case apierrors.IsNotFound(err):
		return nil // the watch says so in a moment
	case err != nil:
		return fmt.Errorf("read the object: %w", err)
	case object.GetLabels()[v1beta1.FederateLabel] != seen.Labels[v1beta1.FederateLabel]:
		return nil
	}
	o := observation{config: config, object: object, keep: keep, federated: federated}
	if reach.KindOf(&config.Spec).IsNamespace() && federated == nil {
		placed, _ := following.PlacementOf(object.GetAnnotations()) // what cannot be read is refused
		known := false
		if o.held, known = c.Objects.InTargets(k.name, topologyOf(placed)); !known {
			return errNotKnown
		}
	}
	d, err := decide(o)
	if err != nil {
		return err
	}
	return c.act(ctx, k, o, d)
}

// without looks at a federated object whose native object is not labelled, or not there.
func (c *Controller) without(ctx context.Context, k key, config *v1beta1.FederatedTypeConfig, t *nativeType, federated *v1beta2.FederatedObject) error {
	c.forget(k)
	mark := markOf(federated)
	if mark == nil || federated.DeletionTimestamp != nil {
		return nil
	}
	object, err := c.host.look(ctx, t.resource, k.namespace, k.name)
	switch {
	case err == nil && !hasLabel(object):
		return c.end(ctx, k, config, federated, "the native object has no label "+v1beta1.FederateLabel)
	case err == nil:
		c.queue.AddAfter(k, notYet) // the watch has not shown it yet
		return nil
	case !memberclient.IsMissing(err, k.name):
		return fmt.Errorf("look whether the object is there: %w", err)
	case mark.Keep:
		return c.end(ctx, k, config, federated, "the native object was deleted, and its label said keep")
	}
	return c.delete(ctx, k, config, t, federated)
}

// markOf returns the mark of a federated object that follows; nil if it follows nothing, or nothing any more.
func markOf(federated *v1beta2.FederatedObject) *following.Mark {
	if federated == nil {
		return nil
	}
	mark := following.MarkOf(federated.Annotations)
	if mark == nil || mark.Ended {
		return nil
	}
	return mark
}

func hasLabel(object metav1.Object) bool {
	_, there := object.GetLabels()[v1beta1.FederateLabel]
	return there
}

// hasSeen reports whether nothing has changed since there was nothing to do.
func (c *Controller) hasSeen(k key, seen *metav1.PartialObjectMetadata, federated *v1beta2.FederatedObject) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.seen[k]
	return ok && federated != nil && known == versionsOf(seen.ResourceVersion, federated)
}

func versionsOf(native string, federated *v1beta2.FederatedObject) versions {
	return versions{native, string(federated.UID), federated.Annotations[v1beta1.FollowsAnnotation], federated.Generation}
}

// isSeen notes that there is nothing to do with an object before it, or its federated object, is another.
func (c *Controller) isSeen(k key, native string, federated *v1beta2.FederatedObject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[k] = versionsOf(native, federated)
}

// forget drops what is known of an object that is not labelled.
func (c *Controller) forget(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seen, k)
	delete(c.told, k)
}
