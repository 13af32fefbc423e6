package federation

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/book"
	"github.com/koinon-io/koinon/pkg/federation/cellaccess"
	"github.com/koinon-io/koinon/pkg/federation/cells"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/follow"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/profiles"
	"github.com/koinon-io/koinon/pkg/federation/propagation"
	"github.com/koinon-io/koinon/pkg/federation/reach"
	"github.com/koinon-io/koinon/pkg/federation/scheduler"
	"github.com/koinon-io/koinon/pkg/generated/informers/externalversions"
)

// term is one time of working, between winning and losing the lease: informers cannot be
// started twice.
type term struct {
	*Manager
	// system caches what lies in the system namespace; everywhere, in all of them.
	system     externalversions.SharedInformerFactory
	everywhere externalversions.SharedInformerFactory
	secrets    informers.SharedInformerFactory
	host       informers.SharedInformerFactory
	// accountObjects are what the accounts of cells have in the system namespace.
	accountObjects informers.SharedInformerFactory
	// caches are what the factories have, and checker compares them with the host.
	caches  []cached
	checker *hostwatch.Checker

	book  *book.Book
	cells *cells.Controller
	// accounts are those of cells; nil if nobody has their endpoints.
	accounts *cellaccess.Keeper
	// profiles tell programs that know nothing of us which clusters and cells there are.
	profiles *profiles.Controller
	// connections reach members if somebody else propagates.
	connections *membership.Connections
	// The others are nil if somebody else propagates. The collector is one of them: what that
	// one has left in members is not known.
	members   *membership.Registry
	engine    *propagation.Engine
	collector *book.Collector
	recorder  *events.Recorder
	configs   lastConfig
	// replicas does what ReplicaSchedulingPreferences say.
	replicas *scheduler.Controller
	// follower has federated objects follow native ones; nil if none do.
	follower *follow.Controller

	// end ends the term, and rescoped says that the scope of the KubeFedConfig is why.
	end      context.CancelFunc
	rescoped atomic.Bool
}

// work runs all controllers until ctx ends, and begins anew if the scope becomes another: what is
// watched is another then.
func (m *Manager) work(ctx context.Context) error {
	for ctx.Err() == nil {
		rescoped, err := m.workInScope(ctx)
		if err != nil || !rescoped {
			return err
		}
		klog.FromContext(ctx).Info("Scope of the KubeFedConfig has changed; controllers begin anew")
	}
	return nil
}

// workInScope runs all controllers until ctx ends or, rescoped, the KubeFedConfig has another scope.
func (m *Manager) workInScope(ctx context.Context) (rescoped bool, err error) {
	if err := m.untilDone(ctx, "Failed to prepare the system namespace", m.bootstrap); err != nil {
		return false, nil // ctx ended
	}
	t := &term{
		Manager:    m,
		system:     externalversions.NewSharedInformerFactoryWithOptions(m.koinon, 0, externalversions.WithNamespace(m.config.Namespace), externalversions.WithTransform(stripManagedFields)),
		everywhere: externalversions.NewSharedInformerFactoryWithOptions(m.koinon, 0, externalversions.WithTransform(stripManagedFields)),
		secrets:    informers.NewSharedInformerFactoryWithOptions(m.kube, 0, informers.WithNamespace(m.config.Namespace), informers.WithTransform(stripManagedFields)),
		host:       informers.NewSharedInformerFactoryWithOptions(m.kube, 0, informers.WithTransform(stripManagedFields)),

		accountObjects: informers.NewSharedInformerFactoryWithOptions(m.kube, 0, informers.WithNamespace(m.config.Namespace), informers.WithTransform(stripManagedFields)),
	}
	t.makeCaches()
	if err := t.build(); err != nil {
		return false, err
	}
	if err := t.subscribe(); err != nil {
		return false, err
	}
	err = t.run(ctx)
	return t.rescoped.Load(), err
}

// configChanged ends the term if the scope is another: it is immutable, but a KubeFedConfig can be deleted and
// made anew. One that is only deleted changes nothing.
func (t *term) configChanged(config *v1beta1.KubeFedConfig) {
	t.configs.saw(config)
	if config.Name == v1beta1.KubeFedConfigName && scopeOf(config) != t.scope {
		t.rescoped.Store(true)
		t.end()
	}
}

// stripManagedFields drops what nobody reads.
func stripManagedFields(object any) (any, error) {
	if accessor, ok := object.(metav1.ObjectMetaAccessor); ok {
		accessor.GetObjectMeta().SetManagedFields(nil)
	}
	return object, nil
}

// build makes the controllers. They call each other only once they run.
func (t *term) build() (err error) {
	if t.checker, err = hostwatch.NewChecker(t.config.RESTConfig); err != nil {
		return err
	}
	pages := t.system.Federation().V1alpha1().MemberNamespaces()
	t.book, err = book.New(t.koinon.FederationV1alpha1().MemberNamespaces(), pages.Informer().GetIndexer())
	if err != nil {
		return err
	}
	if !t.config.OtherEngine {
		if err := t.buildPropagation(); err != nil {
			return err
		}
	}
	if err := t.buildCells(); err != nil {
		return err
	}
	return t.buildProfiles()
}

// buildProfiles makes what keeps ClusterProfiles.
func (t *term) buildProfiles() error {
	host, err := dynamic.NewForConfig(t.config.RESTConfig)
	if err != nil {
		return fmt.Errorf("make a client of ClusterProfiles: %w", err)
	}
	t.profiles, err = profiles.New(profiles.Config{
		SystemNamespace: t.config.Namespace,
		Namespace:       t.config.ProfileNamespace,
		Federation:      t.federation,
		Endpoint:        t.config.CellEndpoint,
		Clusters:        t.system.KubeFedCore().V1beta1().KubeFedClusters().Lister().KubeFedClusters(t.config.Namespace),
		Cells:           t.everywhere.Federation().V1alpha1().Cells().Lister(),
		Koinon:          t.koinon,
		Profiles:        host,
		Discover:        t.discoverProfiles,
		Follow: func(ctx context.Context, informer *hostwatch.Informer) {
			t.checker.Follow(ctx, profiles.Resource, metav1.NamespaceAll, informer)
		},
	})
	return err
}

// buildCells makes what keeps cells and edge units.
func (t *term) buildCells() (err error) {
	namespace := t.config.Namespace
	cellUnits, err := cells.NewCells(t.everywhere.Federation().V1alpha1().Cells().Informer(), t.koinon.FederationV1alpha1())
	if err != nil {
		return err
	}
	edgeUnits, err := cells.NewEdgeUnits(t.everywhere.Edge().V1alpha1().EdgeUnits().Informer(), t.koinon.EdgeV1alpha1())
	if err != nil {
		return err
	}
	var accounts cells.Accounts // nil, and not a nil *Keeper
	if t.hasAccounts() {
		if err := t.buildAccounts(cellUnits); err != nil {
			return err
		}
		accounts = t.accounts
	}
	var census func(namespace, cell string) cells.Count
	var told func(namespace, cell string) (federationv1alpha1.CellObjects, bool)
	if !t.config.OtherEngine {
		census, told = t.census, t.told
	}
	t.cells, err = cells.New(cells.Config{
		SystemNamespace: namespace,
		Kinds:           []cells.Kind{cellUnits, edgeUnits},
		Clusters:        t.system.KubeFedCore().V1beta1().KubeFedClusters().Lister().KubeFedClusters(namespace),
		Client:          t.koinon.KubeFedCoreV1beta1().KubeFedClusters(namespace),
		Namespaces:      t.host.Core().V1().Namespaces().Lister(),
		Claims:          t.book,
		Accounts:        accounts,
		OtherEngine:     t.config.OtherEngine,
		Census:          census,
		Told:            told,
	})
	return err
}

// discoverProfiles asks the host what it serves of the group and version of ClusterProfiles.
func (t *term) discoverProfiles(ctx context.Context) (*metav1.APIResourceList, error) {
	served := &metav1.APIResourceList{}
	return served, t.kube.Discovery().RESTClient().Get().AbsPath("/apis", profiles.Resource.Group, profiles.Resource.Version).Do(ctx).Into(served)
}

// census counts the federated objects of a cell.
func (t *term) census(namespace, cell string) cells.Count {
	counted, known, unknown := t.engine.Census(namespace, cell)
	waits, told := t.engine.Waits(namespace, cell)
	if unknown != "" { // that is what it says
		waits = cmp.Or(waits, counted.Waits)
	}
	return cells.Count{Objects: counted.Said(), Known: known, Unknown: unknown, Waits: waits, WaitsTold: told}
}

// told is what the status of a cell has to say of them, if that is something new.
func (t *term) told(namespace, cell string) (federationv1alpha1.CellObjects, bool) {
	counted, ok := t.engine.Told(namespace, cell)
	return counted.Said(), ok
}

// buildAccounts makes what keeps the accounts of cells.
func (t *term) buildAccounts(units *cells.Units) (err error) {
	namespace := t.config.Namespace
	var members cellaccess.Members = t.members
	if t.members == nil {
		t.connections = &membership.Connections{
			Clusters: t.system.KubeFedCore().V1beta1().KubeFedClusters().Lister().KubeFedClusters(namespace),
			Secrets:  t.secrets.Core().V1().Secrets().Lister().Secrets(namespace),
			Dial:     t.config.DialMember,
			Tunnel:   t.config.Tunnel,
		}
		members = t.connections
	}
	t.accounts, err = cellaccess.New(cellaccess.Config{
		SystemNamespace: namespace,
		Endpoint:        *t.config.CellEndpoint,
		Client:          t.kube,
		ServiceAccounts: t.accountObjects.Core().V1().ServiceAccounts().Lister().ServiceAccounts(namespace),
		Secrets:         t.accountObjects.Core().V1().Secrets().Lister().Secrets(namespace),
		Cells:           units,
		Members:         members,
		Holders:         t.book,
		Federation:      t.federation,
		OtherEngine:     t.config.OtherEngine,
		OnChange:        func(namespace, name string) { t.cells.Enqueue(v1beta2.TopologyCell, namespace, name) },
	})
	return err
}

// buildPropagation makes what reads and writes members.
func (t *term) buildPropagation() (err error) {
	namespace := t.config.Namespace
	core := t.system.KubeFedCore().V1beta1()
	clusters := core.KubeFedClusters().Lister().KubeFedClusters(namespace)
	configs := &t.configs
	configs.lister = core.KubeFedConfigs().Lister().KubeFedConfigs(namespace)
	coreClient := t.koinon.KubeFedCoreV1beta1()
	hostNamespaces := t.host.Core().V1().Namespaces().Lister()
	cellLister := t.everywhere.Federation().V1alpha1().Cells().Lister()
	unitLister := t.everywhere.Edge().V1alpha1().EdgeUnits().Lister()
	t.recorder = events.NewRecorder(t.kube.CoreV1())
	t.members, err = membership.New(membership.Config{
		Clusters:   clusters,
		Secrets:    t.secrets.Core().V1().Secrets().Lister().Secrets(namespace),
		Client:     coreClient.KubeFedClusters(namespace),
		Dial:       t.config.DialMember,
		Tunnel:     t.config.Tunnel,
		Thresholds: func() membership.Thresholds { return membership.ThresholdsOf(configs.current()) },
		OnChange:   t.memberChanged,
		OnEvent: func(member string, resource schema.GroupVersionResource, event memberclient.Event) {
			t.engine.MemberEvent(member, resource, event.Live)
			if t.accounts != nil && event.Live != nil && !event.Deleted && resource == namespaces {
				t.accounts.NamespaceSeen(member, event.Live.Name)
			}
		},
		SecretClient: t.kube.CoreV1().Secrets(namespace),
		Record:       t.recorder.Record,
	})
	if err != nil {
		return err
	}
	targets, err := propagation.NewClusters(core.KubeFedClusters().Informer(), namespace)
	if err != nil {
		return err
	}
	t.engine, err = propagation.New(propagation.Config{
		HostConfig:      t.config.RESTConfig,
		Checker:         t.checker,
		Members:         t.members,
		SystemNamespace: namespace,
		Clusters:        targets,
		Types:           core.FederatedTypeConfigs().Lister().FederatedTypeConfigs(namespace),
		TypeClient:      coreClient.FederatedTypeConfigs(namespace),
		Cells:           cellLister,
		EdgeUnits:       unitLister,
		Namespaces:      hostNamespaces,
		Book:            t.book,
		Federation:      t.federation,
		Scope:           t.scope,
		Adopt:           func() bool { return reach.Adopts(configs.current()) },
		Record:          t.recorder.Record,
		Paused:          func() bool { return !pushes(configs.current()) },
		CollectRaw:      func() bool { return collectsRaw(configs.current()) },
		Concurrency:     func() int64 { return concurrency(configs.current()) },
		OnObject: func(kind, namespace, name string, inMember bool) {
			t.replicas.ObjectChanged(kind, namespace, name, inMember)
			if t.follower != nil && !inMember {
				t.follower.ObjectChanged(kind, namespace, name)
			}
		},
		OnCensus: func(namespace, cell string) { t.cells.Enqueue(v1beta2.TopologyCell, namespace, cell) },
	})
	if err != nil {
		return err
	}
	if err := t.buildReplicas(configs); err != nil {
		return err
	}
	if err := t.buildFollower(); err != nil {
		return err
	}
	t.collector, err = book.NewCollector(book.CollectorConfig{
		Book:       t.book,
		Pages:      t.system.Federation().V1alpha1().MemberNamespaces().Lister(),
		Owners:     book.HostOwners{Namespaces: hostNamespaces, Cells: cellLister, EdgeUnits: unitLister, Kube: t.kube, Koinon: t.koinon},
		Members:    t.members,
		Clusters:   coreClient.KubeFedClusters(namespace),
		Federation: t.federation,
		Written:    t.engine.Written,
	})
	return err
}

// namespaces is the resource, of members too.
var namespaces = corev1.SchemeGroupVersion.WithResource("namespaces")

// memberChanged tells who wants to know that a member is another, or is well again.
func (t *term) memberChanged(member string) {
	t.engine.MemberChanged(member)
	t.replicasMember(member)
	if t.accounts != nil {
		t.accounts.MemberChanged(member)
	}
}

// pushes reports whether propagation is on, as far as all types are concerned.
func pushes(config *v1beta1.KubeFedConfig) bool {
	return config == nil || !slices.Contains(config.Spec.FeatureGates,
		v1beta1.FeatureGatesConfig{Name: v1beta1.GatePushReconciler, Configuration: v1beta1.Disabled})
}

// concurrency returns maxConcurrentReconciles of propagation, 0 if nobody says.
func concurrency(config *v1beta1.KubeFedConfig) int64 {
	if config == nil || config.Spec.SyncController == nil || config.Spec.SyncController.MaxConcurrentReconciles == nil {
		return 0
	}
	return *config.Spec.SyncController.MaxConcurrentReconciles
}

// collectsRaw reports whether the whole status of objects in members is collected: the feature gate is
// off unless somebody switches it on.
func collectsRaw(config *v1beta1.KubeFedConfig) bool {
	if config == nil {
		return false
	}
	for _, gate := range config.Spec.FeatureGates {
		if gate.Name == v1beta1.GateRawResourceStatusCollection {
			return gate.Configuration == v1beta1.Enabled
		}
	}
	return false
}

// subscription is whom changes of a resource are told.
type subscription struct {
	informer cache.SharedIndexInformer
	changed  func(old, current metav1.Object)
}

// subscriptions are of everything that the controllers cache.
func (t *term) subscriptions() []subscription {
	core := t.system.KubeFedCore().V1beta1()
	host := []subscription{
		{core.KubeFedClusters().Informer(), t.clusterChanged},
		{t.host.Core().V1().Namespaces().Informer(), t.namespaceChanged},
		{t.everywhere.Federation().V1alpha1().Cells().Informer(), t.unitChanged(v1beta2.TopologyCell)},
		{t.everywhere.Edge().V1alpha1().EdgeUnits().Informer(), t.unitChanged(v1beta2.TopologyEdgeUnit)},
		{t.system.Federation().V1alpha1().MemberNamespaces().Informer(), t.pageChanged},
	}
	if t.reachesMembers() {
		host = append(host, subscription{t.secrets.Core().V1().Secrets().Informer(), t.secretChanged})
	}
	if t.engine == nil {
		return host
	}
	return append(host,
		subscription{core.FederatedTypeConfigs().Informer(), t.typeChanged},
		subscription{core.KubeFedConfigs().Informer(), func(_, o metav1.Object) {
			t.configChanged(o.(*v1beta1.KubeFedConfig))
			t.engine.ConfigChanged()
			t.replicas.EverythingChanged()
		}},
	)
}

func (t *term) typeChanged(old, current metav1.Object) {
	t.engine.TypeChanged(current.(*v1beta1.FederatedTypeConfig))
	if t.follower != nil {
		t.follower.TypeChanged()
	}
	if old == nil || old.GetGeneration() != current.GetGeneration() {
		t.replicas.EverythingChanged() // what is paused is not divided
	}
}

// accountSubscriptions are of what the accounts of cells have. Nobody else waits for these caches: a
// host that does not show them, since its manifests are an earlier release's, stops nothing else.
func (t *term) accountSubscriptions() []subscription {
	if !t.hasAccounts() {
		return nil
	}
	changed := func(_, o metav1.Object) { t.accounts.Changed(o) }
	ofCells := t.accountObjects.Core().V1()
	return []subscription{{ofCells.Secrets().Informer(), changed}, {ofCells.ServiceAccounts().Informer(), changed}}
}

// runAccounts keeps the accounts of cells, once they are known.
func (t *term) runAccounts(ctx context.Context) error {
	waitForCaches(ctx, t.accountSubscriptions()) // if ctx has ended, so does Run
	return t.accounts.Run(ctx)
}

// subscribe tells the controllers what changes.
func (t *term) subscribe() error {
	for _, s := range slices.Concat(t.subscriptions(), t.accountSubscriptions(), t.replicaSubscriptions()) {
		if _, err := s.informer.AddEventHandler(handler(s.changed)); err != nil {
			return fmt.Errorf("subscribe to changes: %w", err)
		}
	}
	return nil
}

// handler calls changed with nil for old or for nothing that is there no more: current is
// always set, and old is nil unless both are known.
func handler(changed func(old, current metav1.Object)) cache.ResourceEventHandler {
	single := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if current, ok := object.(metav1.Object); ok {
			changed(nil, current)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    single,
		DeleteFunc: single,
		UpdateFunc: func(old, current any) {
			before, ok := old.(metav1.Object)
			after, also := current.(metav1.Object)
			if ok && also {
				changed(before, after)
			}
		},
	}
}

func (t *term) clusterChanged(old, current metav1.Object) {
	t.cells.ClusterChanged(current.GetName())
	t.profiles.ClusterChanged(current.GetName())
	if t.engine == nil {
		// Its status is written every ten seconds, and says nothing of how it is reached.
		if t.accounts != nil && (old == nil || old.GetGeneration() != current.GetGeneration()) && current.GetLabels()[federationv1alpha1.TopologyLabel] == "" {
			t.accounts.MemberChanged(current.GetName())
		}
		return
	}
	t.members.Enqueue(current.GetName())
	if old != nil && maps.Equal(old.GetLabels(), current.GetLabels()) && maps.Equal(old.GetAnnotations(), current.GetAnnotations()) {
		return // what concerns the member itself, the registry tells
	}
	for _, version := range []metav1.Object{old, current} {
		if version == nil {
			continue
		}
		if version.GetLabels()[federationv1alpha1.TopologyLabel] == "" {
			t.replicas.EverythingChanged()
			t.engine.ClustersChanged()
			continue
		}
		// The cluster of a cell can be named by objects of the cell's namespace only.
		t.engine.NamespaceChanged(version.GetLabels()[federationv1alpha1.TopologyNamespaceLabel])
	}
}

// pageChanged has those looked at again who may want what somebody gave up. What is claimed
// concerns nobody else: who wants it finds out.
func (t *term) pageChanged(old, current metav1.Object) {
	page := current.(*federationv1alpha1.MemberNamespace)
	before, _ := old.(*federationv1alpha1.MemberNamespace)
	given := givenUp(before, page)
	if len(given) == 0 && old != nil {
		return
	}
	t.cells.NamespaceReleased(page.Name, given...)
	if t.engine == nil {
		return
	}
	t.engine.NamespaceChanged(page.Name)
	for _, owner := range page.Spec.Owners {
		if owner.Namespace != page.Name {
			t.engine.NamespaceChanged(owner.Namespace)
		}
	}
}

// givenUp returns the members whose namespace somebody has no more: all on a page that may be
// gone, for which before is nil.
func givenUp(before, page *federationv1alpha1.MemberNamespace) (members []string) {
	holders := ownership.Holders(page)
	if before == nil {
		return slices.Sorted(maps.Keys(holders))
	}
	for _, member := range slices.Sorted(maps.Keys(ownership.Holders(before))) {
		if _, held := holders[member]; !held {
			members = append(members, member)
		}
	}
	return members
}

func (t *term) secretChanged(_, current metav1.Object) {
	if t.members != nil {
		t.members.EnqueueForSecret(current.GetName())
		return
	}
	for _, member := range t.connections.Using(current.GetName()) {
		t.accounts.MemberChanged(member)
	}
}

func (t *term) namespaceChanged(old, current metav1.Object) {
	if old != nil && maps.Equal(old.GetLabels(), current.GetLabels()) {
		return
	}
	t.cells.NamespaceChanged(current.GetName())
	if t.engine == nil {
		return
	}
	t.engine.NamespaceChanged(current.GetName())
	if old == nil {
		t.collector.Enqueue(current.GetName()) // it may be gone
	}
}

func (t *term) unitChanged(topologyType string) func(old, current metav1.Object) {
	return func(old, current metav1.Object) {
		t.cells.Enqueue(topologyType, current.GetNamespace(), current.GetName())
		if topologyType == v1beta2.TopologyCell {
			t.profiles.CellChanged(current.GetNamespace(), current.GetName())
		}
		if t.engine == nil {
			return
		}
		if old == nil {
			t.collector.Enqueue(memberNamespaceOf(current)) // it may be gone
		}
		if old == nil || old.GetGeneration() != current.GetGeneration() || !maps.Equal(old.GetLabels(), current.GetLabels()) {
			t.engine.NamespaceChanged(current.GetNamespace())
		}
	}
}

// memberNamespaceOf is the namespace of a cell or an edge unit in its member.
func memberNamespaceOf(unit metav1.Object) string {
	named := ""
	switch u := unit.(type) {
	case *federationv1alpha1.Cell:
		named = u.Spec.MemberNamespace
	case *edgev1alpha1.EdgeUnit:
		named = u.Spec.MemberNamespace
	}
	return ownership.MemberNamespaceOf(named, unit.GetNamespace(), unit.GetName())
}

// run starts caches and then controllers, and waits for all of them to end.
func (t *term) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.end = cancel
	factories := []interface {
		Start(<-chan struct{})
		Shutdown()
	}{t.system, t.everywhere, t.secrets, t.host, t.accountObjects}
	for _, f := range factories {
		f.Start(ctx.Done())
		defer f.Shutdown()
	}
	defer cancel() // before the factories are waited for
	if waitForCaches(ctx, t.subscriptions()) &&
		t.untilDone(ctx, "Failed to claim the namespaces of cells and edge units", t.cells.Settle) == nil {
		klog.FromContext(ctx).Info("Started controllers", "propagation", t.engine != nil)
	} // else ctx has ended, and the parts end with it: their queues have goroutines from the start
	var wg sync.WaitGroup
	parts := []func(context.Context) error{t.cells.Run, t.profiles.Run, t.followCaches}
	if t.accounts != nil {
		parts = append(parts, t.runAccounts)
	}
	if t.connections != nil {
		parts = append(parts, t.connections.Run)
	}
	if t.engine != nil {
		defer t.recorder.Start(ctx)()
		parts = append(parts, t.members.Run, t.engine.Run, t.collector.Run, t.runReplicas)
	}
	if t.follower != nil {
		parts = append(parts, t.follower.Run)
	}
	errs := make(chan error, len(parts))
	for _, run := range parts {
		// Ends with ctx, which ends when one of them fails.
		wg.Go(func() {
			defer cancel()
			errs <- run(ctx)
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// waitForCaches returns false if ctx ends first.
func waitForCaches(ctx context.Context, subscriptions []subscription) bool {
	var synced []cache.InformerSynced
	for _, s := range subscriptions {
		synced = append(synced, s.informer.HasSynced)
	}
	return cache.WaitForCacheSync(ctx.Done(), synced...)
}
