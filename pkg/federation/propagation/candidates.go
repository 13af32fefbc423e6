package propagation

import (
	"fmt"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// candidates lists every cluster, cell or edge unit that the object may be in, and those that it
// names or was in without that.
func (e *Engine) candidates(v *view) ([]placement.Candidate, error) {
	topologyType := v.topologyOf()
	if problem := topology.Problem(topologyType); problem != "" {
		v.problem = fmt.Sprintf("spec.topologyType: %q %s", topologyType, problem)
		return nil, nil
	}
	switch topology.Base(topologyType) {
	case v1beta2.TopologyCluster:
		return e.clusterCandidates(v)
	case v1beta2.TopologyCell:
		return e.cellCandidates(v)
	default:
		return e.edgeUnitCandidates(v)
	}
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
		candidates[i] = v.object().Cluster(cluster)
		if cell, ok := cellOf(v.topologyOf(), v.key.namespace, cluster.Name); ok && candidates[i].ByNameOnly {
			if in, err := e.Cells.Cells(v.key.namespace).Get(cell); err == nil {
				candidates[i].Leaving = reach.Leaving(in)
			}
		}
	}
	return candidates, nil
}

// candidate returns the cluster, cell or edge unit of a name; false if there is none.
func (e *Engine) candidate(o reach.Object, name string) (c placement.Candidate, there bool, err error) {
	switch o.Base() {
	case v1beta2.TopologyCluster:
		cluster, err := e.Clusters.Get(name)
		if err != nil || cluster == nil {
			return c, false, err
		}
		return o.Cluster(cluster), true, nil
	case v1beta2.TopologyCell:
		cell, err := e.Cells.Cells(o.Namespace).Get(name)
		return listed(o.Cell, cell, err)
	default:
		unit, err := e.EdgeUnits.EdgeUnits(o.Namespace).Get(name)
		return listed(o.EdgeUnit, unit, err)
	}
}

// listed makes a candidate of what a lister has answered.
func listed[T any](candidateOf func(T) placement.Candidate, object T, err error) (c placement.Candidate, there bool, _ error) {
	switch {
	case isNotFound(err):
		return c, false, nil
	case err != nil:
		return c, false, err
	}
	return candidateOf(object), true, nil
}

// names are the targets that placement and record name, some of them twice.
func (v *view) names() []string {
	names := v.memory.names()
	if placement := v.federated.Spec.Placement; placement != nil && topology.Label(v.topologyOf()) == "" {
		for _, t := range placement.Topologies {
			names = append(names, t.Name)
		}
	}
	return names
}

// object is what package reach is asked about.
func (v *view) object() reach.Object {
	return reach.Object{TopologyType: v.topologyOf(), Namespace: v.key.namespace, Name: v.key.name, Tenant: v.tenant}
}

// ownerOf is who must own the namespace in the member of a target.
func (v *view) ownerOf(target string) ownership.Owner {
	return v.object().Owner(target)
}

func (e *Engine) cellCandidates(v *view) ([]placement.Candidate, error) {
	cells, err := e.Cells.Cells(v.key.namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list cells: %w", err)
	}
	candidates := make([]placement.Candidate, 0, len(cells))
	for _, cell := range cells {
		candidates = append(candidates, v.object().Cell(cell))
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
		candidates = append(candidates, v.object().EdgeUnit(unit))
	}
	return candidates, nil
}
