package cellaccess_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/test/testbed"
)

// docs/coming-from-kubefed.md, "Taking a federation over": what KubeFed has written is taken over by
// another control plane, object by object, and nothing is made anew, written to in vain or deleted.
func TestWhatKubeFedRanIsTakenOverAsItIs(t *testing.T) {
	koinon := testbed.StartKoinon(t, testbed.KoinonOptions{Args: []string{"--components=apiserver,hostcontrollers", "--connection-drain-timeout=0s"}})
	old := newPlace(t, koinon.RESTConfig(t))
	if _, err := old.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const inMember = `"placement":{"clusters":[{"name":"m1"}]}`
	old.apply(`{"apiVersion":"types.kubefed.io/v1beta1","kind":"FederatedNamespace","metadata":{"name":"shop","namespace":"shop"},"spec":{` + inMember + `}}`)
	for _, name := range []string{"one", "two", "three"} {
		old.apply(fmt.Sprintf(configMap, "v1beta1", name, "", inMember+`,"overrides":[{"clusterName":"m1","clusterOverrides":[{"path":"/data/a","value":"m"}]}]`))
	}
	held := old.holds("shop/one=m", "shop/two=m", "shop/three=m")
	// From here on the old engine does nothing more.

	p := old.succeededBy(t, testbed.StartKoinon(t, testbed.KoinonOptions{}))
	p.take(old, schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "", "shop")
	p.take(old, schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, system, "m1")
	p.take(old, kubefed.WithResource("kubefedclusters"), system, "m1")
	p.take(old, federated("v1beta1").WithResource("federatednamespaces"), "shop", "shop")
	for _, name := range []string{"one", "two", "three"} {
		p.take(old, federated("v1beta1").WithResource("federatedconfigmaps"), "shop", name)
	}
	configMaps := p.host.Resource(federated("v1beta1").WithResource("federatedconfigmaps")).Namespace("shop")
	for _, name := range []string{"one", "two", "three"} {
		p.eventually("the status of "+name, func(ctx context.Context) error {
			object, err := configMaps.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			targets, _, _ := unstructured.NestedSlice(object.Object, "status", "clusters")
			conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
			if len(targets) != 1 || targets[0].(map[string]any)["status"] != nil || len(conditions) == 0 || conditions[0].(map[string]any)["status"] != "True" {
				return fmt.Errorf("%v", object.Object["status"])
			}
			return nil
		})
	}
	if got, err := p.uids(t.Context()); err != nil || !maps.Equal(got, held) {
		t.Errorf("got %v, %v; want the very objects that were there, %v", got, err, held)
	}

	// It is the new engine that acts now: on a change, on what is taken out, and on a deletion.
	p.apply(fmt.Sprintf(configMap, "v1beta1", "one", "", inMember+`,"overrides":[{"clusterName":"m1","clusterOverrides":[{"path":"/data/a","value":"n"}]}]`))
	p.apply(fmt.Sprintf(configMap, "v1beta1", "two", "", `"placement":{"clusters":[]}`))
	if err := configMaps.Delete(t.Context(), "three", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p.eventually("the member has what is said now", func(ctx context.Context) error {
		found, err := p.uids(ctx)
		if err != nil {
			return err
		}
		if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, []string{"shop/one=n"}) || found["shop/one=n"] != held["shop/one=m"] {
			return fmt.Errorf("got %v", found)
		}
		_, err = configMaps.Get(ctx, "three", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("three is there still: %w", err)
		}
		return nil
	})
}

// succeededBy is another control plane for the same member.
func (p *place) succeededBy(t *testing.T, koinon *testbed.Koinon) *place {
	t.Helper()
	config := koinon.RESTConfig(t)
	next := &place{
		T: t, config: config, member: p.member, inside: p.inside,
		kube: kubernetes.NewForConfigOrDie(config), ours: versioned.NewForConfigOrDie(config), host: dynamic.NewForConfigOrDie(config),
	}
	return next
}

// take brings an object from another control plane, as a file does that kubectl has written there,
// without what that API server and its controllers have put into it.
func (p *place) take(from *place, gvr schema.GroupVersionResource, namespace, name string) {
	p.Helper()
	object, err := from.host.Resource(gvr).Namespace(namespace).Get(p.Context(), name, metav1.GetOptions{})
	if err != nil {
		p.Fatal(err)
	}
	metadata := map[string]any{"name": name}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	for key, value := range object.Object["metadata"].(map[string]any) {
		if key == "labels" || key == "annotations" {
			metadata[key] = value
		}
	}
	if annotations, ok := metadata["annotations"].(map[string]any); ok { // it is of the other one's namespace
		delete(annotations, "federation.koinon.io/namespace-uid")
	}
	object.Object["metadata"] = metadata
	delete(object.Object, "status")
	client := p.host.Resource(gvr).Namespace(namespace)
	p.eventually("take "+name, func(ctx context.Context) error {
		_, err := client.Create(ctx, object, metav1.CreateOptions{})
		return unlessExisting(err)
	})
}
