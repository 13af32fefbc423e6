package federation

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	schedulingv1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/federation/hostwatch"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
)

// cached is a resource of the host of which there is one cache for all controllers.
type cached struct {
	resource  schema.GroupVersionResource
	namespace string // empty: all
	example   runtime.Object
	informer  *hostwatch.Informer
}

func newCached[L runtime.Object](resource schema.GroupVersionResource, namespace string, source hostwatch.Source[L], example runtime.Object) cached {
	return cached{resource, namespace, example, hostwatch.NewInformer(source, example)}
}

func newSelecting[L runtime.Object](resource schema.GroupVersionResource, namespace string, source hostwatch.Source[L], selector string, example runtime.Object) cached {
	return cached{resource, namespace, example, hostwatch.NewSelectingInformer(source, selector, example)}
}

// of and ofHost give the informer to a factory.
func (c cached) of(versioned.Interface, time.Duration) cache.SharedIndexInformer { return c.informer }
func (c cached) ofHost(kubernetes.Interface, time.Duration) cache.SharedIndexInformer {
	return c.informer
}

// makeCaches makes the informers that the factories have from then on: those that a factory makes
// by itself never find what a watch has lost.
func (t *term) makeCaches() {
	namespace, all := t.config.Namespace, metav1.NamespaceAll
	core, units, edge := t.koinon.KubeFedCoreV1beta1(), t.koinon.FederationV1alpha1(), t.koinon.EdgeV1alpha1()
	kubefed, koinon := v1beta1.SchemeGroupVersion.WithResource, federationv1alpha1.SchemeGroupVersion.WithResource
	system := []cached{
		newCached(kubefed("kubefedclusters"), namespace, core.KubeFedClusters(namespace), &v1beta1.KubeFedCluster{}),
		newCached(koinon("membernamespaces"), all, units.MemberNamespaces(), &federationv1alpha1.MemberNamespace{}),
	}
	everywhere := []cached{
		newCached(koinon("cells"), all, units.Cells(all), &federationv1alpha1.Cell{}),
		newCached(edgev1alpha1.SchemeGroupVersion.WithResource("edgeunits"), all, edge.EdgeUnits(all), &edgev1alpha1.EdgeUnit{}),
	}
	namespaces := newCached(corev1.SchemeGroupVersion.WithResource("namespaces"), all, t.kube.CoreV1().Namespaces(), &corev1.Namespace{})
	t.host.InformerFor(namespaces.example, namespaces.ofHost)
	t.caches = append(t.caches, namespaces)
	if !t.config.OtherEngine { // nobody else reads these
		system = append(system,
			newCached(kubefed("federatedtypeconfigs"), namespace, core.FederatedTypeConfigs(namespace), &v1beta1.FederatedTypeConfig{}),
			newCached(kubefed("kubefedconfigs"), namespace, core.KubeFedConfigs(namespace), &v1beta1.KubeFedConfig{}),
		)
	}
	secret, secrets := corev1.SchemeGroupVersion.WithResource("secrets"), t.kube.CoreV1().Secrets(namespace)
	if t.reachesMembers() { // with Secrets that are no cell's: there may be many of those
		ofMembers := newSelecting(secret, namespace, secrets, "!"+federationv1alpha1.AccountLabel, &corev1.Secret{})
		t.secrets.InformerFor(ofMembers.example, ofMembers.ofHost)
		t.caches = append(t.caches, ofMembers)
	}
	if t.hasAccounts() {
		for _, ofCells := range []cached{
			newSelecting(secret, namespace, secrets, federationv1alpha1.AccountLabel, &corev1.Secret{}),
			newSelecting(corev1.SchemeGroupVersion.WithResource("serviceaccounts"), namespace, t.kube.CoreV1().ServiceAccounts(namespace), federationv1alpha1.AccountLabel, &corev1.ServiceAccount{}),
		} {
			t.accountObjects.InformerFor(ofCells.example, ofCells.ofHost)
			t.caches = append(t.caches, ofCells)
		}
	}
	if !t.config.OtherEngine { // that one has its own scheduler
		everywhere = append(everywhere, newCached(schedulingv1alpha1.SchemeGroupVersion.WithResource("replicaschedulingpreferences"), all,
			t.koinon.KubeFedSchedulingV1alpha1().ReplicaSchedulingPreferences(all), &schedulingv1alpha1.ReplicaSchedulingPreference{}))
	}
	for _, c := range system {
		t.system.InformerFor(c.example, c.of)
	}
	for _, c := range everywhere {
		t.everywhere.InformerFor(c.example, c.of)
	}
	t.caches = append(append(t.caches, system...), everywhere...)
}

// hasAccounts reports whether cells have accounts, and reachesMembers whether members are connected to.
func (t *term) hasAccounts() bool    { return t.config.CellEndpoint != nil }
func (t *term) reachesMembers() bool { return !t.config.OtherEngine || t.hasAccounts() }

// followCaches compares the caches with the host until ctx ends.
func (t *term) followCaches(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, c := range t.caches {
		// Ends with ctx.
		wg.Go(func() { t.checker.Follow(ctx, c.resource, c.namespace, c.informer) })
	}
	wg.Wait()
	return nil
}
