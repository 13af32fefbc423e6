package quickstart

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/artifacts/examples"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestExamplesAreWhatTheTypesSay(t *testing.T) {
	objects, err := loadExamples(examples.Files)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, object := range objects {
		got = append(got, object.GetKind()+" "+object.GetName())
		strict(t, object)
	}
	want := []string{
		"Namespace shop", "FederatedNamespace shop", // before what is in it
		"Cell rz00a", "Cell rz01a", "Cell rz01b",
		"FederatedService web", "FederatedConfigMap settings", "FederatedDeployment web",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("examples (-want +got):\n%s", diff)
	}
}

// strict decodes an example as its Go type and refuses fields that the type lacks.
func strict(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	into := map[string]any{
		"federation.koinon.io/v1alpha1": &federationv1alpha1.Cell{},
		"types.kubefed.io/v1beta1":      &v1beta1.FederatedObject{},
		"types.kubefed.io/v1beta2":      &v1beta2.FederatedObject{},
	}[object.GetAPIVersion()]
	if into == nil {
		return
	}
	data, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
}

func TestLoadExamples(t *testing.T) {
	files := fstest.MapFS{
		"b.yaml": {Data: []byte("kind: Third\napiVersion: v1\n")},
		"a.yaml": {Data: []byte("# a comment\nkind: First\napiVersion: v1\n---\nkind: Second\napiVersion: v1\n")},
		"c.txt":  {Data: []byte("not ours")},
	}
	objects, err := loadExamples(files)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, object := range objects {
		kinds = append(kinds, object.GetKind())
	}
	if want := []string{"First", "Second", "Third"}; !slices.Equal(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
	if _, err := loadExamples(fstest.MapFS{"x.yaml": {Data: []byte("a: [")}}); err == nil {
		t.Error("broken YAML was taken")
	}
}

func TestExamplesAreMadeAsKubectlApplyMakesThem(t *testing.T) {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "shop", "name": "a"}, "data": map[string]any{"k": "v"},
	}}
	applied, err := withLastApplied(object)
	if err != nil {
		t.Fatal(err)
	}
	// This is what kubectl writes, to the byte.
	want := map[string]string{"kubectl.kubernetes.io/last-applied-configuration": `{"apiVersion":"v1","data":{"k":"v"},"kind":"ConfigMap","metadata":{"annotations":{},"name":"a","namespace":"shop"}}` + "\n"}
	if diff := cmp.Diff(want, applied.GetAnnotations()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(object.GetAnnotations()) > 0 {
		t.Error("the example itself was changed")
	}
}
