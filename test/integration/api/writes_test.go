package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const (
	mergePatch = types.MergePatchType
	jsonPatch  = types.JSONPatchType
)

// unknownField has one field that the shape does not have, and one that the template's
// kind does not have.
const unknownField = `{apiVersion: types.kubefed.io/%s, kind: FederatedDeployment, metadata: {name: unknown},
spec: {plcement: {}, template: {spec: {replcas: 3}}}}`

func TestFieldValidation(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("fields")
	const shape, template = `unknown field "spec.plcement"`,
		`spec.template.spec.replcas: Invalid value: 3: apps/v1 Deployment has no such field; did you mean "replicas"?`
	for _, version := range []string{"v1beta1", "v1beta2"} {
		for directive, tc := range map[string]struct {
			warnings []string
			err      string
		}{
			"Strict": {err: shape},
			"Warn":   {warnings: []string{shape, template}},
			"":       {warnings: []string{shape, template}},
			"Ignore": {},
		} {
			t.Run(version+" "+directive, func(t *testing.T) {
				f.warnings.take()
				resource := deployments.GroupResource().WithVersion(version)
				_, err := f.dynamic.Resource(resource).Namespace(namespace).Create(t.Context(), f.parse(fmt.Sprintf(unknownField, version)),
					metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: directive})
				if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error: got %v, want %q", err, tc.err)
				}
				if diff := cmp.Diff(tc.warnings, f.warnings.take()); diff != "" {
					t.Errorf("warnings (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestStrictValidationOfUpdatesAndPatches(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("strict")
	created := f.create(deployments, namespace, deployment(namespace, "web"))
	client := f.dynamic.Resource(deployments).Namespace(namespace)
	const want = `spec.template.spec.template.spec.containers[0].imagee: Invalid value: "x": apps/v1 Deployment has no such field; did you mean "image"?`
	containers := []any{map[string]any{"name": "main", "imagee": "x"}}
	if err := unstructured.SetNestedSlice(created.Object, containers, "spec", "template", "spec", "template", "spec", "containers"); err != nil {
		t.Fatal(err)
	}
	created.SetResourceVersion("") // a controller may have written since
	_, err := client.Update(t.Context(), created, metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict})
	wantError(t, "update", err, want)
	patch := `{"spec":{"template":{"spec":{"template":{"spec":{"containers":[{"name":"main","imagee":"x"}]}}}}}}`
	_, err = client.Patch(t.Context(), "web", mergePatch, []byte(patch), metav1.PatchOptions{FieldValidation: metav1.FieldValidationStrict})
	wantError(t, "merge patch", err, want)
}

func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, want %s", what, err, want)
	}
}

// sidecar is a manifest that has one container and nothing else in its template.
func sidecar(version, name, image string) string {
	return fmt.Sprintf(`{apiVersion: types.kubefed.io/%s, kind: FederatedDeployment, metadata: {name: web},
spec: {template: {spec: {template: {spec: {containers: [{name: %s, image: %q}]}}}}}}`, version, name, image)
}

func TestServerSideApplyMergesContainersByName(t *testing.T) {
	f := newFixture(t)
	for _, version := range []string{"v1beta1", "v1beta2"} {
		t.Run(version, func(t *testing.T) {
			namespace := f.namespace("apply-" + version)
			resource := deployments.GroupResource().WithVersion(version)
			client := f.dynamic.Resource(resource).Namespace(namespace)
			apply := func(manager, container, image string, force bool) error {
				_, err := client.Apply(t.Context(), "web", f.parse(sidecar(version, container, image)), metav1.ApplyOptions{FieldManager: manager, Force: force})
				return err
			}
			for manager, container := range map[string]string{"alice": "main", "bob": "proxy"} {
				if err := apply(manager, container, "one:1", false); err != nil {
					t.Fatal(err)
				}
			}
			f.wantContainers(namespace, "main=one:1", "proxy=one:1")
			err := apply("bob", "main", "two:2", false)
			const conflict = `Apply failed with 1 conflict: conflict with "alice": `
			if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), conflict) || !strings.Contains(err.Error(), `.spec.template.spec.template.spec.containers[name="main"].image`) {
				t.Errorf("bob applies alice's container: got %v, want a conflict about the image", err)
			}
			// bob gives up the proxy by this, and takes the image from alice.
			if err := apply("bob", "main", "two:2", true); err != nil {
				t.Fatal(err)
			}
			f.wantContainers(namespace, "main=two:2")
		})
	}
}

func (f *fixture) wantContainers(namespace string, want ...string) {
	f.t.Helper()
	containers, _, _ := unstructured.NestedSlice(f.get(deployments, namespace, "web").Object, "spec", "template", "spec", "template", "spec", "containers")
	got := map[string]bool{}
	for _, c := range containers {
		container := c.(map[string]any)
		got[fmt.Sprintf("%v=%v", container["name"], container["image"])] = true
	}
	wanted := map[string]bool{}
	for _, w := range want {
		wanted[w] = true
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		f.t.Errorf("containers (-want +got):\n%s", diff)
	}
}

// A manager of one version sees what it owns through the other, too.
func TestServerSideApplyInBothVersionsByOneManager(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("apply-both")
	f.namespaceOwnsPlacement(namespace, "v1beta2", `topologies: [{name: m1}, {name: m2}]`)
	f.namespaceOwnsPlacement(namespace, "v1beta1", `clusters: [{name: m2}]`)
	got, _, _ := unstructured.NestedSlice(f.get(deployments, namespace, "web").Object, "spec", "placement", "topologies")
	if diff := cmp.Diff([]any{map[string]any{"name": "m2"}}, got); diff != "" {
		t.Errorf("topologies (-want +got):\n%s", diff)
	}
}

func (f *fixture) namespaceOwnsPlacement(namespace, version, placement string) {
	f.t.Helper()
	o := f.parse(fmt.Sprintf(`{apiVersion: types.kubefed.io/%s, kind: FederatedDeployment, metadata: {name: web}, spec: {template: {}, placement: {%s}}}`, version, placement))
	_, err := f.dynamic.Resource(deployments.GroupResource().WithVersion(version)).Namespace(namespace).
		Apply(f.t.Context(), "web", o, metav1.ApplyOptions{FieldManager: "carol"})
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestPatches(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("patches")
	f.create(deployments, namespace, deployment(namespace, "web"))
	client := f.dynamic.Resource(deployments).Namespace(namespace)
	for _, tc := range []struct {
		sentence, body string
		patch          types.PatchType
		want           int64
	}{
		{"a merge patch", `{"spec":{"template":{"spec":{"replicas":4}}}}`, mergePatch, 4},
		{"a JSON patch", `[{"op":"test","path":"/spec/template/spec/replicas","value":4},{"op":"replace","path":"/spec/template/spec/replicas","value":6}]`, jsonPatch, 6},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			patched, err := client.Patch(t.Context(), "web", tc.patch, []byte(tc.body), metav1.PatchOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got, _, _ := unstructured.NestedInt64(patched.Object, "spec", "template", "spec", "replicas"); got != tc.want {
				t.Errorf("replicas: got %d, want %d", got, tc.want)
			}
		})
	}
	_, err := client.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(`{}`), metav1.PatchOptions{})
	status, isStatus := err.(apierrors.APIStatus)
	if !isStatus || status.Status().Code != http.StatusUnsupportedMediaType {
		t.Errorf("a strategic merge patch: got %v, want 415", err)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("dry")
	client := f.dynamic.Resource(deployments).Namespace(namespace)
	if said, err := f.apply(deployment(namespace, "web"), "create", "--dry-run=server"); err != nil {
		t.Fatal(said)
	}
	if _, err := client.Get(t.Context(), "web", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after a dry run of create: got %v, want not found", err)
	}
	f.create(deployments, namespace, deployment(namespace, "web"))
	for _, args := range [][]string{{"apply"}, {"apply", "--server-side", "--force-conflicts"}} {
		changed := strings.ReplaceAll(deployment(namespace, "web"), "replicas: 2", "replicas: 8")
		if said, err := f.apply(changed, append(args, "--dry-run=server")...); err != nil {
			t.Errorf("%v: %s", args, said)
		}
	}
	f.kubectl("patch", "fdeploy", "web", "-n", namespace, "--type=merge", "-p", `{"spec":{"template":{"spec":{"replicas":8}}}}`, "--dry-run=server")
	f.kubectl("delete", "fdeploy", "web", "-n", namespace, "--dry-run=server")
	if got, _, _ := unstructured.NestedInt64(f.get(deployments, namespace, "web").Object, "spec", "template", "spec", "replicas"); got != 2 {
		t.Errorf("replicas after dry runs: got %d, want 2", got)
	}
}

func TestKubectlApplyDiffAndWait(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("everyday")
	for i, want := range []string{"created", "unchanged"} {
		if said, err := f.apply(deployment(namespace, "web"), "apply"); err != nil || !strings.Contains(said, want) {
			t.Errorf("apply number %d: got %q, want %s", i+1, said, want)
		}
	}
	changed := strings.ReplaceAll(deployment(namespace, "web"), "replicas: 2", "replicas: 3")
	if said, err := f.apply(changed, "diff"); err == nil || !strings.Contains(said, "+      replicas: 3") {
		t.Errorf("diff: got %q", said)
	}
	if said, err := f.apply(changed, "apply"); err != nil || !strings.Contains(said, "configured") {
		t.Errorf("apply of a change: got %q", said)
	}
	if said, err := f.apply(changed, "replace"); err != nil || !strings.Contains(said, "replaced") {
		t.Errorf("replace: got %q", said)
	}
	f.kubectl("label", "fdeploy", "web", "-n", namespace, "team=a")
	f.kubectl("annotate", "fdeploy", "web", "-n", namespace, "note=b")
	f.kubectl("wait", "fdeploy/web", "-n", namespace, "--for=jsonpath={.metadata.labels.team}=a", "--timeout=60s")
	f.kubectl("delete", "fdeploy", "web", "-n", namespace, "--timeout=60s")
}

func TestScale(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("scale")
	f.create(deployments, namespace, deployment(namespace, "web"))
	f.kubectl("scale", "fdeploy/web", "-n", namespace, "--current-replicas=2", "--replicas=5")
	scaled := f.get(deployments, namespace, "web")
	if got, _, _ := unstructured.NestedInt64(scaled.Object, "spec", "template", "spec", "replicas"); got != 5 || scaled.GetGeneration() != 2 {
		t.Errorf("replicas and generation: got %d and %d, want 5 and 2", got, scaled.GetGeneration())
	}
	_, err := f.dynamic.Resource(deployments).Namespace(namespace).Patch(t.Context(), "web", mergePatch, []byte(`{"spec":{"replicas":-1}}`), metav1.PatchOptions{}, "scale")
	wantError(t, "a negative scale", err, `spec.replicas: Invalid value: -1: must be at least 0`)
}

func TestGenerationCountsSpecsOnly(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("generation")
	f.create(configMaps, namespace, configMap(namespace, "settings"))
	client := f.dynamic.Resource(configMaps).Namespace(namespace)
	for _, tc := range []struct {
		sentence, body string
		subresources   []string
		want           int64
	}{
		{"a label", `{"metadata":{"labels":{"a":"b"}}}`, nil, 1},
		{"a status", `{"status":{"observedGeneration":1}}`, []string{"status"}, 1},
		{"a status in a write of the object", `{"status":{"observedGeneration":9}}`, nil, 1},
		{"a template with its keys in another order", `{"spec":{"template":{"data":{"a":"b"}}}}`, nil, 1},
		{"a template", `{"spec":{"template":{"data":{"a":"c"}}}}`, nil, 2},
		{"a mask", `{"spec":{"placementMask":{"topologies":[]}}}`, nil, 3},
	} {
		patched, err := client.Patch(t.Context(), "settings", mergePatch, []byte(tc.body), metav1.PatchOptions{}, tc.subresources...)
		if err != nil {
			t.Fatalf("%s: %v", tc.sentence, err)
		}
		if got := patched.GetGeneration(); got != tc.want {
			t.Errorf("generation after %s: got %d, want %d", tc.sentence, got, tc.want)
		}
		if got, _, _ := unstructured.NestedInt64(patched.Object, "status", "observedGeneration"); got == 9 {
			t.Errorf("%s changed the status", tc.sentence)
		}
	}
}
