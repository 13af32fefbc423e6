package strategy

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	namegenerator "k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/validation"
	"github.com/koinon-io/koinon/pkg/apis/names"
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
	// Losses returns warnings of what targets lose by a write of a FederatedNamespace: old is nil if it is
	// created, and obj if it is deleted. held is what targets have of the namespace.
	Losses(ctx context.Context, obj, old *typesv1beta2.FederatedObject, held Holdings, version string) []string
}

// strategy is what is special to federated objects when they are written.
type strategy struct {
	*wire.Types
	namegenerator.NameGenerator
	kind   federated.Kind
	schema func() *schema.Target
	// annotations are the patterns of those that propagate; nil if they are not known.
	annotations func() manifest.Patterns
	placement   PlacementChecker
	contents    Contents    // nil if they are not known
	disabled    func() bool // nil: it is not
	namespaces  HostNamespaces
	otherEngine func(context.Context) bool
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
func (s strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	o := obj.(*typesv1beta2.FederatedObject)
	o.Status = nil
	o.Generation = 1
	s.write(ctx, o, nil)
}

// PrepareForUpdate keeps the status, and the finalizer that a deletion waits for, puts back what a
// writer of the cluster shape cannot know, and counts a generation if the spec changed.
func (s strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	o, was := obj.(*typesv1beta2.FederatedObject), old.(*typesv1beta2.FederatedObject)
	o.Status = was.Status
	keepGuard(ctx, o, was)
	w := s.write(ctx, o, was)
	o.Generation = was.Generation
	if w.specChanged() {
		o.Generation++
	}
}

// Canonicalize is for rest.RESTUpdateStrategy; PrepareFor... do it.
func (strategy) Canonicalize(runtime.Object) {}

// Validate checks a new object. Errors speak in the words of the version that the
// client uses.
func (s strategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	w := s.write(ctx, obj.(*typesv1beta2.FederatedObject), nil)
	errs := validation.ValidateObject(w.obj, s.options(ctx, w))
	return s.complete(ctx, w, errs)
}

// ValidateUpdate checks a changed object.
func (s strategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	w := s.write(ctx, obj.(*typesv1beta2.FederatedObject), old.(*typesv1beta2.FederatedObject))
	if w.obj.DeletionTimestamp != nil && !w.specChanged() {
		return nil // finalizers must come off whatever the object holds
	}
	if w.restoreErr != nil {
		return field.ErrorList{w.restoreErr}
	}
	errs := validation.ValidateUpdate(w.obj, w.old, s.options(ctx, w))
	return s.complete(ctx, w, errs)
}

// complete adds to the errors of an object what its template has wrong, and if there is
// nothing wrong, what is wrong with its targets.
func (s strategy) complete(ctx context.Context, w *write, errs field.ErrorList) field.ErrorList {
	if w.template != nil {
		errs = append(errs, elsewhere(validation.WithoutContents(s.kind.Target.Kind, w.compare(s).WrongTypes), errs)...)
		if fieldValidationFrom(ctx) == metav1.FieldValidationStrict {
			errs = append(errs, validation.WithoutContents(s.kind.Target.Kind, w.compare(s).UnknownFields)...)
		}
	}
	errs = append(errs, s.foreignLabels(ctx, w)...)
	if len(errs) == 0 && w.placementChanged() {
		refused, _ := w.checkPlacement(ctx, s)
		errs = append(errs, refused...)
	}
	return errs
}

// elsewhere returns those errors that are not at a field of which something is told already.
func elsewhere(errs, told field.ErrorList) field.ErrorList {
	fields := sets.New[string]()
	for _, e := range told {
		fields.Insert(e.Field)
	}
	return slices.DeleteFunc(slices.Clone(errs), func(e *field.Error) bool { return fields.Has(e.Field) })
}

// WarningsOnCreate tells what is accepted and probably not meant.
func (s strategy) WarningsOnCreate(ctx context.Context, obj runtime.Object) []string {
	w := s.write(ctx, obj.(*typesv1beta2.FederatedObject), nil)
	return append(names.FinalizerWarnings(w.obj, nil), s.warnings(ctx, w)...)
}

// WarningsOnUpdate tells what is accepted and probably not meant.
func (s strategy) WarningsOnUpdate(ctx context.Context, obj, old runtime.Object) []string {
	w := s.write(ctx, obj.(*typesv1beta2.FederatedObject), old.(*typesv1beta2.FederatedObject))
	warnings := names.FinalizerWarnings(w.obj, w.old)
	if !w.specChanged() {
		return warnings
	}
	return append(warnings, s.warnings(ctx, w)...)
}

func (s strategy) warnings(ctx context.Context, w *write) []string {
	options := s.options(ctx, w)
	options.OtherEngine = s.otherEngine != nil && w.saysMoreThanV1beta1() && s.otherEngine(ctx)
	options.MasksHeld = true
	warnings := append(s.losses(ctx, w.obj, w.old), validation.Warnings(w.obj, w.old, options)...)
	if fieldValidationFrom(ctx) == metav1.FieldValidationWarn && w.template != nil {
		for _, e := range w.compare(s).UnknownFields {
			warnings = append(warnings, e.Error())
		}
	}
	_, missing := w.checkPlacement(ctx, s)
	return validation.BoundWarnings(append(warnings, missing...))
}

func (s strategy) options(ctx context.Context, w *write) validation.Options {
	options := validation.Options{
		TargetKind:       s.kind.Target.Kind,
		TargetAPIVersion: s.kind.TargetAPIVersion(),
		Namespaced:       s.kind.Namespaced,
		RequestedVersion: requestVersion(ctx),
		CompareAt: func(steps []string, value any, at *field.Path) field.ErrorList {
			return schema.CompareAt(s.schema(), steps, value, at)
		},
	}
	if w != nil {
		options.Template = w.template
	}
	if s.annotations != nil {
		options.Propagates = s.annotations().Match
	}
	return options
}

// GetResetFields lists what a write to the object itself never changes.
func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetFields("status")
}

func resetFields(names ...string) map[fieldpath.APIVersion]*fieldpath.Set {
	set := &fieldpath.Set{}
	for _, name := range names {
		set.Insert(fieldpath.MakePathOrDie(name))
	}
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
	owners := o.ManagedFields
	o.Spec, o.ObjectMeta = was.Spec, was.ObjectMeta
	o.ManagedFields = owners // of the status, too
}

// ValidateUpdate refuses a status that names a target twice, and the like.
func (s statusStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ValidateStatusUpdate(obj.(*typesv1beta2.FederatedObject), old.(*typesv1beta2.FederatedObject), s.options(ctx, nil))
}

// WarningsOnUpdate has nothing to say.
func (statusStrategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// GetResetFields lists what a write to the status never changes.
func (statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetFields("metadata", "spec")
}

// requestVersion is the version that the client speaks, v1beta2 outside of requests.
func requestVersion(ctx context.Context) string {
	if info, ok := genericapirequest.RequestInfoFrom(ctx); ok && info.APIGroup == federated.GroupName {
		return info.APIVersion
	}
	return federated.V1beta2.Version
}
