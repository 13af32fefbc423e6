package placement

import (
	"slices"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// TakesAway returns those of the holders, in their order, that objects of a namespace leave when what is known of its
// FederatedNamespace changes from before to after: where they may stay before, and are Outside after. See Narrow, whose
// rule and errors these are.
//
// The holders have objects of the namespace whose topology type has the same base as the one given: see HeldIn. An object
// may not use one that has a Refusal, and leaves none of them by this.
func TakesAway(topologyType string, holders []Candidate, before, after Namespace) (left []Candidate, err error) {
	was, err := outside(topologyType, holders, before)
	if err != nil {
		return nil, err
	}
	is, err := outside(topologyType, holders, after)
	if err != nil {
		return nil, err
	}
	for i, holder := range holders {
		if is[i] && !was[i] {
			left = append(left, holder)
		}
	}
	return left, nil
}

// outside reports of each candidate whether objects that are placed there are Outside.
func outside(topologyType string, candidates []Candidate, namespace Namespace) ([]bool, error) {
	targets := make([]Target, len(candidates))
	for i, c := range candidates {
		targets[i].Candidate = c
		if c.Refusal != "" {
			targets[i].Disposition = NotFound
		}
	}
	targets, err := Narrow(topologyType, targets, namespace)
	if err != nil {
		return nil, err
	}
	outside := make([]bool, len(targets))
	for i := range targets {
		outside[i] = targets[i].Disposition == Outside
	}
	return outside, nil
}

// HeldIn names the targets that have an object, or may have it, as its status says: where a cell was before it moved,
// too. There are none if the object's topology type has another base than the one given, such as cell, or if the object is being
// deleted, since it departs anyway.
func HeldIn(o *v1beta2.FederatedObject, topologyType string) (targets []string) {
	if o.DeletionTimestamp != nil || o.Status == nil || topology.Base(TopologyOf(o)) != topology.Base(topologyType) {
		return nil
	}
	for i := range o.Status.Targets {
		record := &o.Status.Targets[i]
		moved := slices.ContainsFunc(record.Former, func(f v1beta2.FormerPlace) bool { return f.Hash != "" })
		if record.Hash != "" || record.State == v1beta2.TargetPending || moved {
			targets = append(targets, record.Name)
		}
	}
	return targets
}

// TopologyOf is the topology type of an object, defaulted.
func TopologyOf(o *v1beta2.FederatedObject) string {
	if o.Spec.TopologyType == "" {
		return v1beta2.TopologyCluster
	}
	return o.Spec.TopologyType
}
