package strategy

import (
	"bytes"
	"context"
	"errors"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/validation"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

// PlacementChecker knows which targets there are. It serves admission: what it refuses
// is not stored.
type PlacementChecker interface {
	// CheckPlacement returns errors for targets that are another tenant's, and warnings
	// for targets that do not exist (yet). Paths and names are in the words of version.
	CheckPlacement(ctx context.Context, obj *typesv1beta2.FederatedObject, version string) (field.ErrorList, []string)
}

// strategy is what is special to federated objects when they are written.
type strategy struct {
	*wire.Types
	names.NameGenerator
	kind      federated.Kind
	schema    func() *schema.Target
	placement PlacementChecker
}

var (
	_ rest.RESTCreateStrategy  = strategy{}
	_ rest.RESTUpdateStrategy  = strategy{}
	_ rest.RESTDeleteStrategy  = strategy{}
	_ rest.ResetFieldsStrategy = strategy{}
)

func (s strategy) NamespaceScoped() bool        { return s.kind.Namespaced }
func (strategy) AllowCreateOnUpdate() bool      { return false }
func (strategy) AllowUnconditionalUpdate() bool { return true }

// PrepareForCreate drops a status, and writes templates in canonical form.
func (s strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	o := obj.(*typesv1beta2.FederatedObject)
	o.Status = nil
	o.Generation = 1
	canonicalize(o)
}

// PrepareForUpdate keeps the status, puts back what a writer of the cluster shape cannot
// know, and counts a generation if the spec changed.
func (s strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	o, was := obj.(*typesv1beta2.FederatedObject), old.(*typesv1beta2.FederatedObject)
	o.Status = was.Status
	if requestVersion(ctx) == federated.V1beta1.Version {
		// ValidateUpdate meets the same error, and returns it.
		_ = conversion.Restore(was, o, "")
	}
	canonicalize(o)
	o.Generation = was.Generation
	if !conversion.SameSpec(&o.Spec, &was.Spec) {
		o.Generation++
	}
}

// Canonicalize is for rest.RESTUpdateStrategy; PrepareFor... do it.
func (strategy) Canonicalize(runtime.Object) {}

// Validate checks a new object. Errors speak in the words of the version that the
// client uses.
func (s strategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	o := obj.(*typesv1beta2.FederatedObject)
	errs := validation.ValidateObject(o, s.options(ctx))
	errs = append(errs, s.checkTemplate(ctx, o.Spec.Template, nil)...)
	if s.placement != nil && len(errs) == 0 {
		refused, _ := s.placement.CheckPlacement(ctx, o, requestVersion(ctx))
		errs = append(errs, refused...)
	}
	return errs
}

// ValidateUpdate checks a changed object.
func (s strategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	o, was := obj.(*typesv1beta2.FederatedObject), old.(*typesv1beta2.FederatedObject)
	if o.DeletionTimestamp != nil && conversion.SameSpec(&o.Spec, &was.Spec) {
		return nil // finalizers must come off whatever the object holds
	}
	if requestVersion(ctx) == federated.V1beta1.Version {
		var invalid *field.Error
		if err := conversion.Restore(was, o, ""); errors.As(err, &invalid) {
			return field.ErrorList{invalid}
		}
	}
	errs := validation.ValidateUpdate(o, was, s.options(ctx))
	errs = append(errs, s.checkTemplate(ctx, o.Spec.Template, was.Spec.Template)...)
	if s.placement != nil && len(errs) == 0 && !reflect.DeepEqual(o.Spec.Placement, was.Spec.Placement) {
		refused, _ := s.placement.CheckPlacement(ctx, o, requestVersion(ctx))
		errs = append(errs, refused...)
	}
	return errs
}

// WarningsOnCreate tells what is accepted and probably not meant.
func (s strategy) WarningsOnCreate(ctx context.Context, obj runtime.Object) []string {
	return s.warnings(ctx, obj.(*typesv1beta2.FederatedObject), nil)
}

// WarningsOnUpdate tells what is accepted and probably not meant.
func (s strategy) WarningsOnUpdate(ctx context.Context, obj, old runtime.Object) []string {
	was := old.(*typesv1beta2.FederatedObject)
	o := obj.(*typesv1beta2.FederatedObject)
	if conversion.SameSpec(&o.Spec, &was.Spec) {
		return nil
	}
	return s.warnings(ctx, o, was)
}

// warnings of a new object, for which old is nil, or of a changed one.
func (s strategy) warnings(ctx context.Context, o, old *typesv1beta2.FederatedObject) []string {
	warnings := validation.Warnings(o, old, s.options(ctx))
	var oldTemplate rawjson.Value
	if old != nil {
		oldTemplate = old.Spec.Template
	}
	if fieldValidationFrom(ctx) == metav1.FieldValidationWarn && !bytes.Equal(o.Spec.Template, oldTemplate) {
		for _, e := range schema.UnknownFields(s.schema(), o.Spec.Template) {
			warnings = append(warnings, e.Error())
		}
	}
	if s.placement != nil {
		_, missing := s.placement.CheckPlacement(ctx, o, requestVersion(ctx))
		warnings = append(warnings, missing...)
	}
	return warnings
}

// checkTemplate refuses values of the wrong type, and under strict field validation
// fields that the target kind does not have. A template that did not change is not
// checked again: the schema may have.
func (s strategy) checkTemplate(ctx context.Context, template, old rawjson.Value) field.ErrorList {
	if bytes.Equal(template, old) || !template.IsObject() {
		return nil
	}
	errs := schema.WrongTypes(s.schema(), template)
	if fieldValidationFrom(ctx) == metav1.FieldValidationStrict {
		errs = append(errs, schema.UnknownFields(s.schema(), template)...)
	}
	return errs
}

func (s strategy) options(ctx context.Context) validation.Options {
	return validation.Options{
		TargetKind:       s.kind.Target.Kind,
		TargetAPIVersion: s.kind.TargetAPIVersion(),
		Namespaced:       s.kind.Namespaced,
		RequestedVersion: requestVersion(ctx),
	}
}

// GetResetFields lists what a write to the object itself never changes.
func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetFields("status")
}

func resetFields(name string) map[fieldpath.APIVersion]*fieldpath.Set {
	set := fieldpath.NewSet(fieldpath.MakePathOrDie(name))
	return map[fieldpath.APIVersion]*fieldpath.Set{
		fieldpath.APIVersion(federated.V1beta1.String()): set,
		fieldpath.APIVersion(federated.V1beta2.String()): set,
	}
}

// statusStrategy is for writes to the status subresource.
type statusStrategy struct{ strategy }

// PrepareForUpdate keeps all but the status, and what a writer of the cluster shape
// cannot know of it.
func (s statusStrategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	o, was := obj.(*typesv1beta2.FederatedObject), old.(*typesv1beta2.FederatedObject)
	if requestVersion(ctx) == federated.V1beta1.Version {
		// First of all: what the client took the topology for tells how it names targets.
		conversion.RestoreStatus(was, o)
	}
	o.Spec = was.Spec
	o.Labels, o.Annotations = was.Labels, was.Annotations
	o.Finalizers, o.OwnerReferences = was.Finalizers, was.OwnerReferences
	o.Generation = was.Generation
}

// ValidateUpdate refuses a status that names a target twice, and the like.
func (s statusStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ValidateStatusUpdate(obj.(*typesv1beta2.FederatedObject), old.(*typesv1beta2.FederatedObject), s.options(ctx))
}

// WarningsOnUpdate has nothing to say.
func (statusStrategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// GetResetFields lists what a write to the status never changes.
func (statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	set := fieldpath.NewSet(fieldpath.MakePathOrDie("spec"),
		fieldpath.MakePathOrDie("metadata", "labels"), fieldpath.MakePathOrDie("metadata", "annotations"),
		fieldpath.MakePathOrDie("metadata", "finalizers"), fieldpath.MakePathOrDie("metadata", "ownerReferences"))
	return map[fieldpath.APIVersion]*fieldpath.Set{
		fieldpath.APIVersion(federated.V1beta1.String()): set,
		fieldpath.APIVersion(federated.V1beta2.String()): set,
	}
}

// canonicalize makes equal templates and override values equal as bytes, so that a
// client that writes the keys in another order changes nothing. Bad JSON cannot get
// here: it was decoded.
func canonicalize(o *typesv1beta2.FederatedObject) {
	if v, err := o.Spec.Template.Canonical(); err == nil {
		o.Spec.Template = v
	}
	for i := range o.Spec.Overrides {
		patches := o.Spec.Overrides[i].TopologyOverrides
		for j := range patches {
			if v, err := patches[j].Value.Canonical(); err == nil {
				patches[j].Value = v
			}
		}
	}
}

// requestVersion is the version that the client speaks, v1beta2 outside of requests.
func requestVersion(ctx context.Context) string {
	if info, ok := genericapirequest.RequestInfoFrom(ctx); ok && info.APIGroup == federated.GroupName {
		return info.APIVersion
	}
	return federated.V1beta2.Version
}

type fieldValidationKey struct{}

// WithFieldValidation remembers what the client wants done about unknown fields, one of
// metav1.FieldValidation... or nothing. The library keeps that to itself, and cannot look
// into templates.
func WithFieldValidation(ctx context.Context, directive string) context.Context {
	return context.WithValue(ctx, fieldValidationKey{}, directive)
}

func fieldValidationFrom(ctx context.Context) string {
	if directive, _ := ctx.Value(fieldValidationKey{}).(string); directive != "" {
		return directive
	}
	return metav1.FieldValidationWarn
}
