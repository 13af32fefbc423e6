package ownership

import (
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/schemaconv"
	"k8s.io/kube-openapi/pkg/validation/spec"
	mergeschema "sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/openapi"
)

// mergeTypes say how objects merge: which lists have keys, and what is atomic.
type mergeTypes struct {
	// written are the types of what clients send.
	written map[schema.GroupVersionKind]typed.ParseableType
	// tracked are the types in the tracked shape, by kind.
	tracked map[string]typed.ParseableType
}

func newMergeTypes(m openapi.Models) (*mergeTypes, error) {
	schemas, err := m.MergeSchemas()
	if err != nil {
		return nil, err
	}
	for _, k := range m.Kinds() {
		if schemas[trackedModel(k.Kind)], err = trackedSchema(schemas, k.Kind); err != nil {
			return nil, err
		}
	}
	converted, err := schemaconv.ToSchemaFromOpenAPI(schemas, false)
	if err != nil {
		return nil, fmt.Errorf("convert the schemas of federated kinds: %w", err)
	}
	parser := typed.Parser{Schema: mergeschema.Schema{Types: converted.Types}}
	out := &mergeTypes{written: map[schema.GroupVersionKind]typed.ParseableType{}, tracked: map[string]typed.ParseableType{}}
	for _, k := range m.Kinds() {
		for _, version := range []schema.GroupVersion{federated.V1beta1, federated.V1beta2} {
			gvk := version.WithKind(k.Kind)
			out.written[gvk] = parser.Type(openapi.ModelName(gvk))
		}
		out.tracked[k.Kind] = parser.Type(trackedModel(k.Kind))
	}
	return out, nil
}

// trackedModel is the name of a kind's schema in the tracked shape.
func trackedModel(kind string) string {
	return openapi.ModelName(federated.V1beta2.WithKind(kind)) + "Tracked"
}

// trackedSchema is that of v1beta2, but for the overrides.
func trackedSchema(schemas map[string]*spec.Schema, kind string) (*spec.Schema, error) {
	model := openapi.ModelName(federated.V1beta2.WithKind(kind))
	object, ofSpec := schemas[model], schemas[model+"Spec"]
	if object == nil || ofSpec == nil {
		return nil, fmt.Errorf("there is no schema of %s", model)
	}
	return withProperty(object, "spec", *withProperty(ofSpec, overridesField, trackedOverrides)), nil
}

func withProperty(s *spec.Schema, name string, property spec.Schema) *spec.Schema {
	out := *s
	out.Properties = maps.Clone(s.Properties)
	out.Properties[name] = property
	return &out
}

var trackedOverrides = spec.Schema{SchemaProps: spec.SchemaProps{
	Type: []string{"object"},
	Properties: map[string]spec.Schema{
		byNameField:     atomicList,
		bySelectorField: atomicList,
		orderField:      {SchemaProps: spec.SchemaProps{Type: []string{"string"}}},
	},
}}

// atomicList has items of any form: what clients send is checked as they wrote it.
var atomicList = spec.Schema{
	SchemaProps: spec.SchemaProps{
		Type:  []string{"array"},
		Items: &spec.SchemaOrArray{Schema: &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}}}},
	},
	VendorExtensible: spec.VendorExtensible{Extensions: spec.Extensions{"x-kubernetes-list-type": "atomic"}},
}
