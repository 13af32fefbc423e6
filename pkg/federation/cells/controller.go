package cells

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	clientv1beta1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
)

// callTimeout bounds one reconciliation, which is a handful of small calls.
const callTimeout = 30 * time.Second

// Kind reads and writes the units of one kind.
type Kind interface {
	// TopologyType that the units are targets of.
	TopologyType() string
	// List returns all units, those of one namespace unless that is empty.
	List(namespace string) ([]Unit, error)
	// Get returns an apierrors NotFound if there is no such unit.
	Get(namespace, name string) (*Unit, error)
	// PatchMeta sends a JSON merge patch of metadata.
	PatchMeta(ctx context.Context, namespace, name string, patch []byte) error
	// PatchStatus sends a JSON merge patch of the status.
	PatchStatus(ctx context.Context, namespace, name string, patch []byte) error
}

// Claims is the book of who owns which namespace of which member.
type Claims interface {
	// Claim makes owner the owner of the namespaces of that name in those of members where
	// nobody is, and returns who has the others.
	Claim(ctx context.Context, owner ownership.Owner, namespace string, members []string) (taken map[string]ownership.Owner, err error)
}

// Config is what a Controller works with. The caches behind the listers must be synced
// before Run.
type Config struct {
	SystemNamespace string
	Kinds           []Kind
	// Clusters and Client are those of the system namespace.
	Clusters   listersv1beta1.KubeFedClusterNamespaceLister
	Client     clientv1beta1.KubeFedClusterInterface
	Namespaces corev1listers.NamespaceLister
	Claims     Claims
	// OtherEngine says that somebody else propagates, a stock KubeFed controller-manager: that
	// one writes the status of every cluster itself, and takes a unit and its member for two.
	OtherEngine bool
}

// key names one unit.
type key struct{ topologyType, namespace, name string }

// Controller keeps the KubeFedClusters of units.
type Controller struct {
	Config
	kinds map[string]Kind
	queue workqueue.TypedRateLimitingInterface[key]
}

// New returns a Controller that does nothing before Run.
func New(config Config) (*Controller, error) {
	if config.SystemNamespace == "" || len(config.Kinds) == 0 || config.Clusters == nil || config.Client == nil || config.Namespaces == nil || config.Claims == nil {
		return nil, errors.New("cells: every field of Config but OtherEngine must be set")
	}
	c := &Controller{
		Config: config,
		kinds:  map[string]Kind{},
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[key](200*time.Millisecond, 30*time.Second),
			workqueue.TypedRateLimitingQueueConfig[key]{Name: "cells"}),
	}
	for _, kind := range config.Kinds {
		c.kinds[kind.TopologyType()] = kind
	}
	return c, nil
}

// Enqueue has one unit looked at again. The queue holds each unit once, so the number of
// units bounds it.
func (c *Controller) Enqueue(topologyType, namespace, name string) {
	c.queue.Add(key{topologyType, namespace, name})
}

// NamespaceChanged has the units of a namespace looked at again: its tenant may be
// another.
func (c *Controller) NamespaceChanged(namespace string) {
	c.enqueueIf(namespace, func(*Unit) bool { return true })
}

// ClusterChanged has the units looked at again that lie in the cluster, or appear as it.
func (c *Controller) ClusterChanged(cluster string) {
	c.enqueueIf("", func(u *Unit) bool { return u.Member == cluster || u.ClusterName() == cluster })
}

// NamespaceReleased has the units looked at again that want a namespace of that name in a
// member: somebody gave one up.
func (c *Controller) NamespaceReleased(memberNamespace string) {
	c.enqueueIf("", func(u *Unit) bool { return u.memberNamespace() == memberNamespace })
}

// Settle claims the namespaces of units that were made before there was a book, the oldest
// unit first. It must come before anything else claims: a unit was made by an administrator
// for its namespace, while anybody may have a namespace in the host.
func (c *Controller) Settle(ctx context.Context) error {
	var units []Unit
	for _, kind := range c.Kinds {
		more, err := kind.List("")
		if err != nil {
			return fmt.Errorf("list units of topology %s: %w", kind.TopologyType(), err)
		}
		units = append(units, more...)
	}
	slices.SortStableFunc(units, func(a, b Unit) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Owner().String(), b.Owner().String()))
	})
	for i := range units {
		if _, err := c.claim(ctx, &units[i]); err != nil {
			return err
		}
	}
	return nil
}

// claim claims the namespace of a unit. It returns who else has it, nil if the unit does.
func (c *Controller) claim(ctx context.Context, unit *Unit) (*ownership.Owner, error) {
	taken, err := c.Claims.Claim(ctx, unit.Owner(), unit.memberNamespace(), []string{unit.Member})
	if err != nil {
		return nil, err
	}
	if holder, ok := taken[unit.Member]; ok {
		return &holder, nil
	}
	return nil, nil
}

func (c *Controller) enqueueIf(namespace string, wanted func(*Unit) bool) {
	for _, kind := range c.Kinds {
		units, err := kind.List(namespace)
		if err != nil {
			continue // listers fail only for want of an index
		}
		for i := range units {
			if wanted(&units[i]) {
				c.Enqueue(kind.TopologyType(), units[i].Namespace, units[i].Name)
			}
		}
	}
}

// Run keeps the KubeFedClusters until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	c.NamespaceChanged("")
	c.enqueueOrphans()
	done := make(chan struct{})
	// Ends when the queue is shut down.
	go func() {
		defer close(done)
		for c.processNext(ctx) {
		}
	}()
	<-ctx.Done()
	c.queue.ShutDown()
	<-done
	return nil
}

// enqueueOrphans finds KubeFedClusters whose unit is gone: somebody took its finalizer.
func (c *Controller) enqueueOrphans() {
	clusters, err := c.Clusters.List(labels.Everything())
	if err != nil {
		return // listers fail only for want of an index
	}
	for _, cluster := range clusters {
		if t := cluster.Labels[federationv1alpha1.TopologyLabel]; t != "" {
			c.Enqueue(t, cluster.Labels[federationv1alpha1.TopologyNamespaceLabel], cluster.Labels[federationv1alpha1.TopologyNameLabel])
		}
	}
}

func (c *Controller) processNext(ctx context.Context) bool {
	k, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(k)
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := c.reconcile(call, k); err != nil && ctx.Err() == nil {
		if c.queue.NumRequeues(k) > 2 { // races with other writers cure themselves
			klog.FromContext(ctx).Error(err, "Failed to keep the cluster of a unit", "topology", k.topologyType, "unit", klog.KRef(k.namespace, k.name))
		}
		c.queue.AddRateLimited(k)
		return true
	}
	c.queue.Forget(k)
	return true
}

func (c *Controller) reconcile(ctx context.Context, k key) error {
	kind, ok := c.kinds[k.topologyType]
	if !ok {
		return nil
	}
	unit, err := kind.Get(k.namespace, k.name)
	if apierrors.IsNotFound(err) {
		return c.removeCluster(ctx, &Unit{TopologyType: k.topologyType, Namespace: k.namespace, Name: k.name})
	}
	if err != nil {
		return err
	}
	if unit.Deleting {
		if err := c.removeCluster(ctx, unit); err != nil {
			return err
		}
		return c.setFinalizer(ctx, kind, unit, false)
	}
	o, err := c.observe(unit)
	if err != nil {
		return err
	}
	if o.holder, err = c.claim(ctx, unit); err != nil {
		return err
	}
	if err := c.setFinalizer(ctx, kind, unit, true); err != nil {
		return err
	}
	if err := c.applyCluster(ctx, o); err != nil {
		return err
	}
	return c.writeStatus(ctx, kind, o)
}

func (c *Controller) observe(unit *Unit) (observation, error) {
	o := observation{unit: *unit}
	namespace, err := c.Namespaces.Get(unit.Namespace)
	if err != nil {
		return o, fmt.Errorf("get namespace %q: %w", unit.Namespace, err)
	}
	o.tenant = tenancy.Of(namespace.Labels)
	member, err := c.Clusters.Get(unit.Member)
	if apierrors.IsNotFound(err) || (err == nil && member.Labels[federationv1alpha1.TopologyLabel] != "") {
		return o, nil
	}
	o.member = member
	return o, err
}

func (c *Controller) applyCluster(ctx context.Context, o observation) error {
	wanted := o.cluster(c.SystemNamespace)
	if wanted == nil {
		return c.removeCluster(ctx, &o.unit)
	}
	current, err := c.Clusters.Get(wanted.Name)
	if apierrors.IsNotFound(err) {
		current, err = c.Client.Create(ctx, wanted, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("make cluster %q: %w", wanted.Name, err)
	}
	if merged, changed := merge(current, wanted); changed {
		if current, err = c.Client.Update(ctx, merged, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("update cluster %q: %w", wanted.Name, err)
		}
	}
	if c.OtherEngine {
		return nil
	}
	status, changed := mirror(&current.Status, &o.member.Status)
	if !changed {
		return nil
	}
	updated := current.DeepCopy()
	updated.Status = *status
	if _, err := c.Client.UpdateStatus(ctx, updated, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update status of cluster %q: %w", wanted.Name, err)
	}
	return nil
}

// removeCluster deletes the unit's KubeFedCluster, if it is one that we made.
func (c *Controller) removeCluster(ctx context.Context, unit *Unit) error {
	cluster, err := c.Clusters.Get(unit.ClusterName())
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if !isOf(cluster, unit) {
		return nil
	}
	err = c.Client.Delete(ctx, cluster.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &cluster.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete cluster %q: %w", cluster.Name, err)
	}
	return nil
}

func (c *Controller) setFinalizer(ctx context.Context, kind Kind, unit *Unit, wanted bool) error {
	if slices.Contains(unit.Finalizers, Finalizer) == wanted {
		return nil
	}
	finalizers := slices.DeleteFunc(slices.Clone(unit.Finalizers), func(f string) bool { return f == Finalizer })
	if wanted {
		finalizers = append(finalizers, Finalizer)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"finalizers": finalizers, "resourceVersion": unit.ResourceVersion,
	}})
	if err != nil {
		return err
	}
	if err := kind.PatchMeta(ctx, unit.Namespace, unit.Name, patch); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("set finalizers of %s %s/%s: %w", unit.TopologyType, unit.Namespace, unit.Name, err)
	}
	return nil
}

func (c *Controller) writeStatus(ctx context.Context, kind Kind, o observation) error {
	conditions := slices.Clone(o.unit.Conditions)
	meta.SetStatusCondition(&conditions, o.ready())
	clusterName := ""
	if o.cluster(c.SystemNamespace) != nil {
		clusterName = o.unit.ClusterName()
	}
	if c.OtherEngine && clusterName != "" {
		meta.SetStatusCondition(&conditions, o.seenTwice())
	} else {
		meta.RemoveStatusCondition(&conditions, federationv1alpha1.CellMemberSeenTwice)
	}
	if equality.Semantic.DeepEqual(conditions, o.unit.Conditions) && o.unit.Observed == o.unit.Generation && o.unit.Cluster == clusterName {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{
		"conditions": conditions, "observedGeneration": o.unit.Generation, "kubeFedCluster": clusterName,
	}})
	if err != nil {
		return err
	}
	if err := kind.PatchStatus(ctx, o.unit.Namespace, o.unit.Name, patch); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write status of %s %s/%s: %w", o.unit.TopologyType, o.unit.Namespace, o.unit.Name, err)
	}
	return nil
}
