package edgehub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	clientfeatures "k8s.io/client-go/features"
	clientfeaturestesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/component-helpers/apimachinery/lease"
	"k8s.io/kubernetes/pkg/kubelet/token"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/koinon-io/koinon/test/testbed"
)

// What users of other edge nodes have reported, tried on this hub. Each names where.

// running are informers, by what they read.
type running map[string]cache.SharedIndexInformer

// run has them run until the test, or its part, ends.
func run(t *testing.T, all map[string]cache.SharedIndexInformer) running {
	t.Helper()
	stop := make(chan struct{})
	ended := make(chan struct{}, len(all))
	for _, i := range all {
		go func() { i.Run(stop); ended <- struct{}{} }() // ends with stop
	}
	t.Cleanup(func() {
		close(stop)
		for range all {
			<-ended
		}
	})
	return all
}

// knows is what they have, once all have synced.
func (r running) knows(t *testing.T) map[string][]string {
	t.Helper()
	testbed.Eventually(t, "informers sync", func(context.Context) error {
		for what, i := range r {
			if !i.HasSynced() {
				return errors.New(what + " has not")
			}
		}
		return nil
	})
	return r.has()
}

// has is what they have now.
func (r running) has() map[string][]string {
	all := map[string][]string{}
	for what, i := range r {
		all[what] = []string{}
		for _, o := range i.GetStore().List() {
			m, err := meta.Accessor(o)
			if err != nil {
				panic(err) // informers have objects
			}
			all[what] = append(all[what], fmt.Sprintf("%s/%s %s %s", m.GetNamespace(), m.GetName(), m.GetUID(), m.GetResourceVersion()))
		}
		slices.Sort(all[what])
	}
	return all
}

// comesTo waits until they have what others have.
func (r running) comesTo(t *testing.T, want func() map[string][]string) {
	t.Helper()
	testbed.Eventually(t, "informers have what there is", func(context.Context) error {
		if diff := cmp.Diff(want(), r.has()); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// kubeletReads is what kubelet 1.31 and later read before the first pod.
func kubeletReads(client kubernetes.Interface) map[string]cache.SharedIndexInformer {
	f := informers.NewSharedInformerFactory(client, 0)
	selected := func(text string) func(*metav1.ListOptions) {
		return func(o *metav1.ListOptions) { o.FieldSelector = text }
	}
	return map[string]cache.SharedIndexInformer{
		"nodes":          coreinformers.NewFilteredNodeInformer(client, 0, nil, selected("metadata.name="+nodeName)),
		"pods":           coreinformers.NewFilteredPodInformer(client, "", 0, nil, selected("spec.nodeName="+nodeName)),
		"services":       coreinformers.NewFilteredServiceInformer(client, "", 0, nil, selected("spec.clusterIP!=None")),
		"runtimeclasses": f.Node().V1().RuntimeClasses().Informer(),
		"csidrivers":     f.Storage().V1().CSIDrivers().Informer(),
		"trusted":        coreinformers.NewFilteredConfigMapInformer(client, "default", 0, nil, selected("metadata.name=kube-root-ca.crt")),
	}
}

// reading is kubelet's client with a content type.
func (n *node) reading(contentType string) kubernetes.Interface {
	n.Helper()
	config := n.kubeletConfig()
	config.ContentType, config.AcceptContentTypes = contentType, contentType+",application/json"
	return n.clientOf(config)
}

// behaviours are those of client-go before 1.35 and since, as kubelet and others have set it up.
func behaviours(t *testing.T, do func(t *testing.T, contentType string)) {
	for _, streaming := range []bool{true, false} {
		for _, contentType := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
			t.Run(fmt.Sprintf("streaming lists %t, %s", streaming, contentType), func(t *testing.T) {
				clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, streaming)
				do(t, contentType)
			})
		}
	}
}

// openyurtio/openyurt#2751, #351 and #258, kubeedge/kubeedge#4210: a kubelet that only streams never lists, a hub that has only streams to keep has to serve whoever starts offline. What was deleted while
// the hub was down does not come back, and what there is none of is known to be none.
func TestKubeletsOfAllBehavioursStartAfterARebootWithoutTheCloud(t *testing.T) {
	n := newNode(t)
	n.pod("kept", "kept")
	n.pod("gone", "gone")
	clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, true)
	before := run(t, kubeletReads(n.reading(runtime.ContentTypeProtobuf)))
	before.knows(t)
	n.stop()
	if err := n.cloud.CoreV1().Pods("default").Delete(t.Context(), "gone", metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}); err != nil {
		t.Fatal(err)
	}
	n.start()
	want := map[string][]string{}
	testbed.Eventually(t, "what was deleted is gone", func(context.Context) error {
		if want = before.has(); len(want["pods"]) != 1 {
			return fmt.Errorf("there are %v", want["pods"])
		}
		return nil
	})
	n.cable.sever()
	n.awayIsKnown()
	n.restart()
	behaviours(t, func(t *testing.T, contentType string) {
		got := run(t, kubeletReads(n.reading(contentType))).knows(t)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with the cloud, and without it:\n%s", diff)
		}
	})
}

// rights gives an account of the namespace rights in all of the cluster.
func (n *node) rights(account string, rules ...rbacv1.PolicyRule) {
	n.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: account}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: account}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: account},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: account}},
	}
	if _, err := n.cloud.RbacV1().ClusterRoles().Create(n.Context(), role, metav1.CreateOptions{}); err != nil {
		n.Fatal(err)
	}
	if _, err := n.cloud.RbacV1().ClusterRoleBindings().Create(n.Context(), binding, metav1.CreateOptions{}); err != nil {
		n.Fatal(err)
	}
}

// reads are rights to read resources of a group.
func reads(group string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"get", "list", "watch"}}
}

// manager is what a program made with controller-runtime does when it starts: it finds its kinds by discovery, and reads them.
type manager struct {
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	running running
}

// startManager starts one; an error is what it would end with.
func startManager(t *testing.T, config *rest.Config, kinds ...schema.GroupVersionKind) (*manager, error) {
	t.Helper()
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.ServerVersion(); err != nil {
		return nil, fmt.Errorf("which version it is: %w", err)
	}
	m := &manager{mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))}
	whole, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	part, err := metadata.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]cache.SharedIndexInformer{}
	for _, kind := range kinds {
		mapping, err := m.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return nil, fmt.Errorf("which resource %s is: %w", kind, err)
		}
		all[kind.Kind] = dynamicinformer.NewFilteredDynamicInformer(whole, mapping.Resource, "", 0, nil, nil).Informer()
		all[kind.Kind+" metadata"] = metadatainformer.NewFilteredMetadataInformer(part, mapping.Resource, "", 0, nil, nil).Informer()
	}
	m.running = run(t, all)
	return m, nil
}

// manyKinds defines as many kinds as clusters with some operators have: discovery is then more than API servers send without compressing it.
func manyKinds(t *testing.T, client dynamic.Interface) {
	t.Helper()
	for i := range 4 {
		k := kind{GroupVersionResource: schema.GroupVersionResource{Group: fmt.Sprintf("many%d.example.org", i), Version: "v1", Resource: "things"}, kind: "Thing"}
		define(t, client, k)
		var categories []string
		for j := range 600 {
			categories = append(categories, fmt.Sprintf("a-category-with-a-long-name-of-which-there-are-many-%d-%d", i, j))
		}
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"names": map[string]any{"categories": categories}}})
		if err != nil {
			t.Fatal(err)
		}
		crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
		if _, err := crds.Patch(t.Context(), "things."+k.Group, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// openyurtio/openyurt#880, #466 and #2053, home-operations/miroir#466: a program that asks for discovery and its own kinds first starts without the cloud as it did with it, however many kinds the cluster has.
func TestManagersStartWithoutTheCloud(t *testing.T) {
	n := newNode(t)
	admin, err := dynamic.NewForConfig(n.cluster.RESTConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	define(t, admin, widgets)
	manyKinds(t, admin)
	fill(t, admin.Resource(widgets.GroupVersionResource).Namespace("default"), widgets)
	pod := n.pod("operator", "operator")
	n.rights("operator", reads(widgets.Group, widgets.Resource), reads("", "configmaps"))
	config := n.podConfig(n.tokenOf(pod))
	kinds := []schema.GroupVersionKind{widgets.GroupVersion().WithKind(widgets.kind), corev1.SchemeGroupVersion.WithKind("ConfigMap")}
	var want map[string][]string
	testbed.Eventually(t, "discovery has the kinds", func(context.Context) error {
		m, err := startManager(t, config, kinds...)
		if err != nil {
			return err
		}
		want = m.running.knows(t)
		_, err = m.mapper.RESTMapping(schema.GroupKind{Group: "many3.example.org", Kind: "Thing"})
		return err
	})
	n.cable.sever()
	n.awayIsKnown()
	n.restart()
	behaviours(t, func(t *testing.T, contentType string) {
		config := rest.CopyConfig(config)
		config.DisableCompression = contentType == runtime.ContentTypeJSON
		m, err := startManager(t, config, kinds...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, m.running.knows(t)); diff != "" {
			t.Errorf("with the cloud, and without it:\n%s", diff)
		}
	})
	if _, err := startManager(t, config, schema.GroupVersionKind{Group: "nosuch.example.org", Version: "v1", Kind: "Nothing"}); !meta.IsNoMatchError(err) {
		t.Errorf("a kind that there is not: %v", err)
	}
}

// openyurtio/openyurt#1400, #1963 and #2379: two programs that call themselves the same, or one with two selectors, read the same resource. Each has its own, and what it never asked for is derived or refused.
func TestProgramsWithTheSameNameHaveTheirOwnSelections(t *testing.T) {
	n := newNode(t)
	for i := range 6 {
		labels := map[string]string{"vm": fmt.Sprint(i % 2), "tier": fmt.Sprint(i % 3)}
		c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c%d", i), Labels: labels}}
		if _, err := n.cloud.CoreV1().ConfigMaps("default").Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	pod := n.pod("handler", "handler")
	n.rights("handler", reads("", "configmaps"))
	config := n.podConfig(n.tokenOf(pod))
	config.UserAgent = "virt-handler/v1"
	selections := []metav1.ListOptions{{LabelSelector: "vm=0"}, {LabelSelector: "vm"}, {LabelSelector: "tier in (1,2),vm"}, {FieldSelector: "metadata.name=c4"}, {LabelSelector: "vm=none"}}
	informs := func() map[string]cache.SharedIndexInformer {
		all := map[string]cache.SharedIndexInformer{}
		for i, options := range selections {
			all[fmt.Sprint(i)] = coreinformers.NewFilteredConfigMapInformer(n.clientOf(rest.CopyConfig(config)), "default", 0, nil, func(o *metav1.ListOptions) {
				o.LabelSelector, o.FieldSelector = options.LabelSelector, options.FieldSelector
			})
		}
		return all
	}
	early := run(t, informs())
	want := early.knows(t)
	if len(want["0"]) != 3 || len(want["1"]) != 6 || len(want["2"]) != 4 || len(want["3"]) != 1 || len(want["4"]) != 0 {
		t.Fatalf("with the cloud there are %v", want)
	}
	n.cable.sever()
	n.awayIsKnown()
	n.restart()
	behaviours(t, func(t *testing.T, _ string) {
		if diff := cmp.Diff(want, run(t, informs()).knows(t)); diff != "" {
			t.Errorf("with the cloud, and without it:\n%s", diff)
		}
	})
	configMaps := n.clientOf(config).CoreV1().ConfigMaps("default")
	if list, err := configMaps.List(t.Context(), metav1.ListOptions{LabelSelector: "vm=1"}); err != nil || len(list.Items) != 3 {
		t.Errorf("a part of what is known: %v", err)
	}
	if _, err := configMaps.List(t.Context(), metav1.ListOptions{LabelSelector: "!vm"}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("what is not known: %v", err)
	}
	// kubeedge/kubeedge#1220: what the cloud said is not there is not there, and of the rest nothing is said.
	if _, err := configMaps.Get(t.Context(), "c4", metav1.GetOptions{}); err != nil {
		t.Errorf("what is there: %v", err)
	}
	kubelet := n.kubelet().CoreV1().ConfigMaps("default")
	if _, err := kubelet.List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=never"}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("what nobody has asked for: %v", err)
	}
	// What became of it meanwhile is known to all after the return.
	if err := n.cloud.CoreV1().ConfigMaps("default").Delete(t.Context(), "c0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.cloud.CoreV1().ConfigMaps("default").Patch(t.Context(), "c1", types.MergePatchType, []byte(`{"metadata":{"labels":{"vm":"0"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	n.cable.heal()
	direct := map[string]cache.SharedIndexInformer{}
	for i, options := range selections {
		direct[fmt.Sprint(i)] = coreinformers.NewFilteredConfigMapInformer(n.cloud, "default", 0, nil, func(o *metav1.ListOptions) {
			o.LabelSelector, o.FieldSelector = options.LabelSelector, options.FieldSelector
		})
	}
	fromCloud := run(t, direct)
	fromCloud.knows(t)
	early.comesTo(t, fromCloud.has)
}

// openyurtio/openyurt#2137 and #1682: the cloud takes pods out of service while their node is cut off, deletes some, and makes others. kubelet reads all of that when it is back, though the hub, or kubelet, was
// restarted meanwhile: it is what has it report the truth again.
func TestKubeletReadsWhatBecameOfItsPodsAfterEachFlap(t *testing.T) {
	n := newNode(t)
	n.pod("web", "web")
	n.pod("replaced", "replaced")
	running := run(t, kubeletReads(n.reading(runtime.ContentTypeProtobuf)))
	running.knows(t)
	direct := run(t, kubeletReads(n.cloud))
	direct.knows(t)
	for flap := range 6 {
		n.cable.sever()
		patch := fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":"False","reason":"Flap%d"}]}}`, flap)
		if _, err := n.cloud.CoreV1().Pods("default").Patch(t.Context(), "web", types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
		if err := n.cloud.CoreV1().Pods("default").Delete(t.Context(), "replaced", metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}); err != nil {
			t.Fatal(err)
		}
		n.pod("replaced", "replaced")
		if flap%3 == 1 {
			n.restart()
		}
		n.cable.heal()
		if flap%2 == 0 { // else the next cut comes before anything is read
			running.comesTo(t, direct.has)
		}
	}
	running.comesTo(t, direct.has)
	run(t, kubeletReads(n.kubelet())).comesTo(t, direct.has)
}

// openyurtio/openyurt#2355 and #1986: "the object has been modified". Kubelet's own controller renews its Lease through cuts, restarts, and what somebody else makes of it, and the cloud sees it renewed soon after the return.
func TestTheLeaseIsRenewedAfterTheReturnWhateverBecameOfIt(t *testing.T) {
	n := newNode(t)
	client := n.kubelet()
	const every = 50 * time.Millisecond
	failures := make(chan struct{}, 1<<16)
	leases := n.cloud.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	controller := lease.NewController(clock.RealClock{}, client, nodeName, 40, func() { failures <- struct{}{} }, every, nodeName, corev1.NamespaceNodeLease, func(l *coordinationv1.Lease) error {
		node, err := client.CoreV1().Nodes().Get(t.Context(), nodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		l.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: nodeName, UID: node.UID}}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { controller.Run(ctx); close(ended) }() // ends with ctx
	defer func() { cancel(); <-ended }()
	renewedAfter := func(what string, at time.Time) *coordinationv1.Lease {
		t.Helper()
		var l *coordinationv1.Lease
		testbed.Eventually(t, "the Lease is renewed "+what, func(ctx context.Context) (err error) {
			if l, err = leases.Get(ctx, nodeName, metav1.GetOptions{}); err != nil {
				return err
			}
			if l.Spec.RenewTime == nil || !l.Spec.RenewTime.After(at) {
				return fmt.Errorf("it was renewed at %v", l.Spec.RenewTime)
			}
			return nil
		})
		return l
	}
	first := renewedAfter("at first", time.Time{})
	for what, meanwhile := range map[string]func(){
		"with nothing meanwhile":        func() {},
		"after a restart":               n.restart,
		"after somebody has written it": func() { n.patchLease(`{"metadata":{"labels":{"a":"b"}}}`) },
		"after it was deleted": func() {
			if err := leases.Delete(t.Context(), nodeName, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		n.cable.sever()
		n.awayIsKnown()
		meanwhile()
		n.cable.heal()
		if l := renewedAfter(what, time.Now()); l.OwnerReferences == nil {
			t.Errorf("%s its node is not in it: %+v", what, l)
		}
	}
	if first.Spec.HolderIdentity == nil || *first.Spec.HolderIdentity != nodeName {
		t.Errorf("it is %+v", first)
	}
}

// patchLease is somebody else who writes the node's Lease.
func (n *node) patchLease(patch string) {
	n.Helper()
	if _, err := n.cloud.CoordinationV1().Leases(corev1.NamespaceNodeLease).Patch(n.Context(), nodeName, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		n.Fatal(err)
	}
}

// kubeedge/kubeedge#6414, #4441 and openyurtio/openyurt#868: kubelet's own token manager, which keeps tokens in memory alone, gets them again after a restart without the cloud, and pods read with them; after the return
// tokens are real again.
func TestKubeletsTokenManagerGoesOnWithoutTheCloud(t *testing.T) {
	n := newNode(t)
	pod := n.pod("app", "app")
	n.grant("app", "--verb=get,list,watch", "--resource=configmaps")
	request := func(m *token.Manager) (string, error) {
		tr, err := m.GetServiceAccountToken("default", "app", n.tokenSpec(pod))
		if err != nil {
			return "", err
		}
		return tr.Status.Token, nil
	}
	n.tokenOf(pod)
	first, err := request(token.NewManager(n.kubelet()))
	if err != nil {
		t.Fatal(err)
	}
	if list, err := n.clientOf(n.podConfig(first)).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) == 0 {
		t.Fatal(err)
	}
	// kubelet restarts: another token, which its pod has not shown yet when the link is cut.
	second, err := request(token.NewManager(n.kubelet()))
	if err != nil || second == first {
		t.Fatalf("the same token again, or %v", err)
	}
	n.cable.sever()
	n.awayIsKnown()
	n.restart()
	for range 2 {
		again, err := request(token.NewManager(n.kubelet()))
		if err != nil {
			t.Fatal(err)
		}
		for what, shown := range map[string]string{"the token of before": first, "the one that kubelet has": again} {
			if list, err := n.clientOf(n.podConfig(shown)).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) == 0 {
				t.Errorf("%s: %v", what, err)
			}
		}
		n.restart()
	}
	n.cable.heal()
	m := token.NewManager(n.kubelet())
	testbed.Eventually(t, "tokens are real again", func(ctx context.Context) error {
		shown, err := request(m)
		if err != nil {
			return err
		}
		direct := n.cluster.RESTConfig(t)
		direct = rest.AnonymousClientConfig(direct)
		direct.BearerToken = shown
		_, err = n.clientOf(direct).CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
		return err
	})
}

// openyurtio/openyurt#2782 and #2021: what one pod may read, and the hub has, no other pod reads; rights that were taken away, and tokens of pods that are gone, are not good again when the cloud is away.
func TestRightsThatWereTakenAwayDoNotComeBackWithoutTheCloud(t *testing.T) {
	n := newNode(t)
	if _, err := n.cloud.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	trusted, revoked, deleted, never := n.pod("trusted", "trusted"), n.pod("revoked", "revoked"), n.pod("deleted", "deleted"), n.pod("never", "never")
	for _, account := range []string{"trusted", "revoked", "deleted"} {
		n.rights(account, reads("", "secrets"))
	}
	configs := map[string]*rest.Config{}
	for name, pod := range map[string]*corev1.Pod{"trusted": trusted, "revoked": revoked, "deleted": deleted, "never": never} {
		configs[name] = n.podConfig(n.tokenOf(pod))
	}
	const list, one = "/api/v1/namespaces/default/secrets", "/api/v1/namespaces/default/secrets/s"
	code := func(who, path string) int {
		code, _ := n.status(configs[who], http.MethodGet, path, nil)
		return code
	}
	for who, want := range map[string]int{"trusted": 200, "revoked": 200, "deleted": 200, "never": 403} {
		for _, path := range []string{list, one} {
			if got := code(who, path); got != want {
				t.Fatalf("%s, %s: %d, want %d", who, path, got, want)
			}
		}
	}
	if err := n.cloud.RbacV1().ClusterRoleBindings().Delete(t.Context(), "revoked", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := n.cloud.CoreV1().Pods("default").Delete(t.Context(), "deleted", metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}); err != nil {
		t.Fatal(err)
	}
	n.restart() // and so the hub asks anew
	testbed.Eventually(t, "rights are taken away", func(context.Context) error {
		if a, b := code("revoked", list), code("deleted", list); a != 403 || b != 401 {
			return fmt.Errorf("%d, %d", a, b)
		}
		return nil
	})
	if got := code("revoked", one); got != 403 {
		t.Errorf("one of what was taken away: %d", got)
	}
	n.cable.sever()
	n.awayIsKnown()
	n.restart()
	for who, want := range map[string][]int{"trusted": {200}, "revoked": {403}, "deleted": {401, 503}, "never": {403}} {
		for _, path := range []string{list, one, list + "?watch=true&timeoutSeconds=1", list + "?labelSelector=a", "/api/v1/secrets"} {
			if got := code(who, path); !slices.Contains(want, got) && (got != 503 || path == list || path == one) { // of the others nobody has asked
				t.Errorf("%s, %s: %d, want %v", who, path, got, want)
			}
		}
	}
}

// openyurtio/openyurt#367 and #40, kubeedge/kubeedge#5418: kubelet ends if its CSINode is said not to be there and cannot be made. It is not said so while it cannot be made.
func TestKubeletIsNotToldThatItHasNoCSINodeWhileItCannotMakeOne(t *testing.T) {
	n := newNode(t)
	if _, err := n.kubelet().StorageV1().CSINodes().Get(t.Context(), nodeName, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	n.cable.sever() // before it was made
	n.awayIsKnown()
	n.restart()
	if _, err := n.kubelet().StorageV1().CSINodes().Get(t.Context(), nodeName, metav1.GetOptions{}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("what has kubelet try to make it: %v", err)
	}
}

// withoutTheCloud is what an operator at the node looks at.
var withoutTheCloud = []string{
	"get node " + nodeName, "get node " + nodeName + " -o yaml", "get pods -A --field-selector spec.nodeName=" + nodeName, "get pods -A -o wide --field-selector spec.nodeName=" + nodeName,
	"get pod web -n default -o wide", "describe pod web -n default", "describe node " + nodeName, "get services -A --field-selector spec.clusterIP!=None", "api-resources", "version",
}

// openyurtio/openyurt#880: an operator at a node without the cloud looks at what there is, with the kubeconfig that the hub prints.
func TestKubectlShowsWhatIsKnownWithoutTheCloud(t *testing.T) {
	n := newNode(t)
	n.pod("web", "web")
	run(t, kubeletReads(n.kubelet())).knows(t)
	text, err := n.options.Kubeconfig()
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, text, 0o600); err != nil {
		t.Fatal(err)
	}
	say := func(when string) map[string]string {
		t.Helper()
		said, discovered := map[string]string{}, "--cache-dir="+t.TempDir()
		for _, command := range withoutTheCloud {
			r := testbed.RunKubectl(t, kubeconfig, "", append(strings.Fields(command), discovered)...)
			if r.Err != nil || r.Stdout == "" {
				t.Errorf("%s, %s: %v: %s", command, when, r.Err, r.Stderr)
			}
			if strings.HasPrefix(command, "get ") && !strings.Contains(command, "services") { // the Service kubernetes is seen otherwise by the node than in a Table
				said[command] = age.ReplaceAllString(r.Stdout, "AGE")
			}
		}
		return said
	}
	before := say("with the cloud")
	n.cable.sever()
	n.awayIsKnown()
	n.restart()
	if diff := cmp.Diff(before, say("without the cloud")); diff != "" {
		t.Errorf("people read something else (-with +without the cloud):\n%s", diff)
	}
}

// What is said of pods that elect a leader, as of openyurtio/openyurt#1557: a Lease that others share is not renewed without the cloud, where others may hold it by now; whoever held it knows in time, and gets it again after the return.
func TestALeaderIsNoneWithoutTheCloud(t *testing.T) {
	n := newNode(t)
	pod := n.pod("leader", "leader")
	n.rights("leader", rbacv1.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "create", "update", "list", "watch"}})
	client := n.clientOf(n.podConfig(n.tokenOf(pod)))
	leads, lost := make(chan struct{}), make(chan struct{})
	elect := func() {
		leaderelection.RunOrDie(t.Context(), leaderelection.LeaderElectionConfig{
			Lock:          &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Namespace: "default", Name: "lock"}, Client: client.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: "me"}},
			LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 100 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { leads <- struct{}{} }, OnStoppedLeading: func() { lost <- struct{}{} }},
		})
	}
	go elect() // ends when it has lost
	<-leads
	testbed.Eventually(t, "the hub knows of the lock: what it has not read before the cut it cannot tell after it", func(ctx context.Context) error {
		_, err := client.CoordinationV1().Leases("default").Get(ctx, "lock", metav1.GetOptions{})
		return err
	})
	n.cable.sever()
	<-lost
	go elect()
	n.restart()
	l, err := client.CoordinationV1().Leases("default").Get(t.Context(), "lock", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("who held it last: %v", err)
	}
	if _, err := client.CoordinationV1().Leases("default").Update(t.Context(), l, metav1.UpdateOptions{}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("a renewal without the cloud: %v", err)
	}
	select {
	case <-leads:
		t.Error("there is a leader without the cloud")
	default:
	}
	n.cable.heal()
	<-leads
	n.cable.sever()
	<-lost
}

// openyurtio/openyurt#2175 and kubernetes/kubernetes#95958: the cloud's database was restored from an old copy while the node was cut off. Objects and versions go back for the node's programs as well, and go on from there.
func TestACloudThatWasSetBackIsBelieved(t *testing.T) {
	n := newNode(t)
	n.pod("old", "old")
	database := filepath.Join(filepath.Dir(filepath.Dir(n.cluster.CAFile())), "etcd")
	copied := filepath.Join(t.TempDir(), "etcd")
	n.cluster.Kill(t)
	if err := os.CopyFS(copied, os.DirFS(database)); err != nil {
		t.Fatal(err)
	}
	n.cluster.Start(t)
	for i := range 300 { // more than is written while it starts again: one that has come to where it was cannot be told from one that was not set back
		if _, err := n.cloud.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("lost-", i)}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	n.pod("lost", "lost")
	stay := run(t, kubeletReads(n.reading(runtime.ContentTypeProtobuf)))
	testbed.Eventually(t, "the node knows of both", func(context.Context) error {
		if pods := stay.knows(t)["pods"]; len(pods) != 2 {
			return fmt.Errorf("there are %v", pods)
		}
		return nil
	})
	n.cable.sever()
	n.awayIsKnown()
	n.cluster.Kill(t)
	if err := errors.Join(os.RemoveAll(database), os.CopyFS(database, os.DirFS(copied))); err != nil {
		t.Fatal(err)
	}
	n.cluster.Start(t)
	n.cable.heal()
	n.pod("new", "new")
	direct := run(t, kubeletReads(n.cloud))
	if got := direct.knows(t)["pods"]; len(got) != 2 {
		t.Errorf("there are %v", got)
	}
	stay.comesTo(t, direct.has)
	run(t, kubeletReads(n.kubelet())).comesTo(t, direct.has)
}

// A kind that is taken away, and comes back, as operators' upgrades do: it is not served as if it were there and empty.
func TestAKindThatIsTakenAwayIsNotThereAndEmpty(t *testing.T) {
	n := newNode(t)
	admin, err := dynamic.NewForConfig(n.cluster.RESTConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	define(t, admin, widgets)
	fill(t, admin.Resource(widgets.GroupVersionResource).Namespace("default"), widgets)
	pod := n.pod("operator", "operator")
	n.rights("operator", reads(widgets.Group, widgets.Resource))
	client, err := dynamic.NewForConfig(n.podConfig(n.tokenOf(pod)))
	if err != nil {
		t.Fatal(err)
	}
	of := client.Resource(widgets.GroupVersionResource).Namespace("default")
	if list, err := of.List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != widgets.count {
		t.Fatal(err)
	}
	crds := admin.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if err := crds.Delete(t.Context(), widgets.Resource+"."+widgets.Group, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, options := range []metav1.ListOptions{{}, {ResourceVersion: "0"}} {
		testbed.Eventually(t, "the kind is gone", func(ctx context.Context) error {
			if list, err := of.List(ctx, options); !apierrors.IsNotFound(err) {
				return fmt.Errorf("there are %v, %w", list, err)
			}
			return nil
		})
	}
	for range 100 { // also while it is asked for again
		if _, err := of.List(t.Context(), metav1.ListOptions{ResourceVersion: "0"}); !apierrors.IsNotFound(err) {
			t.Fatalf("it is there: %v", err)
		}
	}
	define(t, admin, widgets)
	fill(t, admin.Resource(widgets.GroupVersionResource).Namespace("default"), widgets)
	testbed.Eventually(t, "it is there again", func(ctx context.Context) error {
		list, err := of.List(ctx, metav1.ListOptions{})
		if err == nil && len(list.Items) != widgets.count {
			err = fmt.Errorf("there are %d", len(list.Items))
		}
		return err
	})
}
