// Package ownership is the one rule of who owns a namespace of a member. Admission, the
// engine and the controller of cells call it.
//
// The same place may be reached in three ways: the namespace of the host of that name, with
// objects of topology cluster; a cell; and an edge unit. So there is a book, of
// MemberNamespaces: one page for each name of a namespace, with the owner in each member.
// Functions here read and change one page; whoever calls them stores it with the resource
// version that was read, so that of two claims one comes first. See ADR 12.
//
// The owner is also written on the namespace in the member (Marks), where other federations
// see it, and where it holds although the book was lost or a member was joined twice.
//
// Everything is pure and may be called concurrently; pages that are handed in to be changed
// are the caller's alone.
package ownership

import (
	"fmt"
	"strings"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Owner is what may own a namespace of a member. It has no UID: an owner that is deleted
// and made again is the same.
type Owner struct {
	Kind v1alpha1.OwnerKind
	// Namespace of the host.
	Namespace string
	// Name is empty for kind Namespace.
	Name string
}

// NamespaceOwner is a namespace of the host.
func NamespaceOwner(namespace string) Owner {
	return Owner{Kind: v1alpha1.OwnerNamespace, Namespace: namespace}
}

// UnitOwner is a cell or an edge unit; topologyType says which.
func UnitOwner(topologyType, namespace, name string) Owner {
	kind := v1alpha1.OwnerCell
	if topologyType == v1beta2.TopologyEdgeUnit {
		kind = v1alpha1.OwnerEdgeUnit
	}
	return Owner{Kind: kind, Namespace: namespace, Name: name}
}

// OwnerOf returns who must own the place of a target of an object in namespace. A target of
// topology cluster may be the cluster that a cell or an edge unit appears as.
func OwnerOf(topologyType, namespace, target string) Owner {
	if topology.Scoped(topologyType) {
		return UnitOwner(topology.Base(topologyType), namespace, target)
	}
	for _, unitType := range []string{v1beta2.TopologyEdgeUnit, v1beta2.TopologyCell} {
		if name, in, ok := topology.Split(unitType, target); ok {
			return UnitOwner(unitType, in, name)
		}
	}
	return NamespaceOwner(namespace)
}

// String names the owner for people.
func (o Owner) String() string {
	switch o.Kind {
	case v1alpha1.OwnerNamespace:
		return fmt.Sprintf("namespace %s of the host", o.Namespace)
	case v1alpha1.OwnerEdgeUnit:
		return fmt.Sprintf("edge unit %s/%s", o.Namespace, o.Name)
	default:
		return fmt.Sprintf("cell %s/%s", o.Namespace, o.Name)
	}
}

// mark is the value of OwnerAnnotation.
func (o Owner) mark() string {
	parts := []string{strings.ToLower(string(o.Kind)), o.Namespace}
	if o.Kind != v1alpha1.OwnerNamespace {
		parts = append(parts, o.Name)
	}
	return strings.Join(parts, "/")
}

// DefaultMemberNamespace is the namespace that a cell or an edge unit has in its member
// unless it names one: <namespace>-<name>. It may be longer than a namespace can be;
// validation refuses it then. Two units may have the same default (a and b-c, a-b and c):
// see Other.
func DefaultMemberNamespace(namespace, name string) string { return namespace + "-" + name }

// MemberNamespaceOf returns the namespace that a unit has in its member. Only objects that
// were stored before there was a default have none of their own.
func MemberNamespaceOf(memberNamespace, namespace, name string) string {
	if memberNamespace != "" {
		return memberNamespace
	}
	return DefaultMemberNamespace(namespace, name)
}
