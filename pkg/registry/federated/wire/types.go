package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sync/atomic"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiconversion "k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// Types is to the federated kinds what a runtime.Scheme is to built-in ones: it names,
// makes, converts and defaults objects. A scheme will not do: it ties a kind to a Go
// type of its own, and may not change while it is in use.
//
// The internal version, hub of all conversion, is v1beta2.
type Types struct {
	kinds atomic.Pointer[map[string]bool] // kinds and list kinds
	meta  *runtime.Scheme                 // options, Status, WatchEvent, Scale, TargetObject
}

// ScaleKind is the kind of the scale subresource, autoscaling/v1 Scale.
var ScaleKind = autoscalingv1.SchemeGroupVersion.WithKind("Scale")

var (
	_ runtime.ObjectTyper     = &Types{}
	_ runtime.ObjectCreater   = &Types{}
	_ runtime.ObjectConvertor = &Types{}
	_ runtime.ObjectDefaulter = &Types{}
)

// NewTypes returns Types that know no kind yet.
func NewTypes() *Types {
	meta := runtime.NewScheme()
	metav1.AddToGroupVersion(meta, schema.GroupVersion{Version: "v1"})
	metav1.AddToGroupVersion(meta, federated.V1beta1)
	metav1.AddToGroupVersion(meta, federated.V1beta2)
	utilruntime.Must(metainternalversion.AddToScheme(meta))
	utilruntime.Must(autoscalingv1.AddToScheme(meta))
	utilruntime.Must(federationv1alpha1.AddTargetsToScheme(meta))
	meta.AddKnownTypes(schema.GroupVersion{Version: "v1"}, &federationv1alpha1.TargetObjectOptions{}) // where options are looked for
	meta.AddKnownTypes(schema.GroupVersion{Group: autoscalingv1.GroupName, Version: runtime.APIVersionInternal}, &autoscalingv1.Scale{})
	// One Go type for both versions; a scheme does not know by itself how to copy.
	utilruntime.Must(meta.AddConversionFunc((*autoscalingv1.Scale)(nil), (*autoscalingv1.Scale)(nil), func(in, out any, _ apiconversion.Scope) error {
		in.(*autoscalingv1.Scale).DeepCopyInto(out.(*autoscalingv1.Scale))
		return nil
	}))
	t := &Types{meta: meta}
	t.SetKinds(nil)
	return t
}

// SetKinds replaces the kinds that New makes objects of. Objects that exist already
// are not affected.
func (t *Types) SetKinds(kinds []federated.Kind) {
	known := make(map[string]bool, 2*len(kinds))
	for _, k := range kinds {
		known[k.Kind], known[k.ListKind()] = true, true
	}
	t.kinds.Store(&known)
}

// ParameterCodec decodes the options of requests.
func (t *Types) ParameterCodec() runtime.ParameterCodec { return runtime.NewParameterCodec(t.meta) }

// ObjectKinds returns the kind that the object itself names. An object that names none
// is not registered.
func (t *Types) ObjectKinds(obj runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	switch obj.(type) {
	case *typesv1beta2.FederatedObject, *typesv1beta2.FederatedObjectList,
		*typesv1beta1.FederatedObject, *typesv1beta1.FederatedObjectList, runtime.Unstructured:
		gvk := obj.GetObjectKind().GroupVersionKind()
		if gvk.Kind == "" {
			// Storage decodes into objects that it made by reflection. Decoders take this
			// error as a word to fill such an object with what they find.
			return nil, false, runtime.NewNotRegisteredErrForType("federated kinds", reflect.TypeOf(obj))
		}
		return []schema.GroupVersionKind{gvk}, false, nil
	}
	return t.meta.ObjectKinds(obj)
}

// Recognizes reports whether New makes objects of this kind.
func (t *Types) Recognizes(gvk schema.GroupVersionKind) bool {
	return t.IsFederated(gvk) || t.meta.Recognizes(gvk)
}

// IsFederated reports whether the kind is one of those set, or the kind of a list of them,
// in any version.
func (t *Types) IsFederated(gvk schema.GroupVersionKind) bool {
	return gvk.Group == federated.GroupName && (*t.kinds.Load())[gvk.Kind]
}

// New makes an empty object that names its kind.
func (t *Types) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	if !t.IsFederated(gvk) {
		return t.meta.New(gvk)
	}
	obj, err := newObject(gvk)
	if err != nil {
		return nil, err
	}
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	return obj, nil
}

func newObject(gvk schema.GroupVersionKind) (runtime.Object, error) {
	isList := len(gvk.Kind) > len("List") && gvk.Kind[len(gvk.Kind)-len("List"):] == "List"
	switch gvk.Version {
	case federated.V1beta1.Version:
		if isList {
			return &typesv1beta1.FederatedObjectList{}, nil
		}
		return &typesv1beta1.FederatedObject{}, nil
	case federated.V1beta2.Version, runtime.APIVersionInternal:
		if isList {
			return &typesv1beta2.FederatedObjectList{}, nil
		}
		return &typesv1beta2.FederatedObject{}, nil
	}
	return nil, runtime.NewNotRegisteredGVKErrForTarget("federated kinds", gvk, nil)
}

// Default sets what is left out.
func (t *Types) Default(obj runtime.Object) {
	if o, ok := obj.(*typesv1beta2.FederatedObject); ok {
		conversion.SetDefaults(o)
	}
}

// ConvertToVersion returns the object in the version that target picks. It may return
// obj itself, and what it returns may share with obj: neither may be modified.
func (t *Types) ConvertToVersion(obj runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	from := obj.GetObjectKind().GroupVersionKind()
	switch o := obj.(type) {
	case runtime.Unstructured:
		if from.Group != federated.GroupName {
			if from == ScaleKind {
				return t.meta.UnsafeConvertToVersion(obj, target)
			}
			return obj, nil
		}
		typed, err := fromUnstructured(o)
		if err != nil {
			return nil, err
		}
		return t.ConvertToVersion(typed, target)
	case *typesv1beta2.FederatedObject, *typesv1beta1.FederatedObject,
		*typesv1beta2.FederatedObjectList, *typesv1beta1.FederatedObjectList:
	default:
		return t.meta.UnsafeConvertToVersion(obj, target)
	}
	to, ok := pickVersion(from, target)
	if !ok {
		return nil, runtime.NewNotRegisteredErrForTarget("federated kinds", nil, target)
	}
	return convert(obj, to)
}

// pickVersion is what target wants of the versions that a federated kind has.
func pickVersion(from schema.GroupVersionKind, target runtime.GroupVersioner) (schema.GroupVersionKind, bool) {
	return target.KindForGroupVersionKinds([]schema.GroupVersionKind{from,
		federated.V1beta2.WithKind(from.Kind), federated.V1beta1.WithKind(from.Kind),
		{Group: federated.GroupName, Version: runtime.APIVersionInternal, Kind: from.Kind}})
}

// convert turns a typed object or list into the version of to.
func convert(obj runtime.Object, to schema.GroupVersionKind) (runtime.Object, error) {
	toV1beta1 := to.Version == federated.V1beta1.Version
	switch o := obj.(type) {
	case *typesv1beta2.FederatedObject:
		if toV1beta1 {
			return conversion.ToV1beta1(o)
		}
	case *typesv1beta1.FederatedObject:
		if !toV1beta1 {
			return conversion.ToV1beta2(o)
		}
	case *typesv1beta2.FederatedObjectList:
		if toV1beta1 {
			return listToV1beta1(o)
		}
	case *typesv1beta1.FederatedObjectList:
		if !toV1beta1 {
			return listToV1beta2(o)
		}
	}
	return obj, nil
}

// listToV1beta1 converts the items; templates are shared.
func listToV1beta1(in *typesv1beta2.FederatedObjectList) (*typesv1beta1.FederatedObjectList, error) {
	out := &typesv1beta1.FederatedObjectList{
		TypeMeta: metav1.TypeMeta{Kind: in.Kind, APIVersion: federated.V1beta1.String()},
		ListMeta: in.ListMeta,
		Items:    make([]typesv1beta1.FederatedObject, len(in.Items)),
	}
	for i := range in.Items {
		if err := conversion.ToV1beta1Into(&in.Items[i], &out.Items[i]); err != nil {
			return nil, fmt.Errorf("convert %s %s/%s to v1beta1: %w", in.Items[i].Kind, in.Items[i].Namespace, in.Items[i].Name, err)
		}
	}
	return out, nil
}

// listToV1beta2 is its reverse.
func listToV1beta2(in *typesv1beta1.FederatedObjectList) (*typesv1beta2.FederatedObjectList, error) {
	out := &typesv1beta2.FederatedObjectList{
		TypeMeta: metav1.TypeMeta{Kind: in.Kind, APIVersion: federated.V1beta2.String()},
		ListMeta: in.ListMeta,
		Items:    make([]typesv1beta2.FederatedObject, len(in.Items)),
	}
	for i := range in.Items {
		item, err := conversion.ToV1beta2(&in.Items[i])
		if err != nil {
			return nil, fmt.Errorf("convert %s %s/%s to v1beta2: %w", in.Items[i].Kind, in.Items[i].Namespace, in.Items[i].Name, err)
		}
		out.Items[i] = *item
	}
	return out, nil
}

func fromUnstructured(u runtime.Unstructured) (runtime.Object, error) {
	obj, err := newObject(u.GetObjectKind().GroupVersionKind())
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(u.UnstructuredContent())
	if err != nil {
		return nil, err
	}
	return obj, json.Unmarshal(data, obj)
}

// Convert sets out to what in says. Federated objects and lists may be of either version on
// both sides, typed or unstructured; out says by its Go type which version is wanted, or, if
// it is unstructured, by the version that it names. All else are Scales and the options of
// requests.
//
// What out held before is lost, but for its kind: that of in must be the same. The parts of
// in may be shared with out afterwards.
func (t *Types) Convert(in, out, context any) error {
	obj, ok := in.(runtime.Object)
	if !ok {
		return t.meta.Convert(in, out, context)
	}
	switch into := out.(type) {
	case *typesv1beta2.FederatedObject:
		return convertInto(t, obj, into, federated.V1beta2)
	case *typesv1beta1.FederatedObject:
		return convertInto(t, obj, into, federated.V1beta1)
	case *typesv1beta2.FederatedObjectList:
		return convertInto(t, obj, into, federated.V1beta2)
	case *typesv1beta1.FederatedObjectList:
		return convertInto(t, obj, into, federated.V1beta1)
	case runtime.Unstructured:
		if obj.GetObjectKind().GroupVersionKind().Group == federated.GroupName {
			return t.toUnstructured(obj, into)
		}
	}
	return t.meta.Convert(in, out, context)
}

// convertInto converts to version, whose Go type is T.
func convertInto[T any, P interface {
	*T
	runtime.Object
}](t *Types, in runtime.Object, out P, version schema.GroupVersion) error {
	converted, err := t.ConvertToVersion(in, version)
	if err != nil {
		return err
	}
	typed, ok := converted.(P)
	if !ok {
		return fmt.Errorf("a %T cannot be converted to a %T", in, out)
	}
	if err := sameKind(typed, out); err != nil {
		return err
	}
	*out = *typed
	return nil
}

// sameKind refuses one kind for another. All have one Go type, so the library would take
// any of them for any other.
func sameKind(in, out runtime.Object) error {
	is, want := in.GetObjectKind().GroupVersionKind().Kind, out.GetObjectKind().GroupVersionKind().Kind
	if want != "" && is != want {
		return fmt.Errorf("%s and %s are two kinds", is, want)
	}
	return nil
}

func (t *Types) toUnstructured(in runtime.Object, out runtime.Unstructured) error {
	version := out.GetObjectKind().GroupVersionKind().GroupVersion()
	if version.Empty() {
		version = in.GetObjectKind().GroupVersionKind().GroupVersion()
	}
	converted, err := t.ConvertToVersion(in, version)
	if err != nil {
		return err
	}
	if err := sameKind(converted, out); err != nil {
		return err
	}
	var buf bytes.Buffer
	if _, err := WriteJSON(converted, &buf); err != nil {
		return err
	}
	var content map[string]any
	if err := utiljson.Unmarshal(buf.Bytes(), &content); err != nil {
		return err
	}
	out.SetUnstructuredContent(content)
	return nil
}

// ConvertFieldLabel allows the field selectors metadata.name and metadata.namespace.
func (t *Types) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return runtime.DefaultMetaV1FieldSelectorConversion(label, value)
}
