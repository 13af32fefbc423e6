// Package edgeunit is the REST storage of EdgeUnits.
package edgeunit

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/edge/validation"
	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/seats"
)

// strategy is for writes of the object: they leave the status as it is.
type strategy struct {
	objectstore.Base
	book *seats.Book
}

func newStrategy(scheme *runtime.Scheme, book *seats.Book) strategy {
	return strategy{objectstore.NewBase(scheme, objectstore.Namespaced, v1alpha1.SchemeGroupVersion, "status"), book}
}

// PrepareForCreate sets the defaults, which follow from the object's namespace and name.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	unit := obj.(*v1alpha1.EdgeUnit)
	unit.Status = v1alpha1.EdgeUnitStatus{}
	unit.Generation = 1
	if unit.Spec.MemberNamespace == "" {
		unit.Spec.MemberNamespace = ownership.DefaultMemberNamespace(unit.Namespace, unit.Name)
	}
	defaultNodeSelector(unit)
}

// PrepareForUpdate takes a memberNamespace that is left out for the one that is there: it
// cannot change. A nodeSelector that is left out is the default again.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	unit, oldUnit := obj.(*v1alpha1.EdgeUnit), old.(*v1alpha1.EdgeUnit)
	unit.Status = oldUnit.Status
	if unit.Spec.MemberNamespace == "" {
		unit.Spec.MemberNamespace = oldUnit.Spec.MemberNamespace
	}
	defaultNodeSelector(unit)
	if !apiequality.Semantic.DeepEqual(unit.Spec, oldUnit.Spec) {
		unit.Generation++
	}
}

func defaultNodeSelector(unit *v1alpha1.EdgeUnit) {
	if len(unit.Spec.NodeSelector) == 0 {
		unit.Spec.NodeSelector = map[string]string{v1alpha1.UnitLabel: unit.Name}
	}
}

// Validate looks at the object alone; whether its seat is free is the storage's to find
// out.
func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.EdgeUnit(obj.(*v1alpha1.EdgeUnit))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.EdgeUnitUpdate(obj.(*v1alpha1.EdgeUnit), old.(*v1alpha1.EdgeUnit))
}

// WarningsOnCreate tells about a member that does not exist.
func (s strategy) WarningsOnCreate(ctx context.Context, obj runtime.Object) []string {
	return s.book.Warnings(ctx, holder(obj))
}

func holder(obj runtime.Object) seats.Holder {
	unit := obj.(*v1alpha1.EdgeUnit)
	return seats.NewHolder(v1beta2.TopologyEdgeUnit, unit, validation.EdgeUnitSeat(unit))
}

// statusStrategy is for writes of the status: they leave all else as it is.
type statusStrategy struct {
	objectstore.Base
}

func newStatusStrategy(scheme *runtime.Scheme) statusStrategy {
	return statusStrategy{objectstore.NewBase(scheme, objectstore.Namespaced, v1alpha1.SchemeGroupVersion, "metadata", "spec")}
}

func (statusStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	unit, oldUnit := obj.(*v1alpha1.EdgeUnit), old.(*v1alpha1.EdgeUnit)
	unit.Spec = oldUnit.Spec
	metav1.ResetObjectMetaForStatus(unit, oldUnit)
}
