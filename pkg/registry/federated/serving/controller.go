package serving

import (
	"context"
	"sync/atomic"
	"time"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/validation"
	"github.com/koinon-io/koinon/pkg/reconcile"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// TypeConfigs is the storage of the FederatedTypeConfigs that count, those of the system
// namespace, in this process.
type TypeConfigs interface {
	// ListerWatcher for all of them.
	ListerWatcher() cache.ListerWatcher
	// SetServed makes each say of itself whether its kind is served; refused says why not.
	// Remarks are on some that are served, in whole sentences.
	// Nothing is stored: KubeFed's controllers take a write that is not theirs for a
	// conflict.
	SetServed(served []*corev1beta1.FederatedTypeConfig, refused, remarks map[*corev1beta1.FederatedTypeConfig]string)
}

// Controller keeps a Server in step with the FederatedTypeConfigs. It watches the
// storage, not the API, so that the kinds are there before the API is.
type Controller struct {
	server  *Server
	configs TypeConfigs
	queue   workqueue.TypedRateLimitingInterface[struct{}] // at most one item: "look again"
	synced  atomic.Bool
	changed func() // called after the set of kinds changed
}

// NewController returns a controller that calls changed, if not nil, whenever the
// kinds have changed.
func NewController(server *Server, configs TypeConfigs, changed func()) *Controller {
	return &Controller{server: server, configs: configs, changed: changed,
		queue: reconcile.NewQueue[struct{}]("served-types", 50*time.Millisecond, 10*time.Second)}
}

// HasSynced reports whether the kinds that are configured are served.
func (c *Controller) HasSynced() bool { return c.synced.Load() }

// Refresh makes the controller install the kinds anew, for example because a schema
// has become known.
func (c *Controller) Refresh() { c.queue.Add(struct{}{}) }

// Run returns when ctx is done.
func (c *Controller) Run(ctx context.Context) {
	informer := cache.NewSharedIndexInformer(c.configs.ListerWatcher(), &corev1beta1.FederatedTypeConfig{}, 0, cache.Indexers{})
	enqueue := func(any) { c.queue.Add(struct{}{}) }
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) }, DeleteFunc: enqueue,
	}); err != nil {
		utilruntime.HandleErrorWithContext(ctx, err, "Could not watch FederatedTypeConfigs")
		return
	}
	go informer.RunWithContext(ctx)
	defer c.queue.ShutDown() // also where no work has begun
	if !cache.WaitForNamedCacheSyncWithContext(ctx, informer.HasSynced) {
		return
	}
	c.queue.Add(struct{}{})
	reconcile.Work[struct{}]{Queue: c.queue, Failed: "Failed to serve the federated types", Do: func(ctx context.Context, _ struct{}) error {
		return c.sync(ctx, informer.GetStore())
	}}.Run(ctx, 1)
}

func (c *Controller) sync(ctx context.Context, store cache.Store) error {
	configs := make([]*corev1beta1.FederatedTypeConfig, 0, len(store.List()))
	for _, obj := range store.List() {
		configs = append(configs, obj.(*corev1beta1.FederatedTypeConfig))
	}
	accepted, conflicts := validation.ServedTypes(configs)
	kinds, settings := make([]federated.Kind, len(accepted)), make(map[federated.Kind]Settings, len(accepted))
	for i, config := range accepted {
		kinds[i] = federated.KindOf(config)
		settings[kinds[i]] = Settings{Annotations: config.Spec.PropagatingAnnotations, Disabled: config.Spec.Propagation != corev1beta1.Enabled}
	}
	if err := c.server.Serve(kinds, settings); err != nil {
		return err
	}
	if !c.synced.Swap(true) {
		klog.FromContext(ctx).V(2).Info("Served the federated types", "kinds", len(kinds))
	}
	if c.changed != nil {
		c.changed()
	}
	c.configs.SetServed(accepted, conflicts, c.remarks(accepted))
	return nil
}

// remarks are on kinds whose schema is not as it should be.
func (c *Controller) remarks(configs []*corev1beta1.FederatedTypeConfig) map[*corev1beta1.FederatedTypeConfig]string {
	out := map[*corev1beta1.FederatedTypeConfig]string{}
	if c.server.config.SchemaProblem == nil {
		return out
	}
	for _, config := range configs {
		if problem := c.server.config.SchemaProblem(federated.KindOf(config).Target); problem != "" {
			out[config] = problem
		}
	}
	return out
}
