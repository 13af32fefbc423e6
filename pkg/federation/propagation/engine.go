package propagation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/validation"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/reach"
	"github.com/koinon-io/koinon/pkg/federation/render"
	clientv1beta1 "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
	edgelisters "github.com/koinon-io/koinon/pkg/generated/listers/edge/v1alpha1"
	federationlisters "github.com/koinon-io/koinon/pkg/generated/listers/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/reconcile"
)

const (
	// objectWorkers sync objects, at least: see workersFor. They wait for writes to the host, not for members. At most
	// mostObjects of them do so for one namespace: what it writes may be large, and each
	// status of it costs the host as much again.
	objectWorkers, mostObjects = 16, 4
	// targetWorkers act in one member, at most, and mostTargets of them for one namespace: all
	// that is written there may hang.
	targetWorkers, mostTargets = 8, 6
	// hostTimeout bounds one call to the host.
	hostTimeout = 15 * time.Second
	// gather is how long results of one object are gathered before the object is synced, and
	// gatherTarget how much longer for each of its targets: a status of a thousand targets is
	// written a few times while they are written to, and not once for each.
	gather       = 50 * time.Millisecond
	gatherTarget = 500 * time.Microsecond
	// gatherProblems is about how long another sentence on why a member is not ready waits, which may be
	// another each time: the status of every object there says it.
	gatherProblems = time.Minute
	// gatherClusters is the same for clusters that come and go, gatherNamespace for the cells,
	// edge units and labels of one namespace.
	gatherClusters, gatherNamespace = time.Second, 250 * time.Millisecond
	// resync is how often every object is looked at again without any reason, spread over that
	// time: what got lost, whatever lost it, is found within minutes.
	resync = 10 * time.Minute
	// patience is how long the status waits for the first result.
	patience = time.Second
	// minBackoff and maxBackoff bound the time between attempts on one target.
	minBackoff, maxBackoff = 500 * time.Millisecond, time.Minute
	// marksPerSecond bounds how many objects of an earlier release get the federation's name, and
	// markPause is about how long one waits that did not get it.
	marksPerSecond = 5
	markPause      = time.Minute
)

// Members is what the engine needs to know of members; membership.Registry knows it.
type Members interface {
	Get(name string) (membership.Member, bool)
	List() []membership.Member
}

// Config is what an Engine works with. The listers' caches must be synced before Run.
type Config struct {
	// HostConfig reaches the API that serves the federated kinds, and Checker compares caches of
	// them with it.
	HostConfig *rest.Config
	Checker    *hostwatch.Checker
	Members    Members

	// Clusters, Types and TypeClient are those of SystemNamespace.
	SystemNamespace string
	Clusters        *Clusters
	Types           listersv1beta1.FederatedTypeConfigNamespaceLister
	TypeClient      clientv1beta1.FederatedTypeConfigInterface

	Cells      federationlisters.CellLister
	EdgeUnits  edgelisters.EdgeUnitLister
	Namespaces corev1listers.NamespaceLister

	// Book is asked before anything is done in a namespace of a member.
	Book Book
	// Federation is what this one is called on namespaces of members.
	Federation string

	// Scope is that of the KubeFedConfig: where it is Namespaced, only objects of SystemNamespace
	// are propagated, and none that lie in no namespace of members.
	Scope v1beta1.ResourceScope

	// Adopt is asked whether an object that a member has already is taken over.
	Adopt func() bool

	// Record writes Events about federated objects, and must not block; nil: nobody does.
	Record func(about *corev1.ObjectReference, happened ...events.Event)
	// Paused is asked whether all types are paused, as if they were Disabled; nil: they are not.
	Paused func() bool
	// CollectRaw is asked whether types that collect status have the whole of it in the federated
	// object; nil: they have not.
	CollectRaw func() bool
	// Concurrency is asked for maxConcurrentReconciles of the KubeFedConfig; nil: nobody says. Where these three
	// may answer something else, ConfigChanged has to be called.
	Concurrency func() int64
	// OnCensus is told of cells whose status says something else than what was counted for a while: Told has what it
	// is to say. It must not block. Nil: nobody wants to know.
	OnCensus func(namespace, cell string)
	// OnObject is told of every change of a federated object or of the targets it may have, and of its
	// objects in members, which inMember says; kind is the name of the FederatedTypeConfig. It must not block. Nil: nobody wants to know.
	OnObject func(kind, namespace, name string, inMember bool)
}

func (c Config) check() error {
	if c.HostConfig == nil || c.Checker == nil || c.Members == nil || c.Clusters == nil || c.Types == nil || c.TypeClient == nil ||
		c.Cells == nil || c.EdgeUnits == nil || c.Namespaces == nil || c.Adopt == nil || c.SystemNamespace == "" || c.Scope == "" || c.Book == nil || c.Federation == "" {
		return errors.New("propagation: a field of Config is not set that has to be")
	}
	return nil
}

// objectKey names one federated object; kind is the name of its FederatedTypeConfig.
type objectKey struct{ kind, namespace, name string }

// String names the object in logs.
func (k objectKey) String() string { return k.kind + " " + k.source() }

// source is how members name the object.
func (k objectKey) source() string { return manifest.Source(k.namespace, k.name) }

// Engine propagates all federated objects.
type Engine struct {
	Config
	objects workqueue.TypedRateLimitingInterface[objectKey]
	types   workqueue.TypedRateLimitingInterface[string]
	scopes  workqueue.TypedRateLimitingInterface[scope]
	orphans workqueue.TypedRateLimitingInterface[orphanKey]
	bases   *bases
	marks   *rate.Limiter
	now     func() time.Time
	wg      sync.WaitGroup

	mu        sync.RWMutex
	kinds     map[string]*kind      // by FederatedTypeConfig; guarded by mu
	executors map[string]*executor  // by member; guarded by mu
	memories  map[objectKey]*memory // guarded by mu
	// holders are the objects with a target in a member, by member; guarded by mu, and so is
	// members of each memory.
	holders map[string]map[objectKey]bool
	paces   map[string]*pace             // of events, by member; guarded by mu
	met     map[string]membership.Member // as MemberChanged has found them; guarded by mu
	// releases are the turns of orphans, by member; guarded by mu.
	releases map[string]*releases
	runCtx   context.Context // set by Run; guarded by mu
	stopped  bool            // guarded by mu
	// censuses by namespace, and the namespaces in which something happened since they were
	// counted; guarded by mu.
	censuses map[string]*census
	stirred  map[string]bool
	// told is what OnCensus told of cells that do not say so yet; guarded by mu.
	told byCell[Tally]
	// waits is what was told of what cells wait for; guarded by mu.
	waits byCell[string]
	// counting is held while a census is taken.
	counting sync.Mutex
	// looked are the FederatedTypeConfigs that were looked at, and failed why those could not be started or changed that
	// could not; guarded by mu.
	looked map[string]bool
	failed map[string]error
	// workers that sync objects; guarded by mu.
	workers int
	// namespacesOff: FederatedNamespaces are known not to be propagated; guarded by mu.
	namespacesOff bool
}

// New returns an engine that does nothing before Run.
func New(config Config) (*Engine, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	return newEngine(config), nil
}

func newEngine(config Config) *Engine {
	return &Engine{
		Config:    config,
		objects:   newObjectQueue(),
		types:     reconcile.NewQueue[string]("federated-types", minBackoff, maxBackoff),
		scopes:    newScopeQueue(),
		orphans:   reconcile.NewQueue[orphanKey]("federated-orphans", minBackoff, maxBackoff),
		releases:  map[string]*releases{},
		bases:     newBases(maxBasesBytes),
		marks:     rate.NewLimiter(marksPerSecond, marksPerSecond),
		now:       time.Now,
		kinds:     map[string]*kind{},
		looked:    map[string]bool{},
		failed:    map[string]error{},
		censuses:  map[string]*census{},
		stirred:   map[string]bool{},
		told:      byCell[Tally]{},
		waits:     byCell[string]{},
		executors: map[string]*executor{},
		memories:  map[objectKey]*memory{},
		holders:   map[string]map[objectKey]bool{},
		paces:     map[string]*pace{},
		met:       map[string]membership.Member{},
	}
}

// newObjectQueue returns a queue in which namespaces take turns.
func newObjectQueue() workqueue.TypedRateLimitingInterface[objectKey] {
	const name = "federated-objects"
	turns := newFair(mostObjects, func(k objectKey) string { return k.namespace })
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[objectKey]{Name: name, Queue: turns})
	delayed := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[objectKey]{Name: name, Queue: queue})
	return &objectQueue{
		TypedRateLimitingInterface: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[objectKey](minBackoff, maxBackoff),
			workqueue.TypedRateLimitingQueueConfig[objectKey]{Name: name, DelayingQueue: delayed}),
		turns: turns,
	}
}

// gatherFor is how long results of an object with so many targets are gathered.
func gatherFor(targets int) time.Duration {
	return gather + time.Duration(targets)*gatherTarget
}

// Run propagates until ctx ends, and returns when all goroutines have.
func (e *Engine) Run(ctx context.Context) error {
	e.mu.Lock()
	e.runCtx = ctx
	e.mu.Unlock()
	types, err := e.Types.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list federated type configs: %w", err)
	}
	for _, t := range types {
		e.types.Add(t.Name)
	}
	// These end with ctx.
	e.wg.Go(func() {
		reconcile.Work[string]{Queue: e.types, Do: e.syncType, Failed: "Failed to set up federated type"}.Run(ctx, 1)
	})
	if e.OnCensus != nil {
		e.wg.Go(func() { e.keepCount(ctx) })
	}
	e.hire()
	e.wg.Go(func() {
		reconcile.Work[scope]{Queue: e.scopes, Do: e.syncScope, Failed: "Failed to look at objects again"}.Run(ctx, 1)
	})
	e.wg.Go(func() {
		reconcile.Work[orphanKey]{Queue: e.orphans, Do: e.syncOrphan, Failed: "Failed to release an orphan"}.Run(ctx, orphanWorkers)
	})
	wait.JitterUntilWithContext(ctx, e.resyncAll, resync, 0.1, true)
	e.objects.ShutDown()
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	e.wg.Wait()
	return nil
}

// resyncAll has every object looked at again within the time to the next call.
func (e *Engine) resyncAll(context.Context) {
	for _, k := range e.runningKinds() {
		for _, key := range k.keys() {
			e.objects.AddAfter(key, rand.N(resync))
		}
	}
	for _, member := range e.Members.List() {
		e.suspectAll(member)
	}
}

// TypeChanged has a FederatedTypeConfig looked at again, and those that want the same kind.
func (e *Engine) TypeChanged(ftc *v1beta1.FederatedTypeConfig) {
	e.types.Add(ftc.Name)
	others, err := e.Types.List(labels.Everything())
	if err != nil {
		return // listers fail only for want of an index
	}
	for _, other := range others {
		if validation.WantTheSame(ftc, other) {
			e.types.Add(other.Name)
		}
	}
}

// MemberChanged has caches set up in a member, and the objects looked at again that have a
// target there. What else could be placed there is told by ClustersChanged.
func (e *Engine) MemberChanged(name string) {
	member, ok := e.Members.Get(name)
	if !ok {
		e.dropExecutor(name)
	}
	for _, k := range e.runningKinds() {
		if ok {
			k.follow(member)
		}
	}
	wait := time.Duration(0)
	if e.meets(name, member, ok) {
		wait = gatherProblems
	} else if ok {
		e.suspectAll(member)
	}
	for _, key := range e.heldIn(name) {
		e.objects.AddAfter(key, wait)
	}
}

// meets notes what a member is now, and reports whether nothing is new but the sentence on why it
// is not ready.
func (e *Engine) meets(name string, member membership.Member, there bool) (onlyProblem bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before, known := e.met[name]
	if !there {
		delete(e.met, name)
		return false
	}
	e.met[name] = member
	return known && member.Health == before.Health && member.Conn == before.Conn && member.Problem != before.Problem &&
		maps.Equal(member.Labels, before.Labels) && reflect.DeepEqual(member.System, before.System)
}

// heldIn lists the objects that have a target in a member.
func (e *Engine) heldIn(member string) []objectKey {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return slices.Collect(maps.Keys(e.holders[member]))
}

// ClustersChanged has every object of whole clusters looked at again: there are other targets
// now.
func (e *Engine) ClustersChanged() { e.scopes.AddRateLimited(scope{clusters: true}) }

// NamespaceChanged has every object of a namespace looked at again: its labels, cells or
// edge units changed.
func (e *Engine) NamespaceChanged(namespace string) {
	e.scopes.AddRateLimited(scope{namespace: namespace})
}

// Written reports whether any federated object has a record in a namespace of a member:
// something of it is there, or may be.
func (e *Engine) Written(member, namespace string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for key := range e.holders[member] {
		if m := e.memories[key]; m != nil && m.writtenTo(member, namespace) {
			return true
		}
	}
	return false
}

// MemberEvent takes an event of a member's cache: see memberclient.NewConn.
func (e *Engine) MemberEvent(member string, resource schema.GroupVersionResource, live *memberclient.Live) {
	for _, k := range e.runningKinds() {
		if k.target.Resource != resource {
			continue
		}
		if live == nil { // a cache is filled, or is not any more; of what it shows it tells itself
			for _, key := range e.heldIn(member) {
				if key.kind == k.name {
					e.objects.AddAfter(key, gatherEvents)
				}
			}
			continue
		}
		key := k.keyOf(live)
		if k.get(key) == nil { // there is no such object, or it is looked at once the cache shows it
			if in, ok := e.Members.Get(member); ok && k.informer.HasSynced() {
				e.suspect(in, k, live)
			}
			continue
		}
		wait := e.paceOf(member).after(key)
		if m := e.recall(key); m != nil {
			wait = max(wait, m.pace.untilLook(e.now()))
		}
		e.objects.AddAfter(key, wait)
		if e.OnObject != nil {
			e.OnObject(key.kind, key.namespace, key.name, true)
		}
	}
}

func (e *Engine) changed(key objectKey) {
	if e.OnObject != nil {
		e.OnObject(key.kind, key.namespace, key.name, false)
	}
}

// paceOf returns how often events of a member are followed.
func (e *Engine) paceOf(member string) *pace {
	e.mu.RLock()
	p := e.paces[member]
	e.mu.RUnlock()
	if p != nil {
		return p
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.paces[member] == nil {
		e.paces[member] = newPace(e.now)
	}
	return e.paces[member]
}

// recall returns the memory of an object, nil if there is none.
func (e *Engine) recall(key objectKey) *memory {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.memories[key]
}

func (e *Engine) runningKinds() []*kind {
	e.mu.RLock()
	defer e.mu.RUnlock()
	kinds := make([]*kind, 0, len(e.kinds))
	for _, k := range e.kinds {
		kinds = append(kinds, k)
	}
	return kinds
}

func (e *Engine) kind(name string) *kind {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.kinds[name]
}

// keyOf names the federated object that an object in a member comes from. One without
// our annotation was made by KubeFed, and has the name of its federated object.
func (k *kind) keyOf(live *memberclient.Live) objectKey {
	key := objectKey{k.name, live.Namespace, live.Name}
	if !k.federatedNamespaced {
		key.namespace = ""
	} else if k.isNamespace() {
		key.namespace = live.Name
	}
	if source, ok := live.Annotations[render.SourceAnnotation]; ok {
		key.namespace, key.name = splitSource(source)
	}
	return key
}

func (k *kind) isNamespace() bool { return k.ofReach().IsNamespace() }

// ofReach is what package reach is told of the kind.
func (k *kind) ofReach() reach.Kind {
	return reach.Kind{GroupVersionKind: k.gvk, Namespaced: k.target.Namespaced}
}

func modeIsEnabled(mode *v1beta1.Mode) bool { return mode != nil && *mode == v1beta1.Enabled }
