package profiles

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/cellaccess"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned/fake"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
	listersfederation "github.com/koinon-io/koinon/pkg/generated/listers/federation/v1alpha1"
)

const system, inventory = "kube-federation-system", "inventory"

// host has KubeFedClusters and Cells in its caches and, unless a test says otherwise, in the API; and
// profiles in the API alone before show is called.
type host struct {
	*testing.T
	*session
	clusters, cells cache.Indexer
	koinon          *fake.Clientset
	profiles        *dynamicfake.FakeDynamicClient

	mu        sync.Mutex
	authority string // guarded by mu; empty: cannot be read
}

func newHost(t *testing.T) *host {
	t.Helper()
	indexers := func() cache.Indexers { return cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc} }
	h := &host{
		T:         t,
		clusters:  cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers()),
		cells:     cache.NewIndexer(cache.MetaNamespaceKeyFunc, indexers()),
		koinon:    fake.NewClientset(),
		profiles:  dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{Resource: "ClusterProfileList"}),
		authority: "authority",
	}
	c, err := New(Config{
		SystemNamespace: system, Namespace: inventory, Federation: "ours",
		Endpoint: &cellaccess.Endpoint{URL: "https://koinon.example", Authority: h.read},
		Clusters: listersv1beta1.NewKubeFedClusterLister(h.clusters).KubeFedClusters(system),
		Cells:    listersfederation.NewCellLister(h.cells),
		Koinon:   h.koinon,
		Profiles: h.profiles,
		Discover: (&serving{}).discover,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.session = c.newSession(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}))
	t.Cleanup(h.session.queue.ShutDown)
	// As a server before Kubernetes 1.32: the fake knows no watch that lists first.
	h.profiles.PrependWatchReactor("*", func(action clienttesting.Action) (bool, watch.Interface, error) {
		if first := action.(clienttesting.WatchActionImpl).ListOptions.SendInitialEvents; first != nil && *first {
			return true, nil, apierrors.NewInvalid(schema.GroupKind{}, "", nil)
		}
		return false, nil, nil
	})
	return h
}

func (h *host) read() ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.authority == "" {
		return nil, fmt.Errorf("no such file")
	}
	return []byte(h.authority), nil
}

// has puts objects into the caches and the API.
func (h *host) has(objects ...runtime.Object) {
	h.Helper()
	for _, object := range objects {
		store := h.clusters
		if _, ok := object.(*federationv1alpha1.Cell); ok {
			store = h.cells
		}
		h.check(store.Add(object))
		if _, exists, _ := store.Get(object); exists {
			_ = h.koinon.Tracker().Delete(resourceOf(object), object.(metav1.Object).GetNamespace(), object.(metav1.Object).GetName())
		}
		h.check(h.koinon.Tracker().Add(object))
	}
}

// loses takes an object out of the cache, and out of the API unless it is only hidden.
func (h *host) loses(object runtime.Object, hidden bool) {
	h.Helper()
	store := h.clusters
	if _, ok := object.(*federationv1alpha1.Cell); ok {
		store = h.cells
	}
	h.check(store.Delete(object))
	if !hidden {
		h.check(h.koinon.Tracker().Delete(resourceOf(object), object.(metav1.Object).GetNamespace(), object.(metav1.Object).GetName()))
	}
}

func resourceOf(object runtime.Object) schema.GroupVersionResource {
	if _, ok := object.(*federationv1alpha1.Cell); ok {
		return federationv1alpha1.SchemeGroupVersion.WithResource("cells")
	}
	return v1beta1.SchemeGroupVersion.WithResource("kubefedclusters")
}

func (h *host) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// keep has one profile looked at, and returns what was written for it.
func (h *host) keep(namespace, name string) (writes []string) {
	h.Helper()
	h.check(h.try(namespace, name))
	return h.written()
}

func (h *host) try(namespace, name string) error {
	h.Helper()
	h.profiles.ClearActions()
	err := h.reconcile(h.Context(), key{Namespace: namespace, Name: name})
	h.show()
	return err
}

func (h *host) written() (writes []string) {
	for _, action := range h.profiles.Actions() {
		if verb := action.GetVerb(); verb != "get" && verb != "list" {
			writes = append(writes, strings.TrimSuffix(verb+" "+action.GetSubresource(), " "))
		}
	}
	return writes
}

// show brings profiles into the cache, as its selector has it.
func (h *host) show() {
	h.Helper()
	list, err := h.profiles.Tracker().List(Resource, Resource.GroupVersion().WithKind("ClusterProfile"), "")
	h.check(err)
	var shown []any
	for i := range list.(*unstructured.UnstructuredList).Items {
		if u := &list.(*unstructured.UnstructuredList).Items[i]; u.GetLabels()["x-k8s.io/cluster-manager"] == Manager {
			shown = append(shown, u)
		}
	}
	h.check(h.cache.Replace(shown, ""))
}

// stored returns a profile of the API, nil if there is none.
func (h *host) stored(namespace, name string) *unstructured.Unstructured {
	object, err := h.profiles.Tracker().Get(Resource, namespace, name)
	if err != nil {
		return nil
	}
	return object.(*unstructured.Unstructured)
}

// change changes a profile of the API as somebody else would.
func (h *host) change(namespace, name string, change func(u *unstructured.Unstructured)) {
	h.Helper()
	u := h.stored(namespace, name).DeepCopy()
	change(u)
	h.check(h.profiles.Tracker().Update(Resource, u, namespace))
	h.show()
}

// member is a KubeFedCluster with the conditions that kind and status say.
func member(name string, kind v1beta1.ClusterConditionType, status corev1.ConditionStatus) *v1beta1.KubeFedCluster {
	probed := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	problem := "dial tcp 10.1.2.3:6443: connection refused"
	return &v1beta1.KubeFedCluster{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: system, Name: name, Labels: map[string]string{"city": "hangzhou", "topology.kubernetes.io/region": "east"},
			Annotations: map[string]string{v1beta1.ClusterUIDAnnotation: "uid-of-" + name},
		},
		Spec: v1beta1.KubeFedClusterSpec{APIEndpoint: "https://10.1.2.3:6443", SecretRef: v1beta1.LocalSecretReference{Name: "credential"}},
		Status: v1beta1.KubeFedClusterStatus{
			KubernetesVersion: "v1.36.3",
			Conditions:        []v1beta1.ClusterCondition{{Type: kind, Status: status, Message: &problem, LastProbeTime: probed, LastTransitionTime: &probed}},
		},
	}
}

func ready(name string) *v1beta1.KubeFedCluster {
	return member(name, v1beta1.ClusterReady, corev1.ConditionTrue)
}

// cell is a cell of namespace shop, and the KubeFedCluster that it appears as.
func cell(name string) (*federationv1alpha1.Cell, *v1beta1.KubeFedCluster) {
	cluster := ready(name + ".shop")
	cluster.Labels = map[string]string{
		federationv1alpha1.TopologyLabel: "cell", federationv1alpha1.TopologyNamespaceLabel: "shop",
		federationv1alpha1.TopologyNameLabel: name, federationv1alpha1.MemberLabel: "m1", federationv1alpha1.TenantLabel: "blue",
	}
	cluster.Annotations = map[string]string{federationv1alpha1.MemberNamespaceAnnotation: "shop-" + name}
	return &federationv1alpha1.Cell{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}, cluster
}

// text is everything that a profile says.
func text(u *unstructured.Unstructured) string {
	data, _ := u.MarshalJSON()
	return string(data)
}

// health of a profile: status and reason.
func healthOf(u *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if c := c.(map[string]any); c["type"] == "ControlPlaneHealthy" {
			return fmt.Sprint(c["status"], " ", c["reason"])
		}
	}
	return ""
}

// properties of a profile, as NAME=VALUE.
func properties(u *unstructured.Unstructured) (all []string) {
	items, _, _ := unstructured.NestedSlice(u.Object, "status", "properties")
	for _, item := range items {
		all = append(all, fmt.Sprint(item.(map[string]any)["name"], "=", item.(map[string]any)["value"]))
	}
	slices.Sort(all)
	return all
}

// servers are the ways of a profile, by name.
func servers(u *unstructured.Unstructured) map[string]string {
	all := map[string]string{}
	items, _, _ := unstructured.NestedSlice(u.Object, "status", "accessProviders")
	for _, item := range items {
		server, _, _ := unstructured.NestedString(item.(map[string]any), "cluster", "server")
		all[fmt.Sprint(item.(map[string]any)["name"])] = server
	}
	return all
}
