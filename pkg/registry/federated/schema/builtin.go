package schema

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Builtin knows Kubernetes' own kinds, from the definitions that its API server
// is built with.
type Builtin common.GetOpenAPIDefinitions

// TargetSchemas returns the schemas of the kinds that Kubernetes has.
func (definitions Builtin) TargetSchemas(kinds []schema.GroupVersionKind) map[schema.GroupVersionKind]*Target {
	out := make(map[schema.GroupVersionKind]*Target, len(kinds))
	all := definitions(func(name string) spec.Ref {
		return spec.MustCreateRef(refPrefix + common.EscapeJsonPointer(FriendlyName(name)))
	})
	config := &common.OpenAPIV3Config{Info: &spec.Info{}, Definitions: all, GetDefinitionName: func(name string) (string, spec.Extensions) {
		return FriendlyName(name), nil
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
		out[gvk] = &Target{GVK: gvk, Root: FriendlyName(name), Schemas: schemas}
	}
	return out
}
