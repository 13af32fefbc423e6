package openapi

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"

	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
)

// pods are a target kind with a list that is merged by name.
var pods = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}

type podSchema struct{}

func (podSchema) TargetSchemas([]schema.GroupVersionKind) map[schema.GroupVersionKind]*targetschema.Target {
	object := func(properties map[string]spec.Schema) *spec.Schema {
		return &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: properties}}
	}
	containers := *spec.ArrayProperty(object(map[string]spec.Schema{"name": *spec.StringProperty(), "image": *spec.StringProperty()}))
	containers.AddExtension("x-kubernetes-list-type", "map")
	containers.AddExtension("x-kubernetes-list-map-keys", []any{"name"})
	return map[schema.GroupVersionKind]*targetschema.Target{pods: {
		GVK: pods, Root: "test.Pod",
		Schemas: map[string]*spec.Schema{"test.Pod": object(map[string]spec.Schema{"spec": *spec.RefProperty("#/components/schemas/test.PodSpec")}),
			"test.PodSpec": object(map[string]spec.Schema{"containers": containers})},
	}}
}

// A mutating policy that applies does so with the schemas of the published document, on
// objects as they are in Go.
func TestPoliciesApplyInsideTemplatesByThePublishedDocument(t *testing.T) {
	models := NewModels([]federated.Kind{{Kind: "FederatedPod", Resource: "federatedpods", Namespaced: true, Target: pods}}, podSchema{})
	config := &common.OpenAPIV3Config{Info: &spec.Info{}, GetDefinitions: models.lenient().v3, GetDefinitionName: models.definitionName}
	for version, object := range map[schema.GroupVersion]runtime.Object{
		federated.V1beta1: &typesv1beta1.FederatedObject{}, federated.V1beta2: &typesv1beta2.FederatedObject{},
	} {
		t.Run(version.Version, func(t *testing.T) {
			schemas, err := builder3.BuildOpenAPIDefinitionsForResources(config, ModelName(version.WithKind("FederatedPod")))
			if err != nil {
				t.Fatal(err)
			}
			converter, err := managedfields.NewTypeConverter(schemas, false)
			if err != nil {
				t.Fatal(err)
			}
			const manifest = `{"metadata":{"name":"web"},"spec":{"template":{"spec":{"containers":[{"name":"main","image":"main:1"}],"unknown":{"kept":true}}}}}`
			if err := json.Unmarshal([]byte(manifest), object); err != nil {
				t.Fatal(err)
			}
			object.GetObjectKind().SetGroupVersionKind(version.WithKind("FederatedPod"))
			applied := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"name": "sidecar", "image": "sidecar:1"}},
			}}}}}
			applied.SetGroupVersionKind(version.WithKind("FederatedPod"))
			got, err := patch.ApplyStructuredMergeDiff(converter, object, applied)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"name": "main", "image": "main:1"}, map[string]any{"name": "sidecar", "image": "sidecar:1"}},
				"unknown":    map[string]any{"kept": true},
			}}
			template, _, err := unstructured.NestedMap(got.(*unstructured.Unstructured).Object, "spec", "template")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, template); diff != "" {
				t.Errorf("template (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheDocumentOfScaleNamesItsKind(t *testing.T) {
	doc, err := NewModels(nil, podSchema{}).ScaleDocumentV3()
	if err != nil {
		t.Fatal(err)
	}
	converter, err := managedfields.NewTypeConverter(doc.Components.Schemas, false)
	if err != nil {
		t.Fatal(err)
	}
	scale := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(1)}}}
	scale.SetAPIVersion("autoscaling/v1")
	scale.SetKind("Scale")
	if _, err := converter.ObjectToTyped(scale); err != nil {
		t.Error(err)
	}
}
