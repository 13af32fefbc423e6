package edgehub_test

import (
	"context"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/koinon-io/koinon/test/testbed"
)

// kind is one that is read in two ways.
type kind struct {
	schema.GroupVersionResource
	kind   string
	prefix string // of its objects' names: c0, c1 and so on
	count  int    // of objects, in each namespace if it has some
	global bool   // it has no namespace
	body   func(i int) map[string]any
}

func none(int) map[string]any { return nil }

var (
	configMaps = kind{schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, "ConfigMap", "c", 8, false, func(i int) map[string]any {
		return map[string]any{"data": map[string]any{"k": fmt.Sprintf("<%d> & \u2028 é", i)}}
	}}
	pods = kind{schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "Pod", "p", 6, false, func(i int) map[string]any {
		spec := map[string]any{"containers": []any{map[string]any{"name": "c", "image": "i"}}}
		if i%3 > 0 {
			spec["nodeName"] = fmt.Sprintf("n%d", i%3)
		}
		return map[string]any{"spec": spec}
	}}
	nodes    = kind{schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, "Node", "n", 4, true, none}
	services = kind{schema.GroupVersionResource{Version: "v1", Resource: "services"}, "Service", "s", 4, false, func(i int) map[string]any {
		spec := map[string]any{"ports": []any{map[string]any{"port": int64(80)}}}
		if i%2 == 0 {
			spec["clusterIP"] = "None"
		}
		return map[string]any{"spec": spec}
	}}
	namespaces     = kind{schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "Namespace", "ns", 3, true, none}
	endpointSlices = kind{schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}, "EndpointSlice", "e", 4, false, func(i int) map[string]any {
		return map[string]any{"addressType": "IPv4", "ports": []any{}, "endpoints": []any{map[string]any{"addresses": []any{fmt.Sprintf("10.9.0.%d", i+1)}}}}
	}}
	widgets = kind{schema.GroupVersionResource{Group: "example.org", Version: "v1", Resource: "widgets"}, "Widget", "w", 5, false, func(i int) map[string]any {
		return map[string]any{"spec": map[string]any{"size": int64(i), "nodeName": "n1"}, "status": map[string]any{"phase": "Pending"}}
	}}
	gadgets = kind{schema.GroupVersionResource{Group: "example.org", Version: "v1", Resource: "gadgets"}, "Gadget", "g", 3, true, func(i int) map[string]any {
		return map[string]any{"spec": map[string]any{"size": float64(i) + 0.5}}
	}}
	kinds = []kind{configMaps, pods, nodes, services, namespaces, endpointSlices, widgets, gadgets}
)

// inNamespaces are where objects are that have one.
var inNamespaces = []string{"ns0", "ns1"}

func (k kind) object(i int) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	for field, value := range k.body(i) {
		o.Object[field] = value
	}
	o.SetAPIVersion(k.GroupVersion().String())
	o.SetKind(k.kind)
	o.SetName(fmt.Sprintf("%s%d", k.prefix, i))
	labels := map[string]string{"n": fmt.Sprint(i)}
	if i%4 < 3 {
		labels["unit"] = string(rune('a' + i%4))
	}
	if i%2 == 0 {
		labels["tier"] = "x"
	}
	o.SetLabels(labels)
	return o
}

// path is that of the kind in a namespace, or of all.
func (k kind) path(namespace string) string {
	path := "/api/v1/"
	if k.Group != "" {
		path = "/apis/" + k.GroupVersion().String() + "/"
	}
	if namespace != "" {
		path += "namespaces/" + namespace + "/"
	}
	return path + k.Resource
}

// populate makes objects of all kinds. Nobody changes them afterwards: the cluster has no controllers any more.
func populate(t *testing.T, cluster *testbed.Cluster) dynamic.Interface {
	t.Helper()
	config := cluster.RESTConfig(t)
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	define(t, client, widgets)
	define(t, client, gadgets)
	for _, global := range []bool{true, false} { // namespaces first
		for _, k := range kinds {
			switch {
			case k.global != global:
			case global:
				fill(t, client.Resource(k.GroupVersionResource), k)
			default:
				for _, namespace := range inNamespaces {
					fill(t, client.Resource(k.GroupVersionResource).Namespace(namespace), k)
				}
			}
		}
	}
	cluster.Kill(t, testbed.ControllerManager)
	return client
}

// fill waits for what an object needs: its kind, or an account of its namespace.
func fill(t *testing.T, client dynamic.ResourceInterface, k kind) {
	t.Helper()
	for i := range k.count {
		testbed.Eventually(t, "there is one of "+k.Resource, func(ctx context.Context) error {
			_, err := client.Create(ctx, k.object(i), metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				return nil
			}
			return err
		})
	}
}

// define makes the definition of a custom resource.
func define(t *testing.T, client dynamic.Interface, k kind) {
	t.Helper()
	scope := "Namespaced"
	if k.global {
		scope = "Cluster"
	}
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": k.Resource + "." + k.Group},
		"spec": map[string]any{
			"group": k.Group, "scope": scope, "names": map[string]any{"plural": k.Resource, "kind": k.kind},
			"versions": []any{map[string]any{"name": k.Version, "served": true, "storage": true, "schema": map[string]any{
				"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true},
			}}},
		},
	}}
	resource := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	if _, err := client.Resource(resource).Create(t.Context(), definition, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
