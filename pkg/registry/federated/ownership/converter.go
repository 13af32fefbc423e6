package ownership

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/openapi"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

// hub is what the library calls the version that objects are in, in memory.
var hub = schema.GroupVersion{Group: federated.GroupName, Version: runtime.APIVersionInternal}

// Converter shows objects of all federated kinds, and Scales, to field managers.
type Converter struct {
	*wire.Types
	load func() (*mergeTypes, error)
}

var (
	_ managedfields.TypeConverter = &Converter{}
	_ runtime.ObjectConvertor     = &Converter{}
)

// NewConverter returns a converter that asks for the models at the first write: until then
// nobody needs the schemas.
func NewConverter(types *wire.Types, models func() openapi.Models) *Converter {
	return &Converter{Types: types, load: sync.OnceValues(func() (*mergeTypes, error) { return newMergeTypes(models()) })}
}

// scaleTypes are those of Scales, whose fields are told by their values.
var scaleTypes = managedfields.NewDeducedTypeConverter()

// ObjectToTyped takes views, what a client applies, and Scales. What is applied is checked as
// it was written first, so that errors are in the words of its version.
func (c *Converter) ObjectToTyped(obj runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	gvk := obj.GetObjectKind().GroupVersionKind()
	if gvk.GroupKind() == wire.ScaleKind.GroupKind() {
		return scaleTypes.ObjectToTyped(obj, opts...)
	}
	types, err := c.load()
	if err != nil {
		return nil, err
	}
	tracked, ok := types.tracked[gvk.Kind]
	if !ok {
		return nil, runtime.NewNotRegisteredErrForKind("federated kinds", gvk)
	}
	switch o := obj.(type) {
	case *view:
		// A template that holds duplicates is stored as it is; only who applies may not.
		value, err := tracked.FromUnstructured(o.Object, typed.AllowDuplicates)
		return value, withoutValues(err)
	case *unstructured.Unstructured:
		written, ok := types.written[gvk]
		if !ok {
			return nil, runtime.NewNotRegisteredErrForKind("federated kinds", gvk)
		}
		if _, err := written.FromUnstructured(o.Object, opts...); err != nil {
			return nil, withoutValues(err)
		}
		value, err := tracked.FromUnstructured(configView(o).Object, opts...)
		return value, withoutValues(err)
	}
	return nil, fmt.Errorf("cannot track the fields of %T", obj)
}

// maxMisfits is how many fields of another type are told.
const maxMisfits = 10

// withoutValues returns an error about the types of fields without what is in them: the library
// logs it, and answers it to who applies, and so it is in audit logs; some are of Secrets.
func withoutValues(err error) error {
	var misfits typed.ValidationErrors
	if !errors.As(err, &misfits) {
		return err
	}
	out := make(typed.ValidationErrors, 0, min(len(misfits), maxMisfits))
	for _, misfit := range misfits[:min(len(misfits), maxMisfits)] {
		misfit.ErrorMessage, _, _ = strings.Cut(misfit.ErrorMessage, ", got ")
		out = append(out, misfit)
	}
	return out
}

// TypedToObject returns a view or, of a Scale, its fields.
func (c *Converter) TypedToObject(value *typed.TypedValue) (runtime.Object, error) {
	obj, err := scaleTypes.TypedToObject(value)
	if err != nil {
		return nil, err
	}
	if u, ok := obj.(*unstructured.Unstructured); ok && u.GroupVersionKind().Group == federated.GroupName {
		return &view{*u}, nil
	}
	return obj, nil
}

// ConvertToVersion does what a field manager asks for. Objects become views; and a view that
// is to become what it is, which is the result of an apply, becomes an object, with names in
// the words of its APIVersion. An error for any other version makes the field manager drop
// entries in it.
func (c *Converter) ConvertToVersion(obj runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	switch o := obj.(type) {
	case *view:
		if to, ok := versionOf(o, target); !ok || to != o.GroupVersionKind().GroupVersion() {
			return nil, runtime.NewNotRegisteredErrForTarget("federated kinds", nil, target)
		}
		return o.object()
	case *typesv1beta2.FederatedObject:
		switch to, ok := versionOf(o, target); {
		case !ok:
			return nil, runtime.NewNotRegisteredErrForTarget("federated kinds", nil, target)
		case to == hub:
			return o, nil
		default:
			return newView(o, to)
		}
	case *typesv1beta1.FederatedObject: // an empty one, to compare a new object with
		converted, err := conversion.ToV1beta2(o)
		if err != nil {
			return nil, err
		}
		return c.ConvertToVersion(converted, target)
	case *unstructured.Unstructured: // the result of applying a Scale
		scale := &autoscalingv1.Scale{}
		return scale, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, scale)
	}
	return c.Types.ConvertToVersion(obj, target)
}

// versionOf is the version that target wants.
func versionOf(obj runtime.Object, target runtime.GroupVersioner) (schema.GroupVersion, bool) {
	kind := obj.GetObjectKind().GroupVersionKind().Kind
	to, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{
		federated.V1beta2.WithKind(kind), federated.V1beta1.WithKind(kind), hub.WithKind(kind)})
	gv := to.GroupVersion()
	return gv, ok && (gv == federated.V1beta1 || gv == federated.V1beta2 || gv == hub)
}
