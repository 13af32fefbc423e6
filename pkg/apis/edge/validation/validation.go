// Package validation checks the kinds of edge.koinon.io. It is pure, takes objects that
// defaults were applied to, and returns one error per wrong field: its path, its value
// and what is allowed.
package validation

import (
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/validation"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
)

// EdgeUnit checks a whole EdgeUnit but its status.
func EdgeUnit(unit *v1alpha1.EdgeUnit) field.ErrorList {
	return edgeUnit(unit, &v1alpha1.EdgeUnit{})
}

// maxNodeLabels is how many labels a nodeSelector may have.
const maxNodeLabels = 100

// edgeUnit takes a selector that has as many labels as it had.
func edgeUnit(unit, old *v1alpha1.EdgeUnit) field.ErrorList {
	path := field.NewPath("spec", "nodeSelector")
	errs := validation.NamedSeat(&unit.ObjectMeta, EdgeUnitSeat(unit))
	if len(unit.Spec.NodeSelector) == 0 {
		errs = append(errs, field.Required(path, "must have a label: an empty selector would be every node"))
	}
	if long := mistakes.TooMany(len(unit.Spec.NodeSelector), len(old.Spec.NodeSelector), maxNodeLabels, path); long != nil {
		return append(errs, long...)
	}
	return append(errs, metav1validation.ValidateLabels(unit.Spec.NodeSelector, path)...)
}

// EdgeUnitUpdate checks the new state of an EdgeUnit.
func EdgeUnitUpdate(unit, old *v1alpha1.EdgeUnit) field.ErrorList {
	return append(edgeUnit(unit, old), validation.SameSeat(EdgeUnitSeat(unit), EdgeUnitSeat(old))...)
}

// EdgeUnitSeat returns where an edge unit is.
func EdgeUnitSeat(unit *v1alpha1.EdgeUnit) validation.Seat {
	return validation.Seat{Member: unit.Spec.ClusterName, Namespace: unit.Spec.MemberNamespace}
}
