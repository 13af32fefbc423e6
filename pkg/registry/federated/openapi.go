package federated

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/emicklei/go-restful/v3"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/managedfields"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/common/restfuladapter"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	generatedopenapi "github.com/koinon-io/koinon/pkg/generated/openapi"
)

// models makes OpenAPI definitions of a set of kinds.
type models struct {
	kinds   []Kind
	schemas map[schema.GroupVersionKind]*TargetSchema
}

// modelName is io.kubefed.types.v1beta2.FederatedDeployment.
func modelName(gvk schema.GroupVersionKind) string {
	return "io.kubefed.types." + gvk.Version + "." + gvk.Kind
}

// shapes are the Go types that the kinds of each version are made of.
var shapes = []struct {
	version                  schema.GroupVersion
	object, objectSpec, list string
}{
	{V1beta1, typesv1beta1.FederatedObject{}.OpenAPIModelName(), typesv1beta1.FederatedObjectSpec{}.OpenAPIModelName(), typesv1beta1.FederatedObjectList{}.OpenAPIModelName()},
	{V1beta2, typesv1beta2.FederatedObject{}.OpenAPIModelName(), typesv1beta2.FederatedObjectSpec{}.OpenAPIModelName(), typesv1beta2.FederatedObjectList{}.OpenAPIModelName()},
}

// v2 returns the definitions for OpenAPI v2, in which templates are objects of any
// form: nobody but kubectl of before 1.27 looks, and a copy of every target schema
// would have to be merged into the host's document.
func (m models) v2(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	return m.definitions(ref, func(Kind) *TargetSchema { return nil })
}

// v3 returns the definitions for OpenAPI v3, with templates in the schema of their kind.
func (m models) v3(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	return m.definitions(ref, func(k Kind) *TargetSchema { return m.schemas[k.Target] })
}

func (m models) definitions(ref common.ReferenceCallback, schemaOf func(Kind) *TargetSchema) map[string]common.OpenAPIDefinition {
	defs := generatedopenapi.GetOpenAPIDefinitions(ref)
	addScale(defs, m.schemas[scaleKind])
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
func (m models) addKind(defs map[string]common.OpenAPIDefinition, ref common.ReferenceCallback, k Kind, version schema.GroupVersion, object, objectSpec, list common.OpenAPIDefinition, template spec.Schema, dependencies []string) {
	objectName := modelName(version.WithKind(k.Kind))
	specName := objectName + "Spec"

	template.Description = "Template is the " + k.Target.Kind + " to create in each target, without name and namespace."
	defs[specName] = withProperty(objectSpec, "template", template, dependencies...)

	specRef := spec.Schema{SchemaProps: spec.SchemaProps{Ref: ref(specName), Default: map[string]any{}, Description: object.Schema.Properties["spec"].Description}}
	def := withProperty(object, "spec", specRef, specName)
	def.Schema.Description = k.Kind + " is a " + k.Target.Kind + " in many places: a template, where it goes, and what differs there."
	defs[objectName] = def

	items := list.Schema.Properties["items"]
	items.Items = &spec.SchemaOrArray{Schema: &spec.Schema{SchemaProps: spec.SchemaProps{Ref: ref(objectName), Default: map[string]any{}}}}
	defs[modelName(version.WithKind(k.ListKind()))] = withProperty(list, "items", items, objectName)
}

func withProperty(def common.OpenAPIDefinition, name string, property spec.Schema, dependencies ...string) common.OpenAPIDefinition {
	def.Schema.Properties = maps.Clone(def.Schema.Properties)
	def.Schema.Properties[name] = property
	def.Schema.Extensions = maps.Clone(def.Schema.Extensions)
	def.Dependencies = append(slices.Clone(def.Dependencies), dependencies...)
	return def
}

// scaleKind is that of the scale subresource.
var scaleKind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")

func addScale(defs map[string]common.OpenAPIDefinition, scale *TargetSchema) {
	if scale != nil {
		addTarget(defs, scale)
		return
	}
	object := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Description: "Scale is autoscaling/v1 Scale."}}
	defs[util.GetCanonicalTypeName(&autoscalingv1.Scale{})] = common.OpenAPIDefinition{Schema: object}
}

// addTarget adds the schemas of a target kind under their own names. Where one is there
// already it is the same: both are Kubernetes'.
func addTarget(defs map[string]common.OpenAPIDefinition, target *TargetSchema) {
	for name, s := range target.Schemas {
		if _, ok := defs[name]; !ok {
			defs[name] = common.OpenAPIDefinition{Schema: *s, Dependencies: references(s)}
		}
	}
}

// references lists the names of the schemas that a schema refers to.
func references(s *spec.Schema) []string {
	var names []string
	walkSchema(s, func(s *spec.Schema) {
		if name, ok := strings.CutPrefix(s.Ref.String(), refPrefix); ok {
			names = append(names, name)
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// walkSchema visits a schema and all that are written inside it.
func walkSchema(s *spec.Schema, visit func(*spec.Schema)) {
	if s == nil {
		return
	}
	visit(s)
	for name := range s.Properties {
		p := s.Properties[name]
		walkSchema(&p, visit)
	}
	if s.Items != nil {
		walkSchema(s.Items.Schema, visit)
	}
	if s.AdditionalProperties != nil {
		walkSchema(s.AdditionalProperties.Schema, visit)
	}
	for _, list := range [][]spec.Schema{s.AllOf, s.OneOf, s.AnyOf} {
		for i := range list {
			walkSchema(&list[i], visit)
		}
	}
}

// definitionName adds to the models of our kinds which kind they are.
func (m models) definitionName(name string) (string, spec.Extensions) {
	friendly := friendlyName(name)
	for _, k := range m.kinds {
		for _, version := range []schema.GroupVersion{V1beta1, V1beta2} {
			for _, kind := range []string{k.Kind, k.ListKind()} {
				if name == modelName(version.WithKind(kind)) {
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

// typeConverter tells server-side apply how to merge: inside templates by the target
// kind's own list keys. Fields that the target schema does not know are merged as they
// look; whether they are welcome is for field validation to say.
func (m models) typeConverter() (managedfields.TypeConverter, error) {
	lenient := models{kinds: m.kinds, schemas: make(map[schema.GroupVersionKind]*TargetSchema, len(m.schemas))}
	for gvk, target := range m.schemas {
		lenient.schemas[gvk] = preserveUnknown(target)
	}
	config := &common.OpenAPIV3Config{Info: &spec.Info{}, GetDefinitions: lenient.v3, GetDefinitionName: m.definitionName}
	var names []string
	for _, k := range m.kinds {
		names = append(names, modelName(V1beta1.WithKind(k.Kind)), modelName(V1beta2.WithKind(k.Kind)))
	}
	schemas, err := builder3.BuildOpenAPIDefinitionsForResources(config, names...)
	if err != nil {
		return nil, err
	}
	library, err := managedfields.NewTypeConverter(schemas, false)
	if err != nil {
		return nil, err
	}
	return typeConverter{library}, nil
}

// preserveUnknown returns a copy in which every object may have further fields.
func preserveUnknown(target *TargetSchema) *TargetSchema {
	out := &TargetSchema{GVK: target.GVK, Root: target.Root, Schemas: make(map[string]*spec.Schema, len(target.Schemas))}
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

// lazyTypeConverter is made at the first write: until then nobody needs the schemas.
type lazyTypeConverter func() (managedfields.TypeConverter, error)

func (load lazyTypeConverter) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	converter, err := load()
	if err != nil {
		return nil, err
	}
	return converter.ObjectToTyped(obj, opts...)
}

func (load lazyTypeConverter) TypedToObject(value *typed.TypedValue) (runtime.Object, error) {
	converter, err := load()
	if err != nil {
		return nil, err
	}
	return converter.TypedToObject(value)
}

// typeConverter looks into templates, which to the library's are opaque bytes.
type typeConverter struct{ managedfields.TypeConverter }

func (c typeConverter) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	if _, ok := obj.(*autoscalingv1.Scale); ok {
		return managedfields.NewDeducedTypeConverter().ObjectToTyped(obj, opts...)
	}
	var buf bytes.Buffer
	isFederated, err := writeJSON(obj, &buf)
	if err != nil {
		return nil, err
	}
	if !isFederated {
		return c.TypeConverter.ObjectToTyped(obj, opts...)
	}
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(buf.Bytes(), &u.Object); err != nil {
		return nil, err
	}
	return c.TypeConverter.ObjectToTyped(u, opts...)
}

// routeSample stands for an object of one kind while routes are made, so that OpenAPI
// finds a model per kind although there is one Go type for all.
type routeSample struct {
	gvk schema.GroupVersionKind
}

// OpenAPIModelName is the name of the kind's model.
func (s routeSample) OpenAPIModelName() string { return modelName(s.gvk) }

// GetObjectKind and DeepCopyObject make it a runtime.Object.
func (s *routeSample) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject returns a copy.
func (s *routeSample) DeepCopyObject() runtime.Object { c := *s; return &c }

// openAPIV3 returns the document of the routes of one version.
func (m models) openAPIV3(services []*restful.WebService) (*spec3.OpenAPI, error) {
	config := genericapiserver.DefaultOpenAPIV3Config(m.v3, openapinamer.NewDefinitionNamer(runtime.NewScheme()))
	config.GetDefinitionName = m.definitionName
	config.Info.Title = "Koinon"
	return builder3.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices(services), config)
}

// openAPIV2 returns the document of the routes of both versions.
func (m models) openAPIV2(services []*restful.WebService) (*spec.Swagger, error) {
	config := genericapiserver.DefaultOpenAPIConfig(m.v2, openapinamer.NewDefinitionNamer(runtime.NewScheme()))
	config.GetDefinitionName = m.definitionName
	config.Info.Title = "Koinon"
	return builder.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices(services), config)
}

// friendlyName is the name of a model in a document. Most have one that is fit for it;
// the rest are Go type names.
func friendlyName(name string) string {
	if !strings.Contains(name, "/") {
		return name
	}
	return util.ToRESTFriendlyName(name)
}
