package api_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// definition is a CRD with one version.
func definition(plural, group, version, kind string) string {
	return `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: ` + plural + `.` + group + `},
		spec: {group: ` + group + `, scope: Namespaced, names: {plural: ` + plural + `, kind: ` + kind + `}, versions: [{name: ` + version + `,
		served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`
}

// KubeFed's chart, artifacts/crds and kubefedctl enable all bring CRDs of groups that are
// served here.
func TestACRDOfAServedGroupIsRefusedWithWhatToDoInstead(t *testing.T) {
	f := newFixture(t)
	for name, manifest := range map[string]string{
		"of KubeFed's chart":                definition("kubefedclusters", "core.kubefed.io", "v1beta1", "KubeFedCluster"),
		"of a federated kind":               definition("federatedconfigmaps", "types.kubefed.io", "v1beta1", "FederatedConfigMap"),
		"of a version that is not served":   definition("federatedthings", "types.kubefed.io", "v1", "FederatedThing"),
		"of a kind that is not served":      definition("things", "scheduling.kubefed.io", "v1alpha1", "Thing"),
		"of our own groups":                 definition("cells", "federation.koinon.io", "v1", "Cell"),
		"of the group for units":            definition("things", "edge.koinon.io", "v1alpha1", "Thing"),
		"of the group that CRDs are of too": strings.Replace(definition("customresourcedefinitions", "apiextensions.k8s.io", "v2", "CustomResourceDefinition"), "metadata: {", "metadata: {annotations: {api-approved.kubernetes.io: 'https://github.com/kubernetes/kubernetes/pull/1'}, ", 1),
	} {
		t.Run(name, func(t *testing.T) {
			crd := f.parse(manifest)
			_, err := f.dynamic.Resource(definitions).Create(t.Context(), crd, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "so there is nothing to install: leave the CustomResourceDefinition out") {
				t.Errorf("dry run: got %v", err)
			}
			said, err := f.apply(manifest, "apply", "--server-side")
			if err == nil || !strings.Contains(said, "spec.group: Forbidden: this server serves the group") {
				t.Errorf("kubectl apply: got %q", said)
			}
			if _, err := f.dynamic.Resource(definitions).Get(t.Context(), crd.GetName(), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("it was stored: %v", err)
			}
		})
	}
	if got := f.kubectl("get", "--raw", "/apis/types.kubefed.io"); strings.Contains(got, `"types.kubefed.io/v1"`) {
		t.Errorf("the group lists a version that is not served: %s", got)
	}
}
