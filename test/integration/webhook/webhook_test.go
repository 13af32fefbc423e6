// Package webhook_test serves the federated kinds from a stock kube-apiserver that has what
// artifacts/webhook brings, and nothing else of ours. It then does to them what an unmodified
// KubeFed controller-manager does, and looks for what was lost.
package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/test/testbed"
)

// patience is how long anything may take before a test gives up. It is no assertion about
// speed: the machine may be busy.
const patience = 2 * time.Minute

var (
	inTopology = schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta2", Resource: "federateddeployments"}
	inCluster  = schema.GroupVersionResource{Group: "types.kubefed.io", Version: "v1beta1", Resource: "federateddeployments"}
)

// TestStockCluster runs its parts against one cluster, each on objects of its own.
func TestStockCluster(t *testing.T) {
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "stock"})
	config := cluster.RESTConfig(t)
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	installed := install(t, cluster)
	waitServed(t, client)

	t.Run("both versions are served from one object", func(t *testing.T) { bothVersions(t, client) })
	t.Run("a finalizer patch keeps the topology", func(t *testing.T) { finalizerPatch(t, client) })
	t.Run("a whole-object PUT without topology keeps it", func(t *testing.T) { wholeObjectPut(t, client, config) })
	t.Run("a status PUT that drops unknown fields keeps them", func(t *testing.T) { statusPut(t, client) })
	t.Run("a plain KubeFed object stays plain", func(t *testing.T) { plainObject(t, client) })
	t.Run("refusals are sentences in the words of the client", func(t *testing.T) { refusals(t, client) })
	t.Run("server-side apply in either version merges into one object", func(t *testing.T) { serverSideApply(t, client) })
	t.Run("scale writes into the template", func(t *testing.T) { scale(t, client, cluster.Kubeconfig()) })
	t.Run("kubectl shows both shapes", func(t *testing.T) { kubectl(t, cluster.Kubeconfig()) })
	t.Run("the pods are let in", func(t *testing.T) { podsAreLetIn(t, cluster.Kubeconfig()) })
	t.Run("what somebody did to an authority is put right", func(t *testing.T) { installed.repairs(t) })
	t.Run("a kind that comes later is given the authority", func(t *testing.T) { installed.laterKind(t) })
	t.Run("no request fails while certificate and authority are renewed, and while replicas restart", func(t *testing.T) { installed.renewals(t) })
}

// waitServed waits until the kinds are served and both webhooks are called: the server
// learns of them by watching.
func waitServed(t *testing.T, client dynamic.Interface) {
	t.Helper()
	poll(t, "the kinds are not served with their webhooks", func(ctx context.Context) error {
		// Without a type only /mutate lets it pass, and without a template /validate never.
		_, err := client.Resource(inTopology).Namespace("default").Create(ctx,
			object("v1beta2", "probe", `{"template":{}}`), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err
		}
		_, err = client.Resource(inCluster).Namespace("default").Create(ctx,
			object("v1beta1", "probe", `{}`), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if !apierrors.IsInvalid(err) {
			return errors.Join(errors.New("/validate is not called"), err)
		}
		return nil
	})
}

func poll(t *testing.T, sentence string, try func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = try(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v", sentence, last)
	}
}

// object is a FederatedDeployment; spec is JSON.
func object(version, name, spec string) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{Object: map[string]any{"spec": value(spec)}}
	obj.SetAPIVersion("types.kubefed.io/" + version)
	obj.SetKind("FederatedDeployment")
	obj.SetName(name)
	return obj
}

func value(data string) any {
	var out any
	if err := utiljson.Unmarshal([]byte(data), &out); err != nil {
		panic(err)
	}
	return out
}

// cellSpec has everything that the cluster shape has no place for.
const cellSpec = `{
	"topologyType": "cell",
	"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"replicas": 2}},
	"placement": {"topologies": [{"name": "rz01a"}, {"name": "rz00a"}]},
	"placementMask": {"topologies": [{"name": "rz00a"}]},
	"overrides": [
		{"topologySelector": {"matchLabels": {"tier": "gold"}}, "topologyOverrides": [{"path": "/spec/paused", "value": null}]},
		{"topologyName": "rz00a", "topologyOverrides": [{"op": "replace", "path": "/spec/replicas", "value": 3}]}
	]}`

const cellSpecInClusters = `{
	"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"replicas": 2}},
	"placement": {"clusters": [{"name": "rz01a.default"}, {"name": "rz00a.default"}]},
	"overrides": [{"clusterName": "rz00a.default", "clusterOverrides": [{"op": "replace", "path": "/spec/replicas", "value": 3}]}]}`

func create(t *testing.T, client dynamic.Interface, gvr schema.GroupVersionResource, obj *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	out, err := client.Resource(gvr).Namespace("default").Create(t.Context(), obj, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func get(t *testing.T, client dynamic.Interface, gvr schema.GroupVersionResource, name string) *unstructured.Unstructured {
	t.Helper()
	out, err := client.Resource(gvr).Namespace("default").Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantField(t *testing.T, obj *unstructured.Unstructured, field string, want any) {
	t.Helper()
	if diff := cmp.Diff(want, obj.Object[field]); diff != "" {
		t.Errorf("%s of %s in %s (-want +got):\n%s", field, obj.GetName(), obj.GetAPIVersion(), diff)
	}
}

func bothVersions(t *testing.T, client dynamic.Interface) {
	create(t, client, inTopology, object("v1beta2", "both", cellSpec))
	wantField(t, get(t, client, inCluster, "both"), "spec", value(cellSpecInClusters))
	wantField(t, get(t, client, inTopology, "both"), "spec", value(cellSpec))
	list, err := client.Resource(inCluster).Namespace("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	listed := slices.IndexFunc(list.Items, func(one unstructured.Unstructured) bool { return one.GetName() == "both" })
	if listed < 0 {
		t.Fatalf("it is not in the list: %v", list.Items)
	}
	wantField(t, &list.Items[listed], "spec", value(cellSpecInClusters))
	annotations := get(t, client, inTopology, "both").GetAnnotations()
	if len(annotations) > 0 {
		t.Errorf("annotations in v1beta2: %v, want none", annotations)
	}
}

func finalizerPatch(t *testing.T, client dynamic.Interface) {
	created := create(t, client, inTopology, object("v1beta2", "finalizer", cellSpec))
	patch := `{"metadata":{"finalizers":["kubefed.io/sync-controller"]}}`
	_, err := client.Resource(inCluster).Namespace("default").Patch(t.Context(), "finalizer", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := get(t, client, inTopology, "finalizer")
	wantField(t, got, "spec", value(cellSpec))
	if diff := cmp.Diff([]string{"kubefed.io/sync-controller"}, got.GetFinalizers()); diff != "" {
		t.Errorf("finalizers (-want +got):\n%s", diff)
	}
	if got.GetGeneration() != created.GetGeneration() {
		t.Errorf("generation %d, want %d: metadata alone changed", got.GetGeneration(), created.GetGeneration())
	}
	removeFinalizers := `{"metadata":{"finalizers":null}}`
	if _, err := client.Resource(inCluster).Namespace("default").Patch(t.Context(), "finalizer", types.MergePatchType, []byte(removeFinalizers), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// wholeObjectPut writes as ReplicaSchedulingPreference does: other placement, other
// override, nothing that KubeFed's types do not have, and no Content-Type.
func wholeObjectPut(t *testing.T, client dynamic.Interface, config *rest.Config) {
	create(t, client, inTopology, object("v1beta2", "put", cellSpec))
	sent := get(t, client, inCluster, "put")
	sent.SetAnnotations(nil)
	sent.Object["spec"] = value(strings.NewReplacer(`{"name": "rz01a.default"}, `, "", `"value": 3`, `"value": 5`).Replace(cellSpecInClusters))
	putWithoutContentType(t, config, "/apis/types.kubefed.io/v1beta1/namespaces/default/federateddeployments/put", sent)

	want := value(strings.NewReplacer(`{"name": "rz01a"}, `, "", `"value": 3`, `"value": 5`).Replace(cellSpec))
	wantField(t, get(t, client, inTopology, "put"), "spec", want)
}

func putWithoutContentType(t *testing.T, config *rest.Config, path string, obj *unstructured.Unstructured) {
	t.Helper()
	body, err := obj.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, config.Host+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(resp.Body)
		t.Fatalf("PUT %s: %s: %s", path, resp.Status, answer)
	}
}

func statusPut(t *testing.T, client dynamic.Interface) {
	obj := create(t, client, inTopology, object("v1beta2", "status", cellSpec))
	obj.Object["status"] = value(`{"observedGeneration": 1,
		"conditions": [{"type": "Propagation", "status": "False", "reason": "CheckClusters", "message": "rz01a is frozen"}],
		"targets": [
			{"name": "rz00a", "cluster": "m1", "namespace": "shop-a", "hash": "abc", "version": "gen:4", "generation": 1},
			{"name": "rz01a", "state": "Masked", "hash": "old"}]}`)
	if _, err := client.Resource(inTopology).Namespace("default").UpdateStatus(t.Context(), obj, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	sent := get(t, client, inCluster, "status")
	wantClusters := value(`[{"name": "rz00a.default"}, {"name": "rz01a.default", "status": "Masked"}]`)
	if diff := cmp.Diff(wantClusters, sent.Object["status"].(map[string]any)["clusters"]); diff != "" {
		t.Errorf("clusters (-want +got):\n%s", diff)
	}

	// A stock controller keeps the object's metadata and builds the status anew.
	sent.Object["status"] = value(`{"observedGeneration": 1,
		"conditions": [{"type": "Propagation", "status": "False", "reason": "CheckClusters"}],
		"clusters": [{"name": "rz00a.default", "status": "UpdateFailed"}]}`)
	sent.SetAnnotations(nil)
	if _, err := client.Resource(inCluster).Namespace("default").UpdateStatus(t.Context(), sent, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	got := get(t, client, inTopology, "status")
	wantField(t, got, "spec", value(cellSpec))
	wantField(t, got, "status", value(`{"observedGeneration": 1,
		"conditions": [{"type": "Propagation", "status": "False", "reason": "CheckClusters", "message": "rz01a is frozen"}],
		"targets": [
			{"name": "rz00a", "state": "UpdateFailed", "cluster": "m1", "namespace": "shop-a", "hash": "abc", "version": "gen:4", "generation": 1},
			{"name": "rz01a", "state": "Masked", "hash": "old"}]}`))
}

func plainObject(t *testing.T, client dynamic.Interface) {
	const spec = `{"template": {"spec": {}}, "placement": {"clusterSelector": {}}, "overrides": []}`
	create(t, client, inCluster, object("v1beta1", "plain", spec))
	got := get(t, client, inCluster, "plain")
	wantField(t, got, "spec", value(spec))
	if len(got.GetAnnotations()) > 0 {
		t.Errorf("annotations: %v, want none", got.GetAnnotations())
	}
	wantField(t, get(t, client, inTopology, "plain"), "spec",
		value(`{"topologyType": "cluster", "template": {"spec": {}}, "placement": {"topologySelector": {}}, "overrides": []}`))
}

func refusals(t *testing.T, client dynamic.Interface) {
	stored := create(t, client, inTopology, object("v1beta2", "refusals", cellSpec))
	const prefix = `FederatedDeployment.types.kubefed.io "refusals" is invalid: `

	typed := stored.DeepCopy()
	typed.Object["spec"].(map[string]any)["topologyType"] = "cluster"
	_, err := client.Resource(inTopology).Namespace("default").Update(t.Context(), typed, metav1.UpdateOptions{})
	wantRefusal(t, err, prefix+`spec.topologyType: Invalid value: "cluster": is immutable, and was cell: delete the object and create it anew`)

	foreign := get(t, client, inCluster, "refusals")
	foreign.SetAnnotations(nil)
	foreign.Object["spec"] = value(`{"template": {}, "placement": {"clusters": [{"name": "m3"}]}}`)
	_, err = client.Resource(inCluster).Namespace("default").Update(t.Context(), foreign, metav1.UpdateOptions{})
	wantRefusal(t, err, prefix+`spec.placement.clusters[0].name: Invalid value: "m3": topologyType is cell, so the name must be <cell>.default`)

	_, err = client.Resource(inCluster).Namespace("default").Create(t.Context(),
		object("v1beta1", "refusals", `{"template": {}, "overrides": [{"clusterName": "m1", "clusterOverrides": [{"path": "/kind"}]}]}`), metav1.CreateOptions{})
	wantRefusal(t, err, prefix+`spec.overrides[0].clusterOverrides[0].path: Invalid value: "/kind": /kind, /metadata/name, /metadata/namespace and /metadata/generateName may not be overridden: they say which object it is`)
}

// serverSideApply has one manager of the topology shape, and one of the cluster shape
// that knows nothing of topology: it takes over placement, brings its copy of the
// annotation, and later leaves that out.
func serverSideApply(t *testing.T, client dynamic.Interface) {
	apply(t, client, inTopology, "people", object("v1beta2", "apply", cellSpec))
	placement := object("v1beta1", "apply", `{"placement": {"clusters": [{"name": "rz00a.default"}]}}`)
	placement.SetAnnotations(map[string]string{
		v1beta1.TopologyAnnotation: get(t, client, inCluster, "apply").GetAnnotations()[v1beta1.TopologyAnnotation]})
	apply(t, client, inCluster, "scheduler", placement)
	want := value(strings.Replace(cellSpec, `{"name": "rz01a"}, `, "", 1))
	wantField(t, get(t, client, inTopology, "apply"), "spec", want)

	placement.SetAnnotations(nil)
	apply(t, client, inCluster, "scheduler", placement)
	wantField(t, get(t, client, inTopology, "apply"), "spec", want)
}

func apply(t *testing.T, client dynamic.Interface, gvr schema.GroupVersionResource, manager string, obj *unstructured.Unstructured) {
	t.Helper()
	_, err := client.Resource(gvr).Namespace("default").Apply(t.Context(), obj.GetName(), obj, metav1.ApplyOptions{FieldManager: manager, Force: true})
	if err != nil {
		t.Fatalf("apply as %s in %s: %v", manager, gvr.Version, err)
	}
}

func scale(t *testing.T, client dynamic.Interface, kubeconfig string) {
	create(t, client, inTopology, object("v1beta2", "scale", cellSpec))
	testbed.Kubectl(t, kubeconfig, "scale", "federateddeployments.v1beta2.types.kubefed.io/scale", "--replicas", "7")
	testbed.Kubectl(t, kubeconfig, "scale", "federateddeployments.v1beta1.types.kubefed.io/scale", "--replicas", "8", "--current-replicas", "-1")
	wantField(t, get(t, client, inTopology, "scale"), "spec", value(strings.Replace(cellSpec, `"replicas": 2`, `"replicas": 8`, 1)))
}

// wantRefusal finds the sentence behind what the server says of the webhook.
func wantRefusal(t *testing.T, err error, want string) {
	t.Helper()
	if !apierrors.IsInvalid(err) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want it to be invalid and to end with\n%s", err, want)
	}
}

func kubectl(t *testing.T, kubeconfig string) {
	out := testbed.Kubectl(t, kubeconfig, "get", "fdeploy", "both")
	for _, column := range []string{"TOPOLOGY", "PROPAGATED", "AGE", "cell"} {
		if !strings.Contains(out, column) {
			t.Errorf("kubectl get fdeploy shows no %s:\n%s", column, out)
		}
	}
	out = testbed.Kubectl(t, kubeconfig, "get", "federateddeployments.v1beta1.types.kubefed.io", "both", "--output", "jsonpath={.spec.placement.clusters[*].name}")
	if want := "rz01a.default rz00a.default"; out != want {
		t.Errorf("placement in v1beta1: %q, want %q", out, want)
	}
}
