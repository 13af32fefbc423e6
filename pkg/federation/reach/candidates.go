package reach

import (
	"fmt"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Object is a federated object, as far as it decides what may be its target.
type Object struct {
	// TopologyType as the object has it; see TopologyOf.
	TopologyType string
	// Namespace is empty for cluster-scoped kinds.
	Namespace, Name string
	// Tenant of the namespace.
	Tenant tenancy.Tenant
}

// ObjectOf is a federated object in a namespace of that tenant.
func ObjectOf(federated *v1beta2.FederatedObject, tenant tenancy.Tenant) Object {
	return Object{TopologyType: TopologyOf(federated), Namespace: federated.Namespace, Name: federated.Name, Tenant: tenant}
}

// TopologyOf returns the topology type of an object, defaulted.
func TopologyOf(federated *v1beta2.FederatedObject) string { return placement.TopologyOf(federated) }

// Base is the topology type that the object's targets are of: cell for cell:zone.
func (o Object) Base() string { return topology.Base(o.TopologyType) }

// CalledBy is what placement, mask and overrides of the object call a candidate by: its name or, if
// the topology type is a user-defined one, its group.
func (o Object) CalledBy(c placement.Candidate) string {
	if topology.Label(o.TopologyType) == "" {
		return c.Name
	}
	group, _ := topology.GroupOf(o.TopologyType, c.Labels)
	return group
}

// Source is how the object is named in members.
func (o Object) Source() string {
	if o.Namespace == "" {
		return o.Name
	}
	return o.Namespace + "/" + o.Name
}

// Owner is who must own the namespace in the member of a target.
func (o Object) Owner(target string) ownership.Owner {
	return ownership.OwnerOf(o.TopologyType, o.Namespace, target)
}

// IsUnit reports whether a cell or an edge unit appears as the cluster.
func IsUnit(cluster *v1beta1.KubeFedCluster) bool {
	return cluster.Labels[federationv1alpha1.TopologyLabel] != ""
}

// Cluster makes the candidate of a whole cluster, or of one that a cell or an edge unit appears as.
func (o Object) Cluster(cluster *v1beta1.KubeFedCluster) placement.Candidate {
	c := placement.Candidate{Name: cluster.Name, Labels: cluster.Labels, Member: cluster.Name, Owner: o.Owner(cluster.Name)}
	if IsUnit(cluster) {
		c.ByNameOnly = true
		c.Member = cluster.Labels[federationv1alpha1.MemberLabel]
		c.Namespace = ownership.MemberNamespaceOf(cluster.Annotations[federationv1alpha1.MemberNamespaceAnnotation], c.Owner.Namespace, c.Owner.Name)
	}
	if refusal := tenancy.Refusal(o.Namespace, o.Tenant, tenancy.Of(cluster.Labels), tenancy.WholeCluster); refusal != "" {
		c.Refusal = fmt.Sprintf("cluster %q %s", cluster.Name, refusal)
	}
	if owner := cluster.Labels[federationv1alpha1.TopologyNamespaceLabel]; c.ByNameOnly && owner != o.Namespace {
		c.Refusal = fmt.Sprintf("cluster %q is a %s of namespace %q", cluster.Name, cluster.Labels[federationv1alpha1.TopologyLabel], owner)
	}
	return c
}

// Cell makes the candidate of a cell of the object's namespace.
func (o Object) Cell(cell *federationv1alpha1.Cell) placement.Candidate {
	c := o.unit("cell", cell.Name, cell.Labels, cell.Spec.ClusterName, cell.Spec.MemberNamespace)
	c.Leaving = Leaving(cell)
	return c
}

// Leaving says why everything leaves a cell, as placement.Candidate has it; empty if it does not.
func Leaving(cell *federationv1alpha1.Cell) string {
	if cell.DeletionTimestamp == nil {
		return ""
	}
	return fmt.Sprintf("cell %q is being deleted", cell.Name)
}

// EdgeUnit makes the candidate of an edge unit of the object's namespace.
func (o Object) EdgeUnit(unit *edgev1alpha1.EdgeUnit) placement.Candidate {
	c := o.unit("edge unit", unit.Name, unit.Labels, unit.Spec.ClusterName, unit.Spec.MemberNamespace)
	c.NodeSelector = unit.Spec.NodeSelector
	if len(c.NodeSelector) == 0 {
		c.NodeSelector = map[string]string{edgev1alpha1.UnitLabel: unit.Name}
	}
	return c
}

// unit makes the candidate of a cell or an edge unit. It belongs to the tenant of its
// namespace unless its own labels say otherwise.
func (o Object) unit(what, name string, unitLabels map[string]string, member, memberNamespace string) placement.Candidate {
	c := placement.Candidate{
		Name: name, Labels: unitLabels, Member: member, Owner: o.Owner(name),
		Namespace: ownership.MemberNamespaceOf(memberNamespace, o.Namespace, name),
	}
	if refusal := tenancy.UnitRefusal(o.Namespace, o.Tenant, unitLabels); refusal != "" {
		c.Refusal = fmt.Sprintf("%s %q %s", what, name, refusal)
	}
	return c
}

// Lost says why an object stays in a cell or an edge unit that is gone, as its record has it; empty if the object leaves
// it. With a cluster that is gone its member has left too, and keeps what it has in any case.
func (o Object) Lost(p *v1beta2.Placement, recorded placement.Candidate) string {
	if o.Base() == v1beta2.TopologyCluster || !placement.MayPick(o.TopologyType, p, recorded.Name) {
		return ""
	}
	order := "names others"
	if topology.Label(o.TopologyType) != "" { // whose groups it may have been in
		order = "is an empty list"
	}
	return fmt.Sprintf("there is no %s %q any more, which is no order to delete: what it has in member %q stays there until it is made anew, or spec.placement.topologies %s",
		o.Base(), recorded.Name, recorded.Member, order)
}

// MemberRefusal says why the object may not use the member of a target, whose labels are given, as a
// sentence without its end; empty if it may.
func (o Object) MemberRefusal(c placement.Candidate, memberLabels map[string]string) string {
	use := tenancy.WholeCluster
	if c.Owner != ownership.NamespaceOwner(o.Namespace) {
		use = tenancy.Unit
	}
	refusal := tenancy.Refusal(o.Namespace, o.Tenant, tenancy.Of(memberLabels), use)
	if refusal == "" {
		return ""
	}
	return fmt.Sprintf("member %q %s", c.Member, refusal)
}

// KubeFedsPlace reports whether KubeFed would have put the object there: in the namespace of
// the same name.
func (o Object) KubeFedsPlace(c placement.Candidate) bool {
	return o.Base() == v1beta2.TopologyCluster && c.Owner == ownership.NamespaceOwner(o.Namespace) &&
		(c.Namespace == "" || c.Namespace == o.Namespace)
}
