package federated

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// BuiltinSchemas knows Kubernetes' own kinds, from the definitions that its API server
// is built with.
type BuiltinSchemas common.GetOpenAPIDefinitions

// TargetSchemas returns the schemas of the kinds that Kubernetes has.
func (definitions BuiltinSchemas) TargetSchemas(kinds []schema.GroupVersionKind) map[schema.GroupVersionKind]*TargetSchema {
	out := make(map[schema.GroupVersionKind]*TargetSchema, len(kinds))
	all := definitions(func(name string) spec.Ref {
		return spec.MustCreateRef(refPrefix + common.EscapeJsonPointer(friendlyName(name)))
	})
	config := &common.OpenAPIV3Config{Info: &spec.Info{}, Definitions: all, GetDefinitionName: func(name string) (string, spec.Extensions) {
		return friendlyName(name), nil
	}}
	for _, gvk := range kinds {
		obj, err := clientgoscheme.Scheme.New(gvk)
		if err != nil {
			continue // not one of Kubernetes' own
		}
		name := util.GetCanonicalTypeName(obj)
		schemas, err := builder3.BuildOpenAPIDefinitionsForResources(config, name)
		if err != nil {
			continue // without definition, as in builds that leave kinds out
		}
		out[gvk] = &TargetSchema{GVK: gvk, Root: friendlyName(name), Schemas: schemas}
	}
	return out
}

// FirstOf asks one source after the other for what those before it did not know.
func FirstOf(sources ...SchemaSource) SchemaSource { return firstOf(sources) }

type firstOf []SchemaSource

func (sources firstOf) TargetSchemas(kinds []schema.GroupVersionKind) map[schema.GroupVersionKind]*TargetSchema {
	out := make(map[schema.GroupVersionKind]*TargetSchema, len(kinds))
	for _, source := range sources {
		var missing []schema.GroupVersionKind
		for _, gvk := range kinds {
			if out[gvk] == nil {
				missing = append(missing, gvk)
			}
		}
		if len(missing) == 0 {
			break
		}
		for gvk, s := range source.TargetSchemas(missing) {
			out[gvk] = s
		}
	}
	return out
}
