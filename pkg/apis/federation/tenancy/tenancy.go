// Package tenancy is the one rule of which tenant's objects may be where. Admission, the
// engine, the controller of cells and the status all call it.
//
// A namespace of the host, a KubeFedCluster, a cell and an edge unit belong to the tenant
// and the workspace group that two labels name; without labels they belong to nobody. An
// object goes only where the target carries the labels of its namespace, both of them:
//
//   - A whole cluster must have the same labels as the namespace. So a namespace without
//     labels reaches the clusters without labels, and no others.
//   - A cell or an edge unit has the labels of its namespace, unless it has its own; then
//     they must be the same. The member that it lies in must have the same labels too, or
//     none at all: such a member is nobody's, and cells of many tenants may share it. Only
//     the administrator makes cells, each in a namespace of its own.
//
// Table shows the rule case by case, and docs/propagation.md has that table. See ADR 12.
//
// Everything is pure and may be called concurrently.
package tenancy

import (
	"fmt"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// Tenant is what the tenant labels of a namespace, cluster, cell or edge unit say. The
// zero value belongs to nobody.
type Tenant struct {
	Name           string
	WorkspaceGroup string
}

// Of reads the two tenant labels; a missing label is an empty field.
func Of(labels map[string]string) Tenant {
	return Tenant{
		Name:           labels[v1alpha1.TenantLabel],
		WorkspaceGroup: labels[v1alpha1.WorkspaceGroupLabel],
	}
}

// OfUnit returns whose a cell or an edge unit is: what its own labels say, and its
// namespace's where they say nothing.
func OfUnit(labels map[string]string, namespace Tenant) Tenant {
	own := Of(labels)
	if own.Name == "" {
		own.Name = namespace.Name
	}
	if own.WorkspaceGroup == "" {
		own.WorkspaceGroup = namespace.WorkspaceGroup
	}
	return own
}

// Labels returns the labels that Of reads; a tenant of nobody has none.
func (t Tenant) Labels() map[string]string {
	labels := map[string]string{}
	if t.Name != "" {
		labels[v1alpha1.TenantLabel] = t.Name
	}
	if t.WorkspaceGroup != "" {
		labels[v1alpha1.WorkspaceGroupLabel] = t.WorkspaceGroup
	}
	return labels
}

// Use says what of a member an object uses.
type Use int

const (
	// WholeCluster: the object names the member itself.
	WholeCluster Use = iota
	// Unit: the object names a cell or an edge unit that lies in the member.
	Unit
)

// Allows reports whether objects of a namespace may be in a member, used as use says.
func Allows(namespace, member Tenant, use Use) bool {
	return namespace == member || (use == Unit && member == Tenant{})
}

// Refusal says why objects of a namespace may not be in a member, in the words that follow
// the member's name; it is empty if they may. namespaceName is empty for objects that have
// no namespace, and so no tenant.
func Refusal(namespaceName string, namespace, member Tenant, use Use) string {
	if Allows(namespace, member, use) {
		return ""
	}
	return difference(namespaceName, namespace, member)
}

// Tie is what decides whether an object may touch its copy in a member.
type Tie struct {
	// NamespaceName of the object, empty if it has none, and whose that is.
	NamespaceName string
	Namespace     Tenant
	// Use says what of the member the object uses, and UnitLabels are those of the cell or edge unit.
	Use        Use
	UnitLabels map[string]string
	// Member is whose the member is.
	Member Tenant
}

// Holds reports whether the object may touch the copy: write, read and delete it.
func (t Tie) Holds() bool {
	if t.Use == Unit && UnitRefusal(t.NamespaceName, t.Namespace, t.UnitLabels) != "" {
		return false
	}
	return Allows(t.Namespace, t.Member, t.Use)
}

// UnitRefusal is Refusal for a cell or an edge unit itself: its own labels against those
// of its namespace.
func UnitRefusal(namespaceName string, namespace Tenant, unitLabels map[string]string) string {
	unit := OfUnit(unitLabels, namespace)
	if unit == namespace {
		return ""
	}
	return difference(namespaceName, namespace, unit)
}

// difference names the first label in which two tenants differ.
func difference(namespaceName string, namespace, member Tenant) string {
	label, ours, theirs := v1alpha1.TenantLabel, namespace.Name, member.Name
	if ours == theirs {
		label, ours, theirs = v1alpha1.WorkspaceGroupLabel, namespace.WorkspaceGroup, member.WorkspaceGroup
	}
	has := "has no label " + label
	if theirs != "" {
		has = "has the label " + label + "=" + theirs
	}
	who := fmt.Sprintf("namespace %q", namespaceName)
	if namespaceName == "" {
		who = "an object without a namespace"
	}
	if ours == "" {
		ours = "none"
	}
	return fmt.Sprintf("%s, and %s has %s: both must be the same", has, who, ours)
}
