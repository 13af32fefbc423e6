// Package validation checks the kinds of federation.koinon.io, and what cells and edge
// units have in common. It is pure, takes objects that defaults were applied to, and
// returns one error per wrong field: its path, its value and what is allowed.
package validation

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// Seat is a namespace of a member: where a cell or an edge unit is.
type Seat struct {
	// Member is the name of a KubeFedCluster.
	Member string
	// Namespace in the member.
	Namespace string
}

// Cell checks a whole Cell but its status.
func Cell(cell *v1alpha1.Cell) field.ErrorList {
	errs := NamedSeat(&cell.ObjectMeta, CellSeat(cell))
	switch policy := cell.Spec.DeletionPolicy; policy {
	case "", v1alpha1.DeletionRefused, v1alpha1.DeletionDrains:
	default:
		errs = append(errs, field.NotSupported(field.NewPath("spec", "deletionPolicy"), policy, []v1alpha1.DeletionPolicy{v1alpha1.DeletionRefused, v1alpha1.DeletionDrains}))
	}
	return errs
}

// CellUpdate checks the new state of a Cell. It may move, unless it is being deleted.
func CellUpdate(cell, old *v1alpha1.Cell) field.ErrorList {
	errs := Cell(cell)
	if old.DeletionTimestamp != nil {
		errs = append(errs, sameSeat(CellSeat(cell), CellSeat(old), "may not be changed from %q while the cell is being deleted")...)
	}
	return errs
}

// CellSeat returns where a cell is.
func CellSeat(cell *v1alpha1.Cell) Seat {
	return Seat{Member: cell.Spec.ClusterName, Namespace: cell.Spec.MemberNamespace}
}

// NamedSeat checks the name of a cell or an edge unit, which becomes a part of a
// cluster name, and where it is.
func NamedSeat(meta *metav1.ObjectMeta, seat Seat) field.ErrorList {
	errs := name(meta.Name)
	errs = append(errs, member(seat.Member, field.NewPath("spec", "clusterName"))...)
	if len(errs) > 0 {
		return errs
	}
	return memberNamespace(meta, seat.Namespace, field.NewPath("spec", "memberNamespace"))
}

// SameSeat checks that an edge unit stays where it is: its nodes do not move.
func SameSeat(seat, old Seat) (errs field.ErrorList) {
	return sameSeat(seat, old, "may not be changed from %q: delete the object and create another")
}

func sameSeat(seat, old Seat, immutable string) (errs field.ErrorList) {
	if seat.Member != old.Member {
		errs = append(errs, field.Invalid(field.NewPath("spec", "clusterName"), seat.Member, fmt.Sprintf(immutable, old.Member)))
	}
	if seat.Namespace != old.Namespace {
		errs = append(errs, field.Invalid(field.NewPath("spec", "memberNamespace"), seat.Namespace, fmt.Sprintf(immutable, old.Namespace)))
	}
	return errs
}

func name(value string) field.ErrorList {
	path := field.NewPath("metadata", "name")
	if strings.Contains(value, ".") {
		return field.ErrorList{field.Invalid(path, value,
			"must not contain a dot: the name and the namespace, joined by a dot, are the name of a KubeFedCluster")}
	}
	return label(value, path)
}

func member(value string, path *field.Path) (errs field.ErrorList) {
	switch {
	case value == "":
		return field.ErrorList{field.Required(path, "must be the name of a KubeFedCluster")}
	case strings.Contains(value, "."):
		return field.ErrorList{field.Invalid(path, value,
			"must be the name of a KubeFedCluster that is a member; names with a dot are those of cells and edge units")}
	}
	for _, message := range validation.IsDNS1123Subdomain(value) {
		errs = append(errs, field.Invalid(path, value, message))
	}
	return errs
}

// memberNamespace refuses what no namespace can be called. Whether the namespace is free,
// and none of the member's own, is for those to say who know the member: see package
// ownership.
func memberNamespace(meta *metav1.ObjectMeta, value string, path *field.Path) field.ErrorList {
	switch {
	case value == "":
		return field.ErrorList{field.Required(path, "must be the name of a namespace in the member")}
	case len(value) > validation.DNS1123LabelMaxLength && value == ownership.DefaultMemberNamespace(meta.Namespace, meta.Name):
		return field.ErrorList{field.Invalid(path, value, fmt.Sprintf(
			"the default, <namespace>-<name>, is longer than %d characters: set a shorter name", validation.DNS1123LabelMaxLength))}
	}
	return label(value, path)
}

func label(value string, path *field.Path) (errs field.ErrorList) {
	for _, message := range validation.IsDNS1123Label(value) {
		errs = append(errs, field.Invalid(path, value, message))
	}
	return errs
}
