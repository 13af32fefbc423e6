package objectstore

import (
	"context"
	"iter"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/mistakes"
	"github.com/koinon-io/koinon/pkg/apis/names"
)

// createStrategy checks what a new object is called, and tells no more mistakes than help.
type createStrategy struct {
	rest.RESTCreateStrategy
	names names.Rule
}

// Validate has errors for the name, unless the kind says more about it.
func (s createStrategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	path := field.NewPath("metadata")
	meta, err := apimeta.Accessor(obj)
	if err != nil {
		return field.ErrorList{field.InternalError(path, err)}
	}
	if errs := metadataMistakes(meta); len(errs) > 0 {
		return errs
	}
	errs := s.RESTCreateStrategy.Validate(ctx, obj)
	if !slices.ContainsFunc(errs, func(e *field.Error) bool { return e.Field == path.Child("name").String() }) {
		errs = append(names.Validate(meta, s.names, path), errs...)
	}
	return mistakes.First(errs)
}

// updateStrategy tells no more mistakes than help.
type updateStrategy struct{ rest.RESTUpdateStrategy }

// ValidateUpdate returns the first of the kind's errors.
func (s updateStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	return mistakes.First(s.RESTUpdateStrategy.ValidateUpdate(ctx, obj, old))
}

// withMetadataCheck refuses an object with more mistakes in its metadata than are told. The
// library looks for them before it asks the strategy, and tells them all.
func withMetadataCheck(store *genericregistry.Store, info rest.UpdatedObjectInfo) rest.UpdatedObjectInfo {
	return rest.WrapUpdatedObjectInfo(info, func(_ context.Context, obj, _ runtime.Object) (runtime.Object, error) {
		meta, err := apimeta.Accessor(obj)
		if err != nil {
			return nil, err
		}
		if errs := metadataMistakes(meta); len(errs) > 0 {
			kinds, _, err := store.CreateStrategy.ObjectKinds(obj)
			if err != nil {
				return nil, err
			}
			return nil, apierrors.NewInvalid(kinds[0].GroupKind(), meta.GetName(), errs)
		}
		return obj, nil
	})
}

// metadataMistakes returns the mistakes in the metadata of an object if there are more than are
// told, and nil if there are not: the library will find those. Labels, owner references and the
// like have no number of their own that is too high.
func metadataMistakes(meta metav1.Object) (errs field.ErrorList) {
	entries := len(meta.GetLabels()) + len(meta.GetAnnotations()) + len(meta.GetFinalizers()) + len(meta.GetOwnerReferences()) + len(meta.GetManagedFields())
	if entries <= mistakes.Max { // a few for each, at most
		return nil
	}
	anyName := func(string, bool) []string { return nil }
	for part := range partsOf(meta) {
		errs = append(errs, apivalidation.ValidateObjectMetaAccessor(part, false, anyName, field.NewPath("metadata"))...)
		if len(errs) > mistakes.Max {
			return mistakes.First(errs)
		}
	}
	return nil
}

// partsOf divides the metadata of an object, so that not all of them are looked at if the first
// are bad enough.
func partsOf(meta metav1.Object) iter.Seq[*metav1.ObjectMeta] {
	const name = "any"
	return func(yield func(*metav1.ObjectMeta) bool) {
		for labels := range chunks(meta.GetLabels()) {
			if !yield(&metav1.ObjectMeta{Name: name, Labels: labels}) {
				return
			}
		}
		for annotations := range chunks(meta.GetAnnotations()) {
			if !yield(&metav1.ObjectMeta{Name: name, Annotations: annotations}) {
				return
			}
		}
		yield(&metav1.ObjectMeta{Name: name, Finalizers: meta.GetFinalizers(), OwnerReferences: meta.GetOwnerReferences(), ManagedFields: meta.GetManagedFields()})
	}
}

// chunks divides a map into maps of a thousand entries.
func chunks(m map[string]string) iter.Seq[map[string]string] {
	const size = 1000
	return func(yield func(map[string]string) bool) {
		chunk := make(map[string]string, min(size, len(m)))
		for key, value := range m {
			if chunk[key] = value; len(chunk) == size {
				if !yield(chunk) {
					return
				}
				chunk = make(map[string]string, size)
			}
		}
		yield(chunk)
	}
}
