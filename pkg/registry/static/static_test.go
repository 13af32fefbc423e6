package static_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/install"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/proxy"
	"github.com/koinon-io/koinon/pkg/registry/static"
	"github.com/koinon-io/koinon/pkg/storage"
)

const systemNamespace = "kube-federation-system"

// options store every resource in one embedded store, behind a watch cache.
type options struct {
	config storagebackend.Config
}

func (o options) GetRESTOptions(resource schema.GroupResource, _ runtime.Object) (generic.RESTOptions, error) {
	return generic.RESTOptions{
		StorageConfig:           o.config.ForResource(resource),
		Decorator:               genericregistry.StorageWithCacher(),
		ResourcePrefix:          resource.Group + "/" + resource.Resource,
		EnableGarbageCollection: true,
		DeleteCollectionWorkers: 1,
	}, nil
}

// namespaces are shop and other, without labels.
type namespaces struct{}

func (namespaces) NamespaceLabels(_ context.Context, name string) (map[string]string, error) {
	if name != "shop" && name != "other" {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
	}
	return nil, nil
}

func (namespaces) IsEnding(_ context.Context, name string) (bool, error) {
	return name == "ending", nil
}

func newRegistry(t *testing.T) *static.Registry {
	t.Helper()
	return newServer(t, newStore(t))
}

func newStore(t *testing.T) *storage.Store {
	t.Helper()
	store, err := storage.Open(t.Context(), storage.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// newServer returns the registry of one of the servers on a store.
func newServer(t *testing.T, store *storage.Store) *static.Registry {
	t.Helper()
	return newServerOf(t, store, nil, nil)
}

// newServerOf has records of federated objects besides.
func newServerOf(t *testing.T, store *storage.Store, source static.Federated, otherEngine func(context.Context) bool) *static.Registry {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := install.Install(scheme); err != nil {
		t.Fatal(err)
	}
	codecs := serializer.NewCodecFactory(scheme)
	config := storagebackend.NewDefaultConfig("/registry", codecs.LegacyCodec(scheme.PrioritizedVersionsAllGroups()...))
	config.Transport = store.Transport()
	registry, err := static.New(static.Deps{
		Scheme: scheme, Codecs: codecs, RESTOptions: options{*config},
		Namespace: systemNamespace, Namespaces: namespaces{},
		Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(),
		Links:      noMembers{}, Cells: func(*static.Registry) proxy.Cells { return nowhere{} },
		Federated: source, OtherEngine: otherEngine,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, group := range registry.Groups {
			for _, resources := range group.VersionedResourcesStorageMap {
				for _, resource := range resources {
					resource.Destroy()
				}
			}
		}
	})
	ready := func(context.Context) (bool, error) {
		for _, group := range registry.Groups {
			for _, resources := range group.VersionedResourcesStorageMap {
				for _, resource := range resources {
					if cached, ok := resource.(interface{ ReadinessCheck() error }); ok && cached.ReadinessCheck() != nil {
						return false, nil
					}
				}
			}
		}
		return true, nil
	}
	if err := wait.PollUntilContextCancel(t.Context(), time.Millisecond, true, ready); err != nil {
		t.Fatalf("the watch caches did not fill: %v", err)
	}
	return registry
}

// noMembers is a federation without members, and nowhere where its cells are.
type (
	noMembers struct{ proxy.Links }
	nowhere   struct{ proxy.Cells }
)

func in(t *testing.T, namespace string) context.Context {
	return genericapirequest.WithNamespace(t.Context(), namespace)
}

func create[T runtime.Object](t *testing.T, storage rest.Creater, namespace string, object T) T {
	t.Helper()
	created, err := storage.Create(in(t, namespace), object, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created.(T)
}

func newCell(namespace, name string) *federationv1alpha1.Cell {
	return &federationv1alpha1.Cell{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       federationv1alpha1.CellSpec{ClusterName: "m1"},
	}
}

func newCluster(name string) *corev1beta1.KubeFedCluster {
	return &corev1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: name},
		Spec:       corev1beta1.KubeFedClusterSpec{APIEndpoint: "m1", SecretRef: corev1beta1.LocalSecretReference{Name: "s"}},
	}
}

func TestGroups(t *testing.T) {
	got := map[string]string{}
	for _, group := range newRegistry(t).Groups {
		for _, gv := range group.PrioritizedVersions {
			resources := slices.Sorted(maps.Keys(group.VersionedResourcesStorageMap[gv.Version]))
			got[gv.String()] = strings.Join(resources, " ")
		}
	}
	want := map[string]string{
		"core.kubefed.io/v1alpha1":       "clusterpropagatedversions clusterpropagatedversions/status federatedservicestatuses propagatedversions propagatedversions/status",
		"core.kubefed.io/v1beta1":        "federatedtypeconfigs federatedtypeconfigs/status kubefedclusters kubefedclusters/agents kubefedclusters/status kubefedconfigs",
		"edge.koinon.io/v1alpha1":        "edgeunits edgeunits/status",
		"federation.koinon.io/v1alpha1":  "cells cells/proxy cells/status clusters clusters/proxy fleets fleets/proxy membernamespaces",
		"scheduling.kubefed.io/v1alpha1": "replicaschedulingpreferences",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
}

// contest has a dozen creations of every kind and way strive for one seat, by the given
// servers in turn. It returns how many got it.
func contest(t *testing.T, servers ...*static.Registry) int {
	var won atomic.Int32
	note := func(err error) {
		switch {
		case err == nil:
			won.Add(1)
		case !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "belongs to"):
			t.Errorf("got error %v, want one about the namespace", err)
		}
	}
	var all sync.WaitGroup
	for i, name := range []string{"a", "b", "c", "d"} {
		registry := servers[i%len(servers)]
		all.Go(func() {
			cell := newCell("shop", name)
			cell.Spec.MemberNamespace = "contested"
			_, err := registry.Cells.Create(in(t, "shop"), cell, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
			note(err)
		})
		all.Go(func() { // the way of server-side apply
			cell := newCell("other", name)
			cell.Spec.MemberNamespace = "contested"
			_, _, err := registry.Cells.Update(in(t, "other"), name, rest.DefaultUpdatedObjectInfo(cell),
				rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, true, &metav1.UpdateOptions{})
			note(err)
		})
		all.Go(func() {
			unit := &edgev1alpha1.EdgeUnit{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
				Spec:       edgev1alpha1.EdgeUnitSpec{ClusterName: "m1", MemberNamespace: "contested"},
			}
			_, err := registry.EdgeUnits.Create(in(t, "shop"), unit, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
			note(err)
		})
	}
	all.Wait()
	return int(won.Load())
}

func TestOfManyCreationsOneGetsTheSeat(t *testing.T) {
	if won := contest(t, newRegistry(t)); won != 1 {
		t.Errorf("%d creations got the namespace, want 1", won)
	}
}

func TestTwoServersNeverGiveTheSameSeatAway(t *testing.T) {
	store := newStore(t)
	one, other := newServer(t, store), newServer(t, store)
	won := contest(t, one, other)
	if won != 1 {
		t.Errorf("%d creations got the namespace, want 1", won)
	}
	stored := 0
	for _, lister := range []rest.Lister{one.Cells, one.EdgeUnits} {
		list, err := lister.List(in(t, metav1.NamespaceAll), &metainternalversion.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		stored += meta.LenList(list)
	}
	if stored != won {
		t.Errorf("%d objects are stored, want %d: those whose creation succeeded", stored, won)
	}
}

func TestADeletedCellKeepsItsSeatUntilNothingIsLeftInTheMember(t *testing.T) {
	registry := newRegistry(t)
	create(t, registry.Cells, "shop", newCell("shop", "a"))
	if _, _, err := registry.Cells.Delete(in(t, "shop"), "a", rest.ValidateAllObjectFunc, &metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	create(t, registry.Cells, "shop", newCell("shop", "a")) // the same one again is no other
	if _, _, err := registry.Cells.Delete(in(t, "shop"), "a", rest.ValidateAllObjectFunc, &metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	other := newCell("other", "b")
	other.Spec.MemberNamespace = "shop-a"
	if _, err := registry.Cells.Create(in(t, "other"), other.DeepCopy(), rest.ValidateAllObjectFunc, &metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("got error %v, want that the namespace is taken", err)
	}
	page, err := registry.Pages.Get(t.Context(), "shop-a")
	if err != nil {
		t.Fatal(err)
	}
	ownership.Release(page, ownership.UnitOwner("cell", "shop", "a"), "m1") // what the controllers do
	if err := registry.Pages.Update(t.Context(), page); err != nil {
		t.Fatal(err)
	}
	create(t, registry.Cells, "other", other)
}

func TestADryRunClaimsNothing(t *testing.T) {
	registry := newRegistry(t)
	dryRun := []string{metav1.DryRunAll}
	if _, err := registry.Cells.Create(in(t, "shop"), newCell("shop", "a"), rest.ValidateAllObjectFunc, &metav1.CreateOptions{DryRun: dryRun}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := registry.Cells.Update(in(t, "shop"), "a", rest.DefaultUpdatedObjectInfo(newCell("shop", "a")),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, true, &metav1.UpdateOptions{DryRun: dryRun}); err != nil {
		t.Fatal(err)
	}
	if page, err := registry.Pages.Get(t.Context(), "shop-a"); !apierrors.IsNotFound(err) {
		t.Errorf("got page %v, error %v; want none", page, err)
	}
}

func TestWhatAWebhookRefusesClaimsNothing(t *testing.T) {
	registry := newRegistry(t)
	refused := errors.New("refused")
	_, err := registry.Cells.Create(in(t, "shop"), newCell("shop", "a"), func(context.Context, runtime.Object) error { return refused }, &metav1.CreateOptions{})
	if !errors.Is(err, refused) {
		t.Errorf("got error %v, want %v", err, refused)
	}
	if page, err := registry.Pages.Get(t.Context(), "shop-a"); !apierrors.IsNotFound(err) {
		t.Errorf("got page %v, error %v; want none", page, err)
	}
}

func TestASlowWebhookHoldsUpNobodyElse(t *testing.T) {
	registry := newRegistry(t)
	_, err := registry.Cells.Create(in(t, "shop"), newCell("shop", "a"), func(context.Context, runtime.Object) error {
		create(t, registry.Cells, "other", newCell("other", "b")) // while the first one is being admitted
		return nil
	}, &metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func TestACellThatExistsClaimsNoOtherSeat(t *testing.T) {
	registry := newRegistry(t)
	create(t, registry.Cells, "shop", newCell("shop", "a"))
	again := newCell("shop", "a")
	again.Spec.MemberNamespace = "elsewhere"
	if _, err := registry.Cells.Create(in(t, "shop"), again, rest.ValidateAllObjectFunc, &metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("got error %v, want that it exists", err)
	}
	if page, err := registry.Pages.Get(t.Context(), "elsewhere"); !apierrors.IsNotFound(err) {
		t.Errorf("got page %v, error %v; want none", page, err)
	}
}

func TestStatusAndSpecAreWrittenApart(t *testing.T) {
	registry := newRegistry(t)
	config := &corev1beta1.FederatedTypeConfig{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "widgets.example.com"},
		Spec: corev1beta1.FederatedTypeConfigSpec{
			TargetType: corev1beta1.APIResource{Version: "v1", Kind: "Widget", Scope: corev1beta1.NamespaceScoped},
		},
	}
	created := create(t, registry.TypeConfigs, systemNamespace, config)
	written := created.DeepCopy()
	written.Spec.Propagation = corev1beta1.Disabled
	written.Status.ObservedGeneration = 1
	obj, _, err := registry.TypeConfigStatus.Update(in(t, systemNamespace), config.Name, rest.DefaultUpdatedObjectInfo(written),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := obj.(*corev1beta1.FederatedTypeConfig)
	if got.Status.ObservedGeneration != 1 || got.Spec.Propagation != corev1beta1.Enabled || got.Generation != 1 {
		t.Errorf("after a write of the status: observedGeneration %d, propagation %s, generation %d; want 1, Enabled, 1",
			got.Status.ObservedGeneration, got.Spec.Propagation, got.Generation)
	}
	written = got.DeepCopy()
	written.Spec.Propagation = corev1beta1.Disabled
	written.Status = corev1beta1.FederatedTypeConfigStatus{}
	obj, _, err = registry.TypeConfigs.Update(in(t, systemNamespace), config.Name, rest.DefaultUpdatedObjectInfo(written),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got = obj.(*corev1beta1.FederatedTypeConfig)
	if got.Status.ObservedGeneration != 1 || got.Spec.Propagation != corev1beta1.Disabled || got.Generation != 2 {
		t.Errorf("after a write of the object: observedGeneration %d, propagation %s, generation %d; want 1, Disabled, 2",
			got.Status.ObservedGeneration, got.Spec.Propagation, got.Generation)
	}
}

func TestStatusIsNeverCreated(t *testing.T) {
	registry := newRegistry(t)
	_, _, err := registry.TypeConfigStatus.Update(in(t, systemNamespace), "x", rest.DefaultUpdatedObjectInfo(&corev1beta1.FederatedTypeConfig{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "x"}}),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, true, &metav1.UpdateOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("got error %v, want not found", err)
	}
}

func TestClustersFollowTheirMembers(t *testing.T) {
	registry := newRegistry(t)
	var view interface {
		rest.Lister
		rest.Watcher
	}
	for _, group := range registry.Groups {
		if storage, ok := group.VersionedResourcesStorageMap["v1alpha1"]["clusters"]; ok {
			view = storage.(interface {
				rest.Lister
				rest.Watcher
			})
		}
	}
	list, err := view.List(t.Context(), &metainternalversion.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var watches []watch.Interface
	for range 4 { // so many that the cache shares what it encodes
		w, err := view.Watch(t.Context(), &metainternalversion.ListOptions{ResourceVersion: list.(*federationv1alpha1.ClusterList).ResourceVersion})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		watches = append(watches, w)
	}
	ofCell := newCluster("rz00a.shop")
	ofCell.Labels = map[string]string{
		federationv1alpha1.TopologyLabel:          "cell",
		federationv1alpha1.TopologyNamespaceLabel: "shop",
		federationv1alpha1.TopologyNameLabel:      "rz00a",
	}
	create(t, registry.Clusters, systemNamespace, ofCell)
	create(t, registry.Clusters, systemNamespace, newCluster("m1"))
	for _, w := range watches {
		event := <-w.ResultChan()
		cluster, ok := event.Object.(*federationv1alpha1.Cluster)
		if !ok || event.Type != watch.Added || cluster.Name != "m1" || cluster.Namespace != "" {
			t.Errorf("got event %s %#v, want m1 added", event.Type, event.Object)
		}
	}
	list, err = view.List(t.Context(), &metainternalversion.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if items := list.(*federationv1alpha1.ClusterList).Items; len(items) != 1 || items[0].Name != "m1" {
		t.Errorf("got %v, want m1 alone", items)
	}
}

func TestEveryDependencyIsRequired(t *testing.T) {
	if _, err := static.New(static.Deps{}); err == nil || err.Error() != "the static kinds need a scheme" {
		t.Errorf("got error %v", err)
	}
}

func TestNoKindTakesANameThatIsNone(t *testing.T) {
	for _, group := range newRegistry(t).Groups {
		for version, resources := range group.VersionedResourcesStorageMap {
			for resource, storage := range resources {
				creater, ok := storage.(rest.Creater)
				if !ok {
					continue // a subresource, or a view
				}
				t.Run(version+"/"+resource, func(t *testing.T) {
					object := creater.New()
					accessor, err := meta.Accessor(object)
					if err != nil {
						t.Fatal(err)
					}
					accessor.SetName("Foo_Bar")
					ctx := in(t, "")
					if scoper, ok := storage.(rest.Scoper); ok && scoper.NamespaceScoped() {
						accessor.SetNamespace("shop")
						ctx = in(t, "shop")
					}
					_, err = creater.Create(ctx, object, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
					if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "metadata.name: ") {
						t.Errorf("got %v, want an error for metadata.name", err)
					}
				})
			}
		}
	}
}
