package api_test

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// owned is a manifest in v1beta2 with all that v1beta1 has no words for.
const owned = `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedDeployment, metadata: {name: web, namespace: %s}, spec: {
  topologyType: cell,
  template: {spec: {replicas: 2}},
  placement: {topologies: [{name: rz00a}, {name: rz01a}]},
  placementMask: {topologies: [{name: rz00a}]},
  overrides: [
    {topologyName: rz00a, topologyOverrides: [{path: /spec/replicas, op: replace, value: 3}]},
    {topologySelector: {matchLabels: {gray: "yes"}}, topologyOverrides: [{path: /spec/replicas, op: replace, value: 9}]}]}}`

// released is what the same manager applies afterwards: less.
const released = `{apiVersion: types.kubefed.io/v1beta2, kind: FederatedDeployment, metadata: {name: web, namespace: %s}, spec: {
  topologyType: cell, template: {spec: {paused: true}}}}`

// serverSide applies a manifest with kubectl.
func (f *fixture) serverSide(manager, manifest string, args ...string) (string, error) {
	f.t.Helper()
	return f.apply(manifest, append([]string{"apply", "--server-side", "--field-manager", manager}, args...)...)
}

func (f *fixture) mustServerSide(manager, manifest string, args ...string) {
	f.t.Helper()
	if said, err := f.serverSide(manager, manifest, args...); err != nil {
		f.t.Fatalf("apply by %s: %v: %s", manager, err, said)
	}
}

// owners lists "<manager> <operation>[ <subresource>]" by field, for the fields that any of
// the prefixes begins.
func owners(t *testing.T, o *unstructured.Unstructured, prefixes ...string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, e := range o.GetManagedFields() {
		set := &fieldpath.Set{}
		if err := set.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
			t.Fatal(err)
		}
		who := strings.TrimSpace(e.Manager + " " + string(e.Operation) + " " + e.Subresource)
		for path := range set.All() {
			for _, prefix := range prefixes {
				if strings.HasPrefix(path.String(), prefix) {
					out[path.String()] = append(out[path.String()], who)
				}
			}
		}
	}
	for _, managers := range out {
		sort.Strings(managers)
	}
	return out
}

func TestScaleOwnsTheReplicas(t *testing.T) {
	f := newFixture(t)
	for _, version := range []string{"v1beta1", "v1beta2"} {
		t.Run(version, func(t *testing.T) {
			namespace := f.namespace("scale-owner-" + version)
			manifest := fmt.Sprintf(`{apiVersion: types.kubefed.io/%s, kind: FederatedDeployment, metadata: {name: web, namespace: %s}, spec: {template: {spec: {%%s}}}}`, version, namespace)
			f.mustServerSide("alice", fmt.Sprintf(manifest, "replicas: 2, paused: false"))
			f.kubectl("scale", "federateddeployments."+version+".types.kubefed.io/web", "-n", namespace, "--replicas=5")
			said, err := f.serverSide("alice", fmt.Sprintf(manifest, "replicas: 2, paused: false"))
			const conflict = `conflict with "kubectl" with subresource "scale" using types.kubefed.io/`
			if err == nil || !strings.Contains(said, conflict+version) || !strings.Contains(said, ".spec.template.spec.replicas") {
				t.Errorf("apply of 2 replicas after a scale to 5: got %v: %s", err, said)
			}
			f.mustServerSide("alice", fmt.Sprintf(manifest, "paused: false"))
			got := f.get(deployments, namespace, "web")
			if replicas, _, _ := unstructured.NestedInt64(got.Object, "spec", "template", "spec", "replicas"); replicas != 5 {
				t.Errorf("replicas after an apply without any: got %d, want 5", replicas)
			}
			want := map[string][]string{".spec.template.spec.replicas": {"kubectl Update scale"}}
			if diff := cmp.Diff(want, owners(t, got, ".spec.template.spec.replicas")); diff != "" {
				t.Errorf("owners (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWritesThroughV1beta1LeaveTheTopologyToItsOwner(t *testing.T) {
	f := newFixture(t)
	const inV1beta1 = "federateddeployments.v1beta1.types.kubefed.io/web"
	for name, write := range map[string]func(f *fixture, namespace string){
		"label": func(f *fixture, namespace string) { f.kubectl("label", inV1beta1, "-n", namespace, "a=b") },
		"remove-annotation": func(f *fixture, namespace string) {
			f.kubectl("annotate", inV1beta1, "-n", namespace, "federation.koinon.io/topology-")
		},
		"patch": func(f *fixture, namespace string) {
			f.kubectl("patch", inV1beta1, "-n", namespace, "--type=json", "-p", `[{"op":"replace","path":"/spec/placement/clusters","value":[{"name":"rz01a.shop-patch"}]}]`)
		},
		"replace": func(f *fixture, namespace string) {
			f.replace(namespace, func(o *unstructured.Unstructured) { o.SetAnnotations(nil) })
		},
		"replace-overrides": func(f *fixture, namespace string) {
			f.replace(namespace, func(o *unstructured.Unstructured) {
				o.SetAnnotations(nil)
				unstructured.RemoveNestedField(o.Object, "spec", "overrides")
			})
		},
		"scale": func(f *fixture, namespace string) { f.kubectl("scale", inV1beta1, "-n", namespace, "--replicas=5") },
		"apply": func(f *fixture, namespace string) {
			f.mustServerSide("owner", fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta1, kind: FederatedDeployment, metadata: {name: web, namespace: %s}, spec: {template: {spec: {replicas: 4}}}}`, namespace))
		},
		"status": func(f *fixture, namespace string) {
			f.kubectl("patch", inV1beta1, "-n", namespace, "--subresource=status", "--type=merge", "-p", `{"status":{"clusters":[{"name":"rz00a.shop-status"}]}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			namespace := f.namespace("shop-" + name)
			f.mustServerSide("owner", fmt.Sprintf(owned, namespace))
			write(&f, namespace)
			got := f.get(deployments, namespace, "web")
			want := map[string][]string{".spec.topologyType": {"owner Apply"}, ".spec.placementMask.topologies": {"owner Apply"}}
			if diff := cmp.Diff(want, owners(t, got, ".spec.topologyType", ".spec.placementMask", ".metadata.annotations")); diff != "" {
				t.Errorf("owners (-want +got):\n%s", diff)
			}
			f.wantTopology(namespace, true)
			f.mustServerSide("owner", fmt.Sprintf(released, namespace), "--force-conflicts")
			f.wantTopology(namespace, false)
		})
	}
}

// replace writes the object through v1beta1 as a client does that knows all of it.
func (f *fixture) replace(namespace string, change func(*unstructured.Unstructured)) {
	f.t.Helper()
	client := f.dynamic.Resource(typesV1beta1.WithResource("federateddeployments")).Namespace(namespace)
	o, err := client.Get(f.t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	change(o)
	o.SetResourceVersion("") // a controller may have written since
	if _, err := client.Update(f.t.Context(), o, metav1.UpdateOptions{FieldManager: "other"}); err != nil {
		f.t.Fatal(err)
	}
}

// wantTopology looks for the mask and the override by selector.
func (f *fixture) wantTopology(namespace string, want bool) {
	f.t.Helper()
	o := f.get(deployments, namespace, "web")
	_, mask, _ := unstructured.NestedMap(o.Object, "spec", "placementMask")
	if mask != want {
		f.t.Errorf("there is a mask: got %v, want %v", mask, want)
	}
	data, err := json.Marshal(o.Object["spec"])
	if err != nil {
		f.t.Fatal(err)
	}
	if got := strings.Contains(string(data), `{"gray":"yes"}`); got != want {
		f.t.Errorf("there is the override by selector: got %v, want %v: %s", got, want, data)
	}
}

func TestConflictsSpeakTheWordsOfTheVersion(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("words")
	f.mustServerSide("owner", fmt.Sprintf(owned, namespace))
	for _, tc := range []struct{ name, version, spec, want string }{
		{"placement in v1beta1", "v1beta1", `placement: {clusters: [{name: rz01a.words}]}`, ".spec.placement.clusters"},
		{"placement in v1beta2", "v1beta2", `topologyType: cell, placement: {topologies: [{name: rz01a}]}`, ".spec.placement.topologies"},
		{"overrides in v1beta1", "v1beta1", `overrides: [{clusterName: rz01a.words, clusterOverrides: [{path: /spec/replicas, op: replace, value: 1}]}]`, ".spec.overrides"},
		{"overrides in v1beta2", "v1beta2", `topologyType: cell, overrides: []`, ".spec.overrides"},
		{"the mask in v1beta2", "v1beta2", `topologyType: cell, placementMask: {topologies: []}`, ".spec.placementMask.topologies"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			said, err := f.serverSide("other", fmt.Sprintf(`{apiVersion: types.kubefed.io/%s, kind: FederatedDeployment, metadata: {name: web, namespace: %s}, spec: {%s}}`, tc.version, namespace, tc.spec))
			if want := `Apply failed with 1 conflict: conflict with "owner": ` + tc.want; err == nil || !strings.Contains(said, want+"\n") {
				t.Errorf("got %v: %s, want %s", err, said, want)
			}
		})
	}
	said, err := f.apply(fmt.Sprintf(`{apiVersion: types.kubefed.io/v1beta1, kind: FederatedDeployment, metadata: {name: web, namespace: %s}, spec: {placement: {clusters: [{name: m1}]}}}`, namespace),
		"apply", "--server-side", "--force-conflicts", "--field-manager", "other")
	if want := `spec.placement.clusters[0].name: Invalid value: "m1": topologyType is cell, so the name must be <cell>.words`; err == nil || !strings.Contains(said, want) {
		t.Errorf("apply of a name that is no cell's: got %v: %s, want %s", err, said, want)
	}
}

// kubectl moves the fields of client-side apply to server-side apply by a patch of
// managedFields.
func TestMovingFromClientSideApplyInEitherVersion(t *testing.T) {
	f := newFixture(t)
	for _, version := range []string{"v1beta1", "v1beta2"} {
		t.Run(version, func(t *testing.T) {
			namespace := f.namespace("csa-" + version)
			words := map[string]string{
				"v1beta1": `placement: {clusters: [{name: m1}]}, overrides: [{clusterName: m1, clusterOverrides: [{path: /spec/replicas, op: replace, value: 1}]}]`,
				"v1beta2": `placement: {topologies: [{name: m1}]}, overrides: [{topologyName: m1, topologyOverrides: [{path: /spec/replicas, op: replace, value: 1}]}]`,
			}[version]
			manifest := fmt.Sprintf(`{apiVersion: types.kubefed.io/%s, kind: FederatedDeployment, metadata: {name: web, namespace: %s}, spec: {template: {spec: {replicas: 2}}%%s}}`, version, namespace)
			if said, err := f.apply(fmt.Sprintf(manifest, ", "+words), "apply"); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			f.mustServerSide("kubectl", fmt.Sprintf(manifest, ", "+words))
			f.mustServerSide("kubectl", fmt.Sprintf(manifest, ""))
			spec := f.get(deployments, namespace, "web").Object["spec"].(map[string]any)
			if spec["placement"] != nil || spec["overrides"] != nil {
				t.Errorf("what is no longer applied is still there: %v", spec)
			}
		})
	}
}
