// Package cell is the REST storage of Cells.
package cell

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/validation"
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

// PrepareForCreate sets the default of memberNamespace, which follows from the object's
// namespace: decoding does not know that.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	cell := obj.(*v1alpha1.Cell)
	cell.Status = v1alpha1.CellStatus{}
	cell.Generation = 1
	if cell.Spec.MemberNamespace == "" {
		cell.Spec.MemberNamespace = ownership.DefaultMemberNamespace(cell.Namespace, cell.Name)
	}
}

// PrepareForUpdate takes a memberNamespace that is left out for the one that is there.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	cell, oldCell := obj.(*v1alpha1.Cell), old.(*v1alpha1.Cell)
	cell.Status = oldCell.Status
	if cell.Spec.MemberNamespace == "" {
		cell.Spec.MemberNamespace = oldCell.Spec.MemberNamespace
	}
	if !apiequality.Semantic.DeepEqual(cell.Spec, oldCell.Spec) {
		cell.Generation++
	}
}

// Validate looks at the object alone; whether its seat is free is the storage's to find
// out.
func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.Cell(obj.(*v1alpha1.Cell))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.CellUpdate(obj.(*v1alpha1.Cell), old.(*v1alpha1.Cell))
}

// WarningsOnCreate tells about a member that does not exist.
func (s strategy) WarningsOnCreate(ctx context.Context, obj runtime.Object) []string {
	return s.book.Warnings(ctx, holder(obj))
}

// WarningsOnUpdate tells about a member that does not exist, if the cell moves there.
func (s strategy) WarningsOnUpdate(ctx context.Context, obj, old runtime.Object) []string {
	if holder(obj).Seat.Member == holder(old).Seat.Member {
		return nil
	}
	return s.book.Warnings(ctx, holder(obj))
}

func holder(obj runtime.Object) seats.Holder {
	cell := obj.(*v1alpha1.Cell)
	return seats.NewHolder(v1beta2.TopologyCell, cell, validation.CellSeat(cell))
}

// statusStrategy is for writes of the status: they leave all else as it is.
type statusStrategy struct {
	objectstore.Base
}

func newStatusStrategy(scheme *runtime.Scheme) statusStrategy {
	return statusStrategy{objectstore.NewBase(scheme, objectstore.Namespaced, v1alpha1.SchemeGroupVersion, "metadata", "spec")}
}

func (statusStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	cell, oldCell := obj.(*v1alpha1.Cell), old.(*v1alpha1.Cell)
	cell.Spec = oldCell.Spec
	metav1.ResetObjectMetaForStatus(cell, oldCell)
}
