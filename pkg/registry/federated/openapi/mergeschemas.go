package openapi

import (
	"maps"

	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
)

// MergeSchemas returns the schemas of all kinds in both versions, and all that they refer
// to, for server-side apply, which merges inside templates by the target kind's own list
// keys. The schema of a kind is found by ModelName. Fields that a target schema does not
// know are merged as they look; whether they are welcome is for field validation to say.
func (m Models) MergeSchemas() (map[string]*spec.Schema, error) {
	config := &common.OpenAPIV3Config{Info: &spec.Info{}, GetDefinitions: m.lenient().v3, GetDefinitionName: m.definitionName}
	var names []string
	for _, k := range m.kinds {
		names = append(names, ModelName(federated.V1beta1.WithKind(k.Kind)), ModelName(federated.V1beta2.WithKind(k.Kind)))
	}
	return builder3.BuildOpenAPIDefinitionsForResources(config, names...)
}

// preserveUnknown returns a copy in which every object may have further fields.
func preserveUnknown(target *targetschema.Target) *targetschema.Target {
	out := &targetschema.Target{GVK: target.GVK, Root: target.Root, Schemas: make(map[string]*spec.Schema, len(target.Schemas))}
	for name, s := range target.Schemas {
		copied := *s
		if len(s.Properties) > 0 {
			copied.Extensions = maps.Clone(s.Extensions)
			copied.AddExtension("x-kubernetes-preserve-unknown-fields", true)
		}
		out.Schemas[name] = &copied
	}
	return out
}
