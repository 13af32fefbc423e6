package conversion

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// InClusterWords returns an object in the topology shape, but with its targets and
// selectors named as v1beta1 does: a cell rz00a is called rz00a.shop in the placement, in
// overrides and in the status. The mask and overrides by selector, which v1beta1 has no
// words for, stay as they are. Groups of a user-defined type are named, zone=a, also where
// v1beta1 shows a selector for them: it is names that somebody owns. The result shares parts
// with in.
func InClusterWords(in *v1beta2.FederatedObject) *v1beta2.FederatedObject {
	out := *in
	if hasClusterWords(in.Spec.TopologyType) {
		return &out
	}
	n := names{in.Spec.TopologyType, in.Namespace}
	out.Spec.Placement = n.inClusterWords(in.Spec.Placement)
	out.Spec.Overrides = renamedOverrides(in.Spec.Overrides, func(_ int, name string) string {
		return topology.SpecClusterName(n.topologyType, n.namespace, name)
	})
	out.Status = renamedTargets(in.Status, n.statusClusterName)
	return &out
}

func (n names) inClusterWords(in *v1beta2.Placement) *v1beta2.Placement {
	groups := []string(nil)
	if in != nil {
		groups = groupsOf(n.topologyType, in)
	}
	if len(groups) == 0 {
		return asTopologies(n.clusterPlacement(in))
	}
	out := &v1beta2.Placement{Topologies: make([]v1beta2.TopologyReference, len(groups))}
	for i := range groups {
		out.Topologies[i].Name = topology.SpecClusterName(n.topologyType, n.namespace, groups[i])
	}
	return out
}

// FromClusterWords undoes InClusterWords, by the object's own topologyType. The error, a
// *field.Error in the words of v1beta1, is a name or selector that nothing of that type
// can have.
func FromClusterWords(in *v1beta2.FederatedObject) (*v1beta2.FederatedObject, error) {
	out := *in
	if hasClusterWords(in.Spec.TopologyType) {
		return &out, nil
	}
	n := &names{in.Spec.TopologyType, in.Namespace}
	placement, err := n.topologyPlacement(asClusters(in.Spec.Placement))
	if err == nil && placement != nil {
		err = n.contradiction(placement, in.Spec.Placement.TopologySelector)
	}
	if err != nil {
		return nil, err
	}
	out.Spec.Placement = placement
	out.Spec.Overrides = renamedOverrides(in.Spec.Overrides, func(index int, name string) string {
		renamed, invalid := n.name(name, func() *field.Path { return overridesPath.Index(index).Child("clusterName") })
		if invalid != nil && err == nil {
			err = invalid
		}
		return renamed
	})
	if err != nil {
		return nil, err
	}
	out.Status = renamedTargets(in.Status, n.statusName)
	return &out, nil
}

// contradiction refuses a selector that stands for other groups than those that are named: who
// applies it does not own the names, so that they stay beside it.
func (n *names) contradiction(p *v1beta2.Placement, s *metav1.LabelSelector) *field.Error {
	groups, ok := topology.GroupsOfSelector(n.topologyType, n.namespace, s)
	if named := groupsOf(n.topologyType, p); !ok || len(named) == 0 || slices.Equal(named, groups) {
		return nil
	}
	return field.Invalid(placementPath.Child("clusterSelector"), metav1.FormatLabelSelector(s), fmt.Sprintf(
		"topologyType is %s, and other groups are placed by name: write clusters, with names such as %s", n.topologyType, topology.GroupTarget(n.topologyType, groups[0])))
}

// asTopologies moves names and selector of a placement, as they are.
func asTopologies(in *v1beta1.Placement) *v1beta2.Placement {
	if in == nil {
		return nil
	}
	out := &v1beta2.Placement{TopologySelector: in.ClusterSelector}
	if in.Clusters != nil {
		out.Topologies = make([]v1beta2.TopologyReference, len(in.Clusters))
		for i := range in.Clusters {
			out.Topologies[i] = v1beta2.TopologyReference(in.Clusters[i])
		}
	}
	return out
}

// asClusters is the inverse of asTopologies.
func asClusters(in *v1beta2.Placement) *v1beta1.Placement {
	if in == nil {
		return nil
	}
	out := &v1beta1.Placement{ClusterSelector: in.TopologySelector}
	if in.Topologies != nil {
		out.Clusters = make([]v1beta1.ClusterReference, len(in.Topologies))
		for i := range in.Topologies {
			out.Clusters[i] = v1beta1.ClusterReference(in.Topologies[i])
		}
	}
	return out
}

// renamedOverrides returns a copy in which the overrides by name are renamed. rename gets
// the index among those by name, which is the index in v1beta1.
func renamedOverrides(in []v1beta2.Override, rename func(index int, name string) string) []v1beta2.Override {
	if in == nil {
		return nil
	}
	out, named := make([]v1beta2.Override, len(in)), 0
	for i := range in {
		out[i] = in[i]
		if in[i].TopologySelector == nil {
			out[i].TopologyName = rename(named, in[i].TopologyName)
			named++
		}
	}
	return out
}

func renamedTargets(in *v1beta2.FederatedObjectStatus, rename func(string) string) *v1beta2.FederatedObjectStatus {
	if in == nil || in.Targets == nil {
		return in
	}
	out := *in
	out.Targets = make([]v1beta2.TargetStatus, len(in.Targets))
	for i := range in.Targets {
		out.Targets[i] = in.Targets[i]
		out.Targets[i].Name = rename(in.Targets[i].Name)
	}
	return &out
}
