package propagation

import (
	"fmt"

	"k8s.io/apimachinery/pkg/labels"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// candidates lists every cluster, cell or edge unit that the object may be in, and those that it
// names or was in without that.
func (e *Engine) candidates(v *view) ([]placement.Candidate, error) {
	switch v.topologyOf() {
	case v1beta2.TopologyCluster:
		return e.clusterCandidates(v)
	case v1beta2.TopologyCell:
		return e.cellCandidates(v)
	case v1beta2.TopologyEdgeUnit:
		return e.edgeUnitCandidates(v)
	}
	v.problem = fmt.Sprintf("spec.topologyType: %q is not one of %s, %s, %s", v.federated.Spec.TopologyType,
		v1beta2.TopologyCell, v1beta2.TopologyCluster, v1beta2.TopologyEdgeUnit)
	return nil, nil
}

func (e *Engine) clusterCandidates(v *view) ([]placement.Candidate, error) {
	clusters, err := e.Clusters.ofTenant(v.tenant)
	if err != nil {
		return nil, err
	}
	units, err := e.Clusters.ofUnits(v.key.namespace)
	if err != nil {
		return nil, err
	}
	clusters = append(clusters, units...)
	known := make(map[string]bool, len(clusters))
	for _, cluster := range clusters {
		known[cluster.Name] = true
	}
	for _, name := range v.names() {
		if known[name] {
			continue
		}
		known[name] = true
		cluster, err := e.Clusters.Get(name)
		if err != nil {
			return nil, err
		}
		if cluster != nil {
			clusters = append(clusters, cluster)
		}
	}
	candidates := make([]placement.Candidate, len(clusters))
	for i, cluster := range clusters {
		candidates[i] = v.cluster(cluster)
	}
	return candidates, nil
}

// names are those that placement and record say, some of them twice.
func (v *view) names() []string {
	names := v.memory.names()
	if placement := v.federated.Spec.Placement; placement != nil {
		for _, t := range placement.Topologies {
			names = append(names, t.Name)
		}
	}
	return names
}

// cluster makes the candidate of a whole cluster, or of one that a cell or an edge unit appears as.
func (v *view) cluster(cluster *v1beta1.KubeFedCluster) placement.Candidate {
	c := placement.Candidate{Name: cluster.Name, Labels: cluster.Labels, Member: cluster.Name, Owner: v.ownerOf(cluster.Name)}
	if isUnit(cluster) {
		c.ByNameOnly = true
		c.Member = cluster.Labels[federationv1alpha1.MemberLabel]
		c.Namespace = ownership.MemberNamespaceOf(cluster.Annotations[federationv1alpha1.MemberNamespaceAnnotation], c.Owner.Namespace, c.Owner.Name)
	}
	if refusal := tenancy.Refusal(v.key.namespace, v.tenant, tenancy.Of(cluster.Labels), tenancy.WholeCluster); refusal != "" {
		c.Refusal = fmt.Sprintf("cluster %q %s", cluster.Name, refusal)
	}
	if owner := cluster.Labels[federationv1alpha1.TopologyNamespaceLabel]; c.ByNameOnly && owner != v.key.namespace {
		c.Refusal = fmt.Sprintf("cluster %q is a %s of namespace %q", cluster.Name, cluster.Labels[federationv1alpha1.TopologyLabel], owner)
	}
	return c
}

// ownerOf is who must own the namespace in the member of a target.
func (v *view) ownerOf(target string) ownership.Owner {
	return ownership.OwnerOf(v.topologyOf(), v.key.namespace, target)
}

func (e *Engine) cellCandidates(v *view) ([]placement.Candidate, error) {
	cells, err := e.Cells.Cells(v.key.namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list cells: %w", err)
	}
	candidates := make([]placement.Candidate, 0, len(cells))
	for _, cell := range cells {
		candidates = append(candidates, v.unit("cell", cell.Name, cell.Labels, cell.Spec.ClusterName, cell.Spec.MemberNamespace))
	}
	return candidates, nil
}

func (e *Engine) edgeUnitCandidates(v *view) ([]placement.Candidate, error) {
	units, err := e.EdgeUnits.EdgeUnits(v.key.namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list edge units: %w", err)
	}
	candidates := make([]placement.Candidate, 0, len(units))
	for _, unit := range units {
		c := v.unit("edge unit", unit.Name, unit.Labels, unit.Spec.ClusterName, unit.Spec.MemberNamespace)
		c.NodeSelector = unit.Spec.NodeSelector
		if len(c.NodeSelector) == 0 {
			c.NodeSelector = map[string]string{edgev1alpha1.UnitLabel: unit.Name}
		}
		candidates = append(candidates, c)
	}
	return candidates, nil
}

// unit makes the candidate of a cell or an edge unit. It belongs to the tenant of its
// namespace unless its own labels say otherwise.
func (v *view) unit(what, name string, unitLabels map[string]string, member, memberNamespace string) placement.Candidate {
	c := placement.Candidate{
		Name: name, Labels: unitLabels, Member: member, Owner: v.ownerOf(name),
		Namespace: ownership.MemberNamespaceOf(memberNamespace, v.key.namespace, name),
	}
	if refusal := tenancy.UnitRefusal(v.key.namespace, v.tenant, unitLabels); refusal != "" {
		c.Refusal = fmt.Sprintf("%s %q %s", what, name, refusal)
	}
	return c
}
