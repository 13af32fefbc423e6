package openapi

import (
	"bytes"
	"maps"
	"sync"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

// typeConverter tells server-side apply how to merge: inside templates by the target
// kind's own list keys. Fields that the target schema does not know are merged as they
// look; whether they are welcome is for field validation to say.
func (m Models) typeConverter() (managedfields.TypeConverter, error) {
	lenient := Models{kinds: m.kinds, schemas: make(map[schema.GroupVersionKind]*targetschema.Target, len(m.schemas))}
	for gvk, target := range m.schemas {
		lenient.schemas[gvk] = preserveUnknown(target)
	}
	config := &common.OpenAPIV3Config{Info: &spec.Info{}, GetDefinitions: lenient.v3, GetDefinitionName: m.definitionName}
	var names []string
	for _, k := range m.kinds {
		names = append(names, modelName(federated.V1beta1.WithKind(k.Kind)), modelName(federated.V1beta2.WithKind(k.Kind)))
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

// NewTypeConverter returns the type converter of the models, which it asks for at the first
// write.
func NewTypeConverter(models func() Models) managedfields.TypeConverter {
	return lazyTypeConverter(sync.OnceValues(func() (managedfields.TypeConverter, error) { return models().typeConverter() }))
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
	isFederated, err := wire.WriteJSON(obj, &buf)
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
