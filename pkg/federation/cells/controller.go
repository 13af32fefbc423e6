package cells

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/cellaccess"
	clientv1beta1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/reconcile"
)

const (
	// callTimeout bounds one reconciliation, which is a handful of small calls.
	callTimeout = 30 * time.Second
	// workers is how many units are looked at at a time: most of the time of a new one is
	// spent waiting for the host. One unit is never looked at twice at once.
	workers = 8
)

// Kind reads and writes the units of one kind. Units is the one there is; tests have others.
type Kind interface {
	// TopologyType that the units are targets of.
	TopologyType() string
	// List returns all units. That is for a start: what happens later asks Indexed.
	List() []Unit
	// Indexed returns the names of the units that have a value in an index.
	Indexed(index, value string) ([]cache.ObjectName, error)
	// Get returns an apierrors NotFound if there is no such unit.
	Get(namespace, name string) (*Unit, error)
	// Exists asks the API, where Get reads a cache.
	Exists(ctx context.Context, namespace, name string) (bool, error)
	// Patch sends a JSON merge patch of the unit or its subresource, and returns the version
	// that is stored then.
	Patch(ctx context.Context, namespace, name string, patch []byte, subresources ...string) (resourceVersion string, err error)
}

// Claims is the book of who owns which namespace of which member.
type Claims interface {
	// Holder returns the owner of the namespace of that name in a member.
	Holder(namespace, member string) (owner ownership.Owner, held bool)
	// Claim makes owner the owner of the namespaces of that name in those of members where
	// nobody is, and returns who has the others.
	Claim(ctx context.Context, owner ownership.Owner, namespace string, members []string) (taken map[string]ownership.Owner, err error)
}

// Accounts keep the accounts by which cells are reached through their endpoints.
type Accounts interface {
	// Of has the account of a cell kept that may be where it is, and returns what is known of it. A
	// change of that is told by Enqueue.
	Of(cell cellaccess.Cell) cellaccess.Access
	// Drop has everything of a cell removed, and reports whether it is.
	Drop(cell cellaccess.Cell) (gone bool)
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
	// Accounts of cells; nil: cells are reached as their members are. Units of other kinds have no
	// endpoint.
	Accounts Accounts
	// OtherEngine says that somebody else propagates, a stock KubeFed controller-manager: that
	// one writes the status of every cluster itself, and takes a unit and its member for two.
	OtherEngine bool
	// Census counts the federated objects of a cell at the moment. Nil: nobody does, and a cell that is deleted waits
	// for none.
	Census func(namespace, cell string) Count
	// Told is what the status of a cell has to say of them, which is told by Enqueue; ok is false if what it says
	// stays. It is not what Census finds at the moment: a count that changes every second is not written every
	// second. Nil only if Census is.
	Told func(namespace, cell string) (objects federationv1alpha1.CellObjects, ok bool)
}

// Count is what is known of the federated objects of a cell.
type Count struct {
	Objects federationv1alpha1.CellObjects
	// Known: all objects were looked at. If not, Unknown says why, once that lasts.
	Known   bool
	Unknown string
	// Waits names what a cell that moves, or is being deleted, waits for, as Enqueue has told of it; empty if it does
	// not. While nothing was told since the start, WaitsTold is false, and what the cell says of that stays.
	Waits     string
	WaitsTold bool
}

// key names one unit.
type key struct{ topologyType, namespace, name string }

// Controller keeps the KubeFedClusters of units.
type Controller struct {
	Config
	kinds  map[string]Kind
	queue  workqueue.TypedRateLimitingInterface[key]
	writes writes
	// started is from when on probes are worth a write.
	started time.Time

	mu sync.Mutex
	// told are the members that units were told of, as they were then. Guarded by mu.
	told map[string]*v1beta1.KubeFedCluster
}

// New returns a Controller that does nothing before Run.
func New(config Config) (*Controller, error) {
	if config.SystemNamespace == "" || len(config.Kinds) == 0 || config.Clusters == nil || config.Client == nil || config.Namespaces == nil || config.Claims == nil {
		return nil, errors.New("cells: every field of Config but Accounts, OtherEngine, Census and Told must be set")
	}
	c := &Controller{
		Config:  config,
		started: time.Now(),
		kinds:   map[string]Kind{},
		writes:  writes{byUnit: map[key]versions{}},
		told:    map[string]*v1beta1.KubeFedCluster{},
		queue:   reconcile.NewQueue[key]("cells", 200*time.Millisecond, 30*time.Second),
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
func (c *Controller) NamespaceChanged(namespace string) { c.enqueueIndexed(byNamespace, namespace) }

// ClusterChanged has the unit looked at again that appears as the cluster, be it there or
// not: nobody else removes the cluster of a unit that is gone. Of a cluster that is a member
// those are looked at that lie there, if it says something new: its probes are written too,
// and it has many units.
func (c *Controller) ClusterChanged(cluster string) {
	for _, kind := range c.Kinds {
		if name, namespace, ok := topology.Split(kind.TopologyType(), cluster); ok {
			c.Enqueue(kind.TopologyType(), namespace, name)
		}
	}
	if c.saysNew(cluster) {
		c.enqueueIndexed(byMember, cluster)
	}
}

// saysNew reports whether units have not been told yet of how a cluster is now. They are
// looked at with a cache that shows at least that.
func (c *Controller) saysNew(name string) bool {
	cluster, err := c.Clusters.Get(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.told[name]
	if err != nil || cluster.Labels[federationv1alpha1.TopologyLabel] != "" { // no member
		delete(c.told, name)
		return true
	}
	if told != nil && !concernsUnits(told, cluster) {
		return false
	}
	c.told[name] = cluster
	return true
}

// NamespaceReleased has the units looked at again that want the namespace of that name in
// one of members: somebody gave it up.
func (c *Controller) NamespaceReleased(memberNamespace string, members ...string) {
	for _, member := range members {
		c.enqueueIndexed(byPlace, place(member, memberNamespace))
	}
}

// Settle claims the namespaces of units that were made before there was a book, the oldest
// unit first. It must come before anything else claims: a unit was made by an administrator
// for its namespace, while anybody may have a namespace in the host. Where everything is
// somebody's it asks the host nothing.
func (c *Controller) Settle(ctx context.Context) error {
	var units []Unit
	for _, kind := range c.Kinds {
		for _, unit := range kind.List() {
			if _, held := c.Claims.Holder(unit.memberNamespace(), unit.Member); !held {
				units = append(units, unit)
			}
		}
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

func (c *Controller) enqueueIndexed(index, value string) {
	for _, kind := range c.Kinds {
		names, err := kind.Indexed(index, value)
		if err != nil {
			continue // fails only for want of an index
		}
		for _, name := range names {
			c.Enqueue(kind.TopologyType(), name.Namespace, name.Name)
		}
	}
}

// Run keeps the KubeFedClusters until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	for _, kind := range c.Kinds {
		for _, unit := range kind.List() {
			c.Enqueue(kind.TopologyType(), unit.Namespace, unit.Name)
		}
	}
	c.enqueueOrphans()
	c.work().Run(ctx, workers)
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

func (c *Controller) work() reconcile.Work[key] {
	return reconcile.Work[key]{Queue: c.queue, Do: c.reconcile, Timeout: callTimeout, Failed: "Failed to keep the cluster of a unit"}
}

func (c *Controller) reconcile(ctx context.Context, k key) error {
	kind, ok := c.kinds[k.topologyType]
	if !ok {
		return nil
	}
	unit, err := kind.Get(k.namespace, k.name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	current, err := c.current(k)
	if err != nil {
		return err
	}
	if wait := c.writes.wait(k, unit, current); wait > 0 {
		c.queue.AddAfter(k, wait)
		return nil
	}
	if unit == nil {
		return c.removeOrphan(ctx, kind, k, current)
	}
	if unit.Deleting {
		return c.end(ctx, kind, unit, current)
	}
	o, err := c.observe(unit, current)
	if err != nil {
		return err
	}
	if o.holder, err = c.claim(ctx, unit); err != nil {
		return err
	}
	if err := c.setFinalizer(ctx, kind, unit, true); err != nil {
		return err
	}
	c.keepAccount(&o)
	c.count(&o)
	if err := c.applyCluster(ctx, o); err != nil {
		return err
	}
	return c.writeStatus(ctx, kind, o)
}

// end removes what was made for a unit that is being deleted, once nothing is in it, and lets it go. What holds it
// nevertheless it says.
func (c *Controller) end(ctx context.Context, kind Kind, unit *Unit, current *v1beta1.KubeFedCluster) error {
	if waits, err := c.drains(ctx, kind, unit, current); waits || err != nil {
		return err
	}
	if err := c.removeCluster(ctx, unit.key(), current); err != nil {
		return err
	}
	gone := c.dropAccount(unit) // if not, Enqueue tells
	if gone && slices.Contains(unit.Finalizers, Finalizer) {
		return c.setFinalizer(ctx, kind, unit, false)
	}
	if gone && len(unit.Finalizers) == 0 {
		return nil
	}
	o := observation{unit: *unit, current: current, otherEngine: c.OtherEngine, drained: true}
	if c.count(&o); o.counted.Known {
		o.objects = &o.counted.Objects // what was told may be of before it was empty
	}
	return c.writeStatus(ctx, kind, o)
}

// drainPause is how long a cell that is being deleted waits at most before it is looked at again.
const drainPause = 5 * time.Second

// drains reports whether a cell that is being deleted has to wait for what is in it, and has the cell say so. Where
// that is not known, it may be anything.
func (c *Controller) drains(ctx context.Context, kind Kind, unit *Unit, current *v1beta1.KubeFedCluster) (waits bool, err error) {
	if c.Census == nil || unit.TopologyType != v1beta2.TopologyCell || !slices.Contains(unit.Finalizers, Finalizer) {
		return false, nil
	}
	o := observation{unit: *unit, current: current, otherEngine: c.OtherEngine}
	if c.count(&o); o.counted.Known && o.counted.Objects.Held == 0 {
		return false, nil
	}
	c.queue.AddAfter(unit.key(), drainPause)
	return true, c.writeStatus(ctx, kind, o)
}

// count notes what is said of the objects of a cell. What is not known yet is as it was.
func (c *Controller) count(o *observation) {
	if c.Census == nil || o.unit.TopologyType != v1beta2.TopologyCell {
		return
	}
	o.objects, o.counted = o.unit.Objects, c.Census(o.unit.Namespace, o.unit.Name)
	objects, ok := c.Told(o.unit.Namespace, o.unit.Name)
	if !ok && o.objects == nil {
		objects, ok = o.counted.Objects, o.counted.Known
	}
	if ok {
		o.objects = &objects
	}
}

// keepAccount has the account of a cell kept that may be where it is, and that of another removed.
func (c *Controller) keepAccount(o *observation) {
	if c.Accounts == nil || o.unit.TopologyType != v1beta2.TopologyCell {
		return
	}
	if !o.mayAppear() {
		c.Accounts.Drop(accountOf(&o.unit, o.current))
		return
	}
	access := c.Accounts.Of(accountOf(&o.unit, o.current))
	o.access = &access
}

// dropAccount reports whether the account of a unit is gone.
func (c *Controller) dropAccount(unit *Unit) bool {
	return c.Accounts == nil || unit.TopologyType != v1beta2.TopologyCell || c.Accounts.Drop(accountOf(unit, nil))
}

// accountOf is a cell as its account has to know it. current is its KubeFedCluster, nil if there is none.
func accountOf(unit *Unit, current *v1beta1.KubeFedCluster) cellaccess.Cell {
	cell := cellaccess.Named(unit.Namespace, unit.Name)
	cell.Member, cell.MemberNamespace = unit.Member, unit.memberNamespace()
	if current != nil {
		cell.Secret = current.Spec.SecretRef.Name
	}
	ready := meta.FindStatusCondition(unit.Conditions, federationv1alpha1.CellAccountReady)
	cell.Granted = ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == unit.Generation // else it may have moved
	return cell
}

// current returns the KubeFedCluster of the name that the unit appears as, nil if there is
// none.
func (c *Controller) current(k key) (*v1beta1.KubeFedCluster, error) {
	cluster, err := c.Clusters.Get(topology.ClusterName(k.topologyType, k.namespace, k.name))
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return cluster, err
}

func (c *Controller) observe(unit *Unit, current *v1beta1.KubeFedCluster) (observation, error) {
	o := observation{unit: *unit, current: current, otherEngine: c.OtherEngine}
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

func (c *Controller) applyCluster(ctx context.Context, o observation) (err error) {
	wanted, current := o.cluster(c.SystemNamespace), o.current
	if wanted == nil {
		return c.removeCluster(ctx, o.unit.key(), current)
	}
	if current == nil {
		if current, err = c.Client.Create(ctx, wanted, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("make cluster %q: %w", wanted.Name, err)
		}
		c.writes.wroteCluster(o.unit.key(), current.ResourceVersion)
	}
	if merged, changed := merge(current, wanted); changed {
		if current, err = c.Client.Update(ctx, merged, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("update cluster %q: %w", wanted.Name, err)
		}
		c.writes.wroteCluster(o.unit.key(), current.ResourceVersion)
	}
	if c.OtherEngine {
		return nil
	}
	status, changed := mirror(&current.Status, &o.member.Status, probeAge(wanted.Name), c.started)
	if !changed {
		return nil
	}
	updated := current.DeepCopy()
	updated.Status = *status
	if updated, err = c.Client.UpdateStatus(ctx, updated, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update status of cluster %q: %w", wanted.Name, err)
	}
	c.writes.wroteCluster(o.unit.key(), updated.ResourceVersion)
	return nil
}

// removeOrphan deletes the KubeFedCluster of a unit that the cache does not show, if it is
// gone: the cache of clusters may be ahead of that of units.
func (c *Controller) removeOrphan(ctx context.Context, kind Kind, k key, cluster *v1beta1.KubeFedCluster) error {
	if cluster == nil || !isOf(cluster, k) {
		return nil
	}
	exists, err := kind.Exists(ctx, k.namespace, k.name)
	if err != nil {
		return fmt.Errorf("look for %s %s/%s: %w", k.topologyType, k.namespace, k.name, err)
	}
	if exists {
		return nil // its event comes
	}
	return c.removeCluster(ctx, k, cluster)
}

// removeCluster deletes the unit's KubeFedCluster, if it is one that we made.
func (c *Controller) removeCluster(ctx context.Context, k key, cluster *v1beta1.KubeFedCluster) error {
	if cluster == nil || !isOf(cluster, k) || cluster.DeletionTimestamp != nil {
		return nil
	}
	err := c.Client.Delete(ctx, cluster.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &cluster.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete cluster %q: %w", cluster.Name, err)
	}
	c.writes.deleted(k)
	return nil
}

// setFinalizer sets or takes the finalizer. A unit that is gone has none to be taken; but
// nothing is made for it.
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
	version, err := kind.Patch(ctx, unit.Namespace, unit.Name, patch)
	if apierrors.IsNotFound(err) && !wanted {
		return nil
	}
	if err != nil {
		return fmt.Errorf("set finalizers of %s %s/%s: %w", unit.TopologyType, unit.Namespace, unit.Name, err)
	}
	c.writes.wroteUnit(unit.key(), version)
	return nil
}

func (c *Controller) writeStatus(ctx context.Context, kind Kind, o observation) error {
	conditions := slices.Clone(o.unit.Conditions)
	meta.SetStatusCondition(&conditions, o.ready())
	clusterName := ""
	if o.cluster(c.SystemNamespace) != nil || o.unit.Deleting && o.current != nil {
		clusterName = o.unit.ClusterName()
	}
	if o.isSeenTwice(c.SystemNamespace) {
		meta.SetStatusCondition(&conditions, o.seenTwice())
	} else {
		meta.RemoveStatusCondition(&conditions, federationv1alpha1.CellMemberSeenTwice)
	}
	switch moving := o.moving(); {
	case moving != nil:
		meta.SetStatusCondition(&conditions, *moving)
	case c.Census == nil, o.unit.Deleting, o.counted.Known && o.counted.WaitsTold: // else it is as it was
		meta.RemoveStatusCondition(&conditions, federationv1alpha1.CellMoving)
	}
	switch {
	case o.unit.Deleting: // the account is as it was
	case !o.mayAppear():
		meta.RemoveStatusCondition(&conditions, federationv1alpha1.CellAccountReady)
	case o.access != nil && o.access.Condition != nil:
		account := *o.access.Condition
		account.ObservedGeneration = o.unit.Generation
		meta.SetStatusCondition(&conditions, account)
	}
	if equality.Semantic.DeepEqual(conditions, o.unit.Conditions) && o.unit.Observed == o.unit.Generation && o.unit.Cluster == clusterName &&
		equality.Semantic.DeepEqual(o.objects, o.unit.Objects) {
		return nil
	}
	status := map[string]any{"conditions": conditions, "observedGeneration": o.unit.Generation, "kubeFedCluster": clusterName}
	switch {
	case o.objects != nil:
		status["objects"] = map[string]any{ // what is left out here would stay as it is
			"total": o.objects.Total, "outOfDate": o.objects.OutOfDate, "moving": o.objects.Moving, "held": o.objects.Held, "health": o.objects.Health,
		}
	case o.unit.Objects != nil:
		status["objects"] = nil
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	version, err := kind.Patch(ctx, o.unit.Namespace, o.unit.Name, patch, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write status of %s %s/%s: %w", o.unit.TopologyType, o.unit.Namespace, o.unit.Name, err)
	}
	c.writes.wroteUnit(o.unit.key(), version)
	return nil
}
