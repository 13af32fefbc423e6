package cells

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	clientv1beta1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
)

// host stores cells, clusters and claims, and refuses what was not read last. The caches see
// nothing before show is called.
type host struct {
	clientv1beta1.KubeFedClusterInterface
	clusterCache, namespaceCache cache.Indexer
	cellCache                    cache.SharedIndexInformer

	// latency is how long a write takes, lag how long it takes from there to the caches; with
	// neither the test calls show.
	latency, lag time.Duration

	mu       sync.Mutex // guards what follows
	version  int
	cells    map[string]*federationv1alpha1.Cell
	clusters map[string]*v1beta1.KubeFedCluster
	holders  map[string]ownership.Owner // by place
	writes   []string
	refused  int
	changed  []any // cells and clusters that the caches do not show yet, gone or not
	// before is called before a cell is patched.
	before func(name string)
}

func newHost(t testing.TB) *host {
	t.Helper()
	indexers := func() cache.Indexers { return cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc} }
	h := &host{
		clusterCache:   cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers()),
		namespaceCache: cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers()),
		cellCache:      cache.NewSharedIndexInformer(&cache.ListWatch{}, &federationv1alpha1.Cell{}, 0, indexers()),
		cells:          map[string]*federationv1alpha1.Cell{},
		clusters:       map[string]*v1beta1.KubeFedCluster{},
		holders:        map[string]ownership.Owner{},
	}
	add(t, h.namespaceCache, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	return h
}

func add(t testing.TB, store cache.Store, object any) {
	t.Helper()
	if err := store.Add(object); err != nil {
		t.Fatal(err)
	}
}

// counted counts what is asked of a Kind.
type counted struct {
	Kind
	mu                  sync.Mutex
	lists, gets, listed int
}

func (c *counted) List() []Unit {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists++
	return c.Kind.List()
}

func (c *counted) Get(namespace, name string) (*Unit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gets++
	return c.Kind.Get(namespace, name)
}

func (c *counted) Indexed(index, value string) ([]cache.ObjectName, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	names, err := c.Kind.Indexed(index, value)
	c.listed += len(names)
	return names, err
}

// controller returns one of cells over the host.
func (h *host) controller(t testing.TB) (*Controller, *counted) {
	t.Helper()
	units, err := newUnits(h.cellCache, Units{
		topologyType: v1beta2.TopologyCell,
		resource:     federationv1alpha1.Resource("cells"),
		unit:         func(object any) Unit { return fromCell(object.(*federationv1alpha1.Cell)) },
		get: func(_ context.Context, _, name string) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.cells[name] == nil {
				return apierrors.NewNotFound(federationv1alpha1.Resource("cells"), name)
			}
			return nil
		},
		patch: func(_ context.Context, _, name string, patch []byte, subresources ...string) (metav1.Object, error) {
			return h.patchCell(name, patch, subresources...)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	kind := &counted{Kind: units}
	c, err := New(Config{
		SystemNamespace: "sys",
		Kinds:           []Kind{kind},
		Clusters:        listersv1beta1.NewKubeFedClusterLister(h.clusterCache).KubeFedClusters("sys"),
		Client:          h,
		Namespaces:      corev1listers.NewNamespaceLister(h.namespaceCache),
		Claims:          h,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.queue.ShutDown)
	return c, kind
}

// settled stores a member with n cells that are as they should be, and shows them.
func (h *host) settled(t testing.TB, name string, n int) {
	t.Helper()
	m := member(corev1.ConditionTrue, nil)
	m.Name = name
	m.Status.Conditions[0].LastProbeTime = metav1.Now()
	h.store(m)
	for i := range n {
		cell := newCell(fmt.Sprintf("c%d-%s", i, name), name)
		cell.Finalizers = []string{Finalizer}
		unit := fromCell(cell)
		o := observation{unit: unit, member: m}
		cluster := o.cluster("sys")
		cluster.Status = *m.Status.DeepCopy()
		cell.Status = federationv1alpha1.CellStatus{Conditions: []metav1.Condition{o.ready()}, KubeFedCluster: cluster.Name}
		h.store(cell)
		h.store(cluster)
		h.holders[place(name, unit.memberNamespace())] = unit.Owner()
	}
	h.show(t, nil)
}

func newCell(name, member string) *federationv1alpha1.Cell {
	return &federationv1alpha1.Cell{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)},
		Spec:       federationv1alpha1.CellSpec{ClusterName: member},
	}
}

// store stores a cell or a cluster behind the controller's back.
func (h *host) store(object any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch o := object.(type) {
	case *federationv1alpha1.Cell:
		h.cells[o.Name] = o
	case *v1beta1.KubeFedCluster:
		h.clusters[o.Name] = o
	}
	h.stored(object.(metav1.Object))
}

// stored gives a version to what was stored. The caller holds the lock.
func (h *host) stored(object metav1.Object) {
	h.version++
	object.SetResourceVersion(strconv.Itoa(h.version))
	h.changed = append(h.changed, object)
}

// remove takes a cell away, finalizers or not.
func (h *host) remove(cell string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed = append(h.changed, h.cells[cell])
	delete(h.cells, cell)
}

// show has the caches catch up, and tells the controller as a term does.
func (h *host) show(t testing.TB, c *Controller) {
	t.Helper()
	h.mu.Lock()
	changed := h.changed
	h.changed = nil
	h.mu.Unlock()
	for _, object := range changed {
		h.showOne(t, c, object)
	}
}

func (h *host) showOne(t testing.TB, c *Controller, object any) {
	t.Helper()
	h.mu.Lock()
	var store cache.Store
	var there bool
	switch o := object.(type) {
	case *federationv1alpha1.Cell:
		store, there = h.cellCache.GetStore(), h.cells[o.Name] != nil
	case *v1beta1.KubeFedCluster:
		store, there = h.clusterCache, h.clusters[o.Name] != nil
	}
	h.mu.Unlock()
	if there {
		add(t, store, object)
	} else if err := store.Delete(object); err != nil {
		t.Error(err)
	}
	if c == nil {
		return
	}
	switch o := object.(type) {
	case *federationv1alpha1.Cell:
		c.Enqueue(v1beta2.TopologyCell, o.Namespace, o.Name)
	case *v1beta1.KubeFedCluster:
		c.ClusterChanged(o.Name)
	}
}

// watch shows what is stored lag later, in order, until ctx ends.
func (h *host) watch(ctx context.Context, t *testing.T, c *Controller) {
	for ctx.Err() == nil {
		time.Sleep(h.lag)
		h.show(t, c)
	}
}

// write notes a write, and takes as long as one.
func (h *host) write(format string, args ...any) (unlock func()) {
	time.Sleep(h.latency)
	h.mu.Lock()
	h.writes = append(h.writes, fmt.Sprintf(format, args...))
	return h.mu.Unlock
}

func (h *host) refuse(err error) error {
	h.refused++
	return err
}

var errVersion = errors.New("another version")

func (h *host) patchCell(name string, patch []byte, subresources ...string) (*federationv1alpha1.Cell, error) {
	if h.before != nil {
		h.before(name)
	}
	defer h.write("patch cell %s %v", name, subresources)()
	cell := h.cells[name].DeepCopy()
	if cell == nil {
		return nil, h.refuse(apierrors.NewNotFound(federationv1alpha1.Resource("cells"), name))
	}
	read := cell.ResourceVersion
	if len(subresources) > 0 {
		cell.Status = federationv1alpha1.CellStatus{}
	} else {
		cell.Finalizers = nil
	}
	if err := json.Unmarshal(patch, cell); err != nil {
		return nil, err
	}
	if cell.ResourceVersion != read {
		return nil, h.refuse(apierrors.NewConflict(federationv1alpha1.Resource("cells"), name, errVersion))
	}
	h.cells[name] = cell
	if cell.DeletionTimestamp != nil && len(cell.Finalizers) == 0 {
		delete(h.cells, name)
	}
	h.stored(cell)
	return cell, nil
}

var clusterResource = v1beta1.Resource("kubefedclusters")

func (h *host) Create(_ context.Context, cluster *v1beta1.KubeFedCluster, _ metav1.CreateOptions) (*v1beta1.KubeFedCluster, error) {
	defer h.write("create cluster %s", cluster.Name)()
	if h.clusters[cluster.Name] != nil {
		return nil, h.refuse(apierrors.NewAlreadyExists(clusterResource, cluster.Name))
	}
	cluster = cluster.DeepCopy()
	cluster.Status = v1beta1.KubeFedClusterStatus{}
	h.clusters[cluster.Name] = cluster
	h.stored(cluster)
	return cluster, nil
}

func (h *host) Update(_ context.Context, cluster *v1beta1.KubeFedCluster, _ metav1.UpdateOptions) (*v1beta1.KubeFedCluster, error) {
	return h.update("", cluster)
}

func (h *host) UpdateStatus(_ context.Context, cluster *v1beta1.KubeFedCluster, _ metav1.UpdateOptions) (*v1beta1.KubeFedCluster, error) {
	return h.update("status", cluster)
}

func (h *host) update(subresource string, cluster *v1beta1.KubeFedCluster) (*v1beta1.KubeFedCluster, error) {
	defer h.write("update cluster %s %s", cluster.Name, subresource)()
	stored := h.clusters[cluster.Name]
	if stored == nil {
		return nil, h.refuse(apierrors.NewNotFound(clusterResource, cluster.Name))
	}
	if stored.ResourceVersion != cluster.ResourceVersion {
		return nil, h.refuse(apierrors.NewConflict(clusterResource, cluster.Name, errVersion))
	}
	cluster = cluster.DeepCopy()
	h.clusters[cluster.Name] = cluster
	h.stored(cluster)
	return cluster, nil
}

func (h *host) Delete(_ context.Context, name string, _ metav1.DeleteOptions) error {
	defer h.write("delete cluster %s", name)()
	cluster := h.clusters[name]
	if cluster == nil {
		return h.refuse(apierrors.NewNotFound(clusterResource, name))
	}
	delete(h.clusters, name)
	h.stored(cluster.DeepCopy())
	return nil
}

func (h *host) Holder(namespace, member string) (ownership.Owner, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	owner, held := h.holders[place(member, namespace)]
	return owner, held
}

// Claim is not counted: the API server has claimed before it stored a cell.
func (h *host) Claim(_ context.Context, owner ownership.Owner, namespace string, members []string) (map[string]ownership.Owner, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken := map[string]ownership.Owner{}
	for _, member := range members {
		holder, held := h.holders[place(member, namespace)]
		if !held {
			h.holders[place(member, namespace)] = owner
		} else if holder != owner {
			taken[member] = holder
		}
	}
	return taken, nil
}

func (h *host) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.clusters))
}

// drain looks at everything that is in the queue now.
func (c *Controller) drain(t testing.TB) {
	t.Helper()
	for c.queue.Len() > 0 {
		c.work().Next(t.Context())
	}
}
