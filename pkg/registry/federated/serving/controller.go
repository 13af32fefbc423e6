package serving

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// TypeConfigs is the storage of FederatedTypeConfigs, in this process.
type TypeConfigs interface {
	// ListerWatcher for all of them.
	ListerWatcher() cache.ListerWatcher
	// UpdateStatus changes the status of one, if change returns true. It retries on
	// conflict.
	UpdateStatus(ctx context.Context, namespace, name string, change func(*corev1beta1.FederatedTypeConfig) bool) error
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
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[struct{}](50*time.Millisecond, 10*time.Second))}
}

// HasSynced reports whether the kinds that are configured are served.
func (c *Controller) HasSynced() bool { return c.synced.Load() }

// Refresh makes the controller install the kinds anew, for example because a schema
// has become known.
func (c *Controller) Refresh() { c.queue.Add(struct{}{}) }

// Run returns when ctx is done.
func (c *Controller) Run(ctx context.Context) {
	defer utilruntime.HandleCrash()
	informer := cache.NewSharedIndexInformer(c.configs.ListerWatcher(), &corev1beta1.FederatedTypeConfig{}, 0, cache.Indexers{})
	enqueue := func(any) { c.queue.Add(struct{}{}) }
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, obj any) { enqueue(obj) }, DeleteFunc: enqueue,
	}); err != nil {
		utilruntime.HandleErrorWithContext(ctx, err, "Could not watch FederatedTypeConfigs")
		return
	}
	go informer.RunWithContext(ctx)
	go func() { <-ctx.Done(); c.queue.ShutDown() }()
	if !cache.WaitForNamedCacheSyncWithContext(ctx, informer.HasSynced) {
		return
	}
	c.queue.Add(struct{}{})
	for c.next(ctx, informer.GetStore()) {
	}
}

func (c *Controller) next(ctx context.Context, store cache.Store) bool {
	item, quit := c.queue.Get()
	if quit {
		return false
	}
	defer c.queue.Done(item)
	if err := c.sync(ctx, store); err != nil {
		if ctx.Err() == nil {
			utilruntime.HandleErrorWithContext(ctx, err, "Could not serve the federated types")
		}
		c.queue.AddRateLimited(item)
		return true
	}
	c.queue.Forget(item)
	return true
}

func (c *Controller) sync(ctx context.Context, store cache.Store) error {
	configs := make([]*corev1beta1.FederatedTypeConfig, 0, len(store.List()))
	for _, obj := range store.List() {
		configs = append(configs, obj.(*corev1beta1.FederatedTypeConfig))
	}
	accepted, conflicts := decide(configs)
	kinds := make([]federated.Kind, len(accepted))
	for i, config := range accepted {
		kinds[i] = federated.KindOf(config)
	}
	if err := c.server.Serve(kinds); err != nil {
		return err
	}
	if !c.synced.Swap(true) {
		klog.FromContext(ctx).V(2).Info("Served the federated types", "kinds", len(kinds))
	}
	if c.changed != nil {
		c.changed()
	}
	return c.report(ctx, accepted, conflicts)
}

// decide returns the configurations to serve, sorted by name, and why others are not.
// Of two that want the same kind or resource, the older has it; of two that were created
// in the same second, the one that has it already.
func decide(configs []*corev1beta1.FederatedTypeConfig) (accepted []*corev1beta1.FederatedTypeConfig, conflicts map[*corev1beta1.FederatedTypeConfig]string) {
	byAge := slices.SortedFunc(slices.Values(configs), func(a, b *corev1beta1.FederatedTypeConfig) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		if isServed(a) != isServed(b) {
			if isServed(a) {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	conflicts = map[*corev1beta1.FederatedTypeConfig]string{}
	taken := map[string]string{}
	for _, config := range byAge {
		kind := federated.KindOf(config)
		words := []string{kind.Kind, kind.ListKind(), kind.Resource, kind.Singular()}
		if reason := conflict(words, taken); reason != "" {
			conflicts[config] = reason
			continue
		}
		for _, word := range words {
			taken[word] = config.Name
		}
		accepted = append(accepted, config)
	}
	slices.SortFunc(accepted, func(a, b *corev1beta1.FederatedTypeConfig) int { return strings.Compare(a.Name, b.Name) })
	return accepted, conflicts
}

func isServed(config *corev1beta1.FederatedTypeConfig) bool {
	return apimeta.IsStatusConditionTrue(config.Status.Conditions, corev1beta1.TypeServed)
}

func conflict(words []string, taken map[string]string) string {
	for _, word := range words {
		if owner, ok := taken[word]; ok {
			return fmt.Sprintf("%s is served by FederatedTypeConfig %s already", word, owner)
		}
	}
	return ""
}

// report writes the Served conditions.
func (c *Controller) report(ctx context.Context, accepted []*corev1beta1.FederatedTypeConfig, conflicts map[*corev1beta1.FederatedTypeConfig]string) error {
	for _, config := range accepted {
		err := c.setServed(ctx, config, metav1.ConditionTrue, corev1beta1.ReasonServed, "Served in v1beta1 and v1beta2.")
		if err != nil {
			return err
		}
	}
	for _, config := range slices.SortedFunc(maps.Keys(conflicts), func(a, b *corev1beta1.FederatedTypeConfig) int { return strings.Compare(a.Name, b.Name) }) {
		err := c.setServed(ctx, config, metav1.ConditionFalse, corev1beta1.ReasonNameConflict, conflicts[config]+".")
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Controller) setServed(ctx context.Context, config *corev1beta1.FederatedTypeConfig, status metav1.ConditionStatus, reason, message string) error {
	condition := metav1.Condition{Type: corev1beta1.TypeServed, Status: status, Reason: reason, Message: message, ObservedGeneration: config.Generation}
	if conditions := slices.Clone(config.Status.Conditions); !apimeta.SetStatusCondition(&conditions, condition) {
		return nil
	}
	err := c.configs.UpdateStatus(ctx, config.Namespace, config.Name, func(current *corev1beta1.FederatedTypeConfig) bool {
		return apimeta.SetStatusCondition(&current.Status.Conditions, condition)
	})
	if err != nil {
		return fmt.Errorf("write condition Served of FederatedTypeConfig %s: %w", config.Name, err)
	}
	return nil
}
