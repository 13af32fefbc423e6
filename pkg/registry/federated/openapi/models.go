package openapi

import (
	"maps"
	"slices"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"

	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	generatedopenapi "github.com/koinon-io/koinon/pkg/generated/openapi"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

// Models makes OpenAPI definitions of a set of kinds. It is not modified once made.
type Models struct {
	kinds   []federated.Kind
	schemas map[schema.GroupVersionKind]*targetschema.Target
}

// NewModels asks source for the schemas of all target kinds, which may take as long as
// targetschema.Source says. Templates of those that it does not know are objects of any form.
func NewModels(kinds []federated.Kind, source targetschema.Source) Models {
	gvks := []schema.GroupVersionKind{wire.ScaleKind}
	for _, k := range kinds {
		gvks = append(gvks, k.Target)
	}
	return Models{kinds: kinds, schemas: source.TargetSchemas(gvks)}
}

// Kinds are the kinds that there are definitions of.
func (m Models) Kinds() []federated.Kind { return m.kinds }

// Target returns the schema of a target kind, nil if it is not known.
func (m Models) Target(gvk schema.GroupVersionKind) *targetschema.Target { return m.schemas[gvk] }

// lenient returns models with templates in which every object may have further fields.
func (m Models) lenient() Models {
	out := Models{kinds: m.kinds, schemas: make(map[schema.GroupVersionKind]*targetschema.Target, len(m.schemas))}
	for gvk, target := range m.schemas {
		out.schemas[gvk] = preserveUnknown(target)
	}
	return out
}

// ModelName is the name of a kind's model, such as
// io.kubefed.types.v1beta2.FederatedDeployment. Of its spec it is that and "Spec".
func ModelName(gvk schema.GroupVersionKind) string {
	return "io.kubefed.types." + gvk.Version + "." + gvk.Kind
}

// shapes are the Go types that the kinds of each version are made of.
var shapes = []struct {
	version                  schema.GroupVersion
	object, objectSpec, list string
}{
	{federated.V1beta1, typesv1beta1.FederatedObject{}.OpenAPIModelName(), typesv1beta1.FederatedObjectSpec{}.OpenAPIModelName(), typesv1beta1.FederatedObjectList{}.OpenAPIModelName()},
	{federated.V1beta2, typesv1beta2.FederatedObject{}.OpenAPIModelName(), typesv1beta2.FederatedObjectSpec{}.OpenAPIModelName(), typesv1beta2.FederatedObjectList{}.OpenAPIModelName()},
}

// v2 returns the definitions for OpenAPI v2, in which templates are objects of any
// form: nobody but kubectl of before 1.27 looks, and a copy of every target schema
// would have to be merged into the host's document.
func (m Models) v2(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	return m.definitions(ref, func(federated.Kind) *targetschema.Target { return nil })
}

// v3 returns the definitions for OpenAPI v3, with templates in the schema of their kind.
func (m Models) v3(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	return m.definitions(ref, func(k federated.Kind) *targetschema.Target { return m.schemas[k.Target] })
}

func (m Models) definitions(ref common.ReferenceCallback, schemaOf func(federated.Kind) *targetschema.Target) map[string]common.OpenAPIDefinition {
	defs := generatedopenapi.GetOpenAPIDefinitions(ref)
	addScale(defs, m.schemas[wire.ScaleKind])
	for _, k := range m.kinds {
		template := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}}}
		template.AddExtension("x-kubernetes-preserve-unknown-fields", true)
		var dependencies []string
		if target := schemaOf(k); target != nil {
			addTarget(defs, target)
			template = spec.Schema{SchemaProps: spec.SchemaProps{Ref: ref(target.Root)}}
			dependencies = []string{target.Root}
		}
		for _, shape := range shapes {
			m.addKind(defs, ref, k, shape.version, defs[shape.object], defs[shape.objectSpec], defs[shape.list], template, dependencies)
		}
	}
	return defs
}

// addKind adds the object, its spec and its list for one kind and version: those of the
// shape, with a template of its own.
func (m Models) addKind(defs map[string]common.OpenAPIDefinition, ref common.ReferenceCallback, k federated.Kind, version schema.GroupVersion, object, objectSpec, list common.OpenAPIDefinition, template spec.Schema, dependencies []string) {
	objectName := ModelName(version.WithKind(k.Kind))
	specName := objectName + "Spec"

	template.Description = "Template is the " + k.Target.Kind + " to create in each target, without name and namespace."
	defs[specName] = withProperty(objectSpec, "template", template, dependencies...)

	specRef := spec.Schema{SchemaProps: spec.SchemaProps{Ref: ref(specName), Default: map[string]any{}, Description: object.Schema.Properties["spec"].Description}}
	def := withProperty(object, "spec", specRef, specName)
	def.Schema.Description = k.Kind + " is a " + k.Target.Kind + " in many places: a template, where it goes, and what differs there."
	defs[objectName] = def

	items := list.Schema.Properties["items"]
	items.Items = &spec.SchemaOrArray{Schema: &spec.Schema{SchemaProps: spec.SchemaProps{Ref: ref(objectName), Default: map[string]any{}}}}
	defs[ModelName(version.WithKind(k.ListKind()))] = withProperty(list, "items", items, objectName)
}

func withProperty(def common.OpenAPIDefinition, name string, property spec.Schema, dependencies ...string) common.OpenAPIDefinition {
	def.Schema.Properties = maps.Clone(def.Schema.Properties)
	def.Schema.Properties[name] = property
	def.Schema.Extensions = maps.Clone(def.Schema.Extensions)
	def.Dependencies = append(slices.Clone(def.Dependencies), dependencies...)
	return def
}

// scaleModelName is the name of the model of Scale, before it is made friendly.
var scaleModelName = util.GetCanonicalTypeName(&autoscalingv1.Scale{})

func addScale(defs map[string]common.OpenAPIDefinition, scale *targetschema.Target) {
	if scale != nil {
		addTarget(defs, scale)
		return
	}
	object := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Description: "Scale is autoscaling/v1 Scale."}}
	defs[scaleModelName] = common.OpenAPIDefinition{Schema: object}
}

// addTarget adds the schemas of a target kind under their own names. Where one is there
// already it is the same: both are Kubernetes'. Others do not share names, see
// targetschema.Read.
func addTarget(defs map[string]common.OpenAPIDefinition, target *targetschema.Target) {
	for name, s := range target.Schemas {
		if _, ok := defs[name]; !ok {
			defs[name] = common.OpenAPIDefinition{Schema: *s, Dependencies: targetschema.References(s)}
		}
	}
}

// definitionName adds to the models of our kinds, and to Scale, which kind they are.
func (m Models) definitionName(name string) (string, spec.Extensions) {
	friendly := targetschema.FriendlyName(name)
	if name == scaleModelName {
		return friendly, gvkExtension(wire.ScaleKind)
	}
	for _, k := range m.kinds {
		for _, version := range []schema.GroupVersion{federated.V1beta1, federated.V1beta2} {
			for _, kind := range []string{k.Kind, k.ListKind()} {
				if name == ModelName(version.WithKind(kind)) {
					return friendly, gvkExtension(version.WithKind(kind))
				}
			}
		}
	}
	return friendly, nil
}

func gvkExtension(gvk schema.GroupVersionKind) spec.Extensions {
	return spec.Extensions{"x-kubernetes-group-version-kind": []any{
		map[string]any{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind},
	}}
}
