package conversion

import (
	"strings"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Versions of the federated kinds, whatever their group is.
const (
	versionV1beta1 = "v1beta1"
	versionV1beta2 = "v1beta2"
)

// SetDefaults fills in what a v1beta2 object may leave out: topologyType, which is
// cluster.
func SetDefaults(obj *v1beta2.FederatedObject) {
	if obj.Spec.TopologyType == "" {
		obj.Spec.TopologyType = v1beta2.TopologyCluster
	}
}

// ToV1beta1 returns the cluster shape of an object. The result shares parts with in, and
// neither may be modified in place afterwards.
//
// It succeeds for every object whose raw values are JSON.
func ToV1beta1(in *v1beta2.FederatedObject) (*v1beta1.FederatedObject, error) {
	out := &v1beta1.FederatedObject{}
	if err := ToV1beta1Into(in, out); err != nil {
		return nil, err
	}
	return out, nil
}

// ToV1beta1Into is ToV1beta1 for lists: it overwrites all of out, such as an item of a
// slice that was allocated once. out is undefined after an error.
func ToV1beta1Into(in *v1beta2.FederatedObject, out *v1beta1.FederatedObject) error {
	stash, err := Stash(in)
	if err != nil {
		return err
	}
	n := names{in.Spec.TopologyType, in.Namespace}
	out.TypeMeta = in.TypeMeta
	out.APIVersion = withVersion(in.APIVersion, versionV1beta1)
	out.ObjectMeta = in.ObjectMeta
	out.Annotations = withAnnotation(in.Annotations, stash)
	out.Spec = v1beta1.FederatedObjectSpec{
		Template:       in.Spec.Template,
		Placement:      n.clusterPlacement(in.Spec.Placement),
		Overrides:      n.clusterOverrides(in.Spec.Overrides),
		RetainReplicas: in.Spec.RetainReplicas,
	}
	out.Status = n.clusterStatus(in.Status)
	return nil
}

// withVersion replaces the version in "group/version". The empty string stays empty: the
// holder of an object without type metadata knows its version.
func withVersion(apiVersion, version string) string {
	switch apiVersion {
	case v1beta2.GroupName + "/v1beta2", v1beta2.GroupName + "/v1beta1":
		// Nearly all; these strings are constants, so that a list builds none.
		if version == versionV1beta1 {
			return v1beta2.GroupName + "/v1beta1"
		}
		return v1beta2.GroupName + "/v1beta2"
	case "":
		return ""
	}
	group, _, _ := strings.Cut(apiVersion, "/")
	return group + "/" + version
}

// names converts names of targets of one object.
type names struct{ topologyType, namespace string }

func (n names) clusterPlacement(in *v1beta2.Placement) *v1beta1.Placement {
	if in == nil {
		return nil
	}
	if groups := groupsOf(n.topologyType, in); len(groups) > 0 {
		return &v1beta1.Placement{ClusterSelector: topology.SelectorOfGroups(n.topologyType, n.namespace, groups)}
	}
	out := &v1beta1.Placement{ClusterSelector: topology.SelectorToCluster(n.topologyType, n.namespace, in.TopologySelector)}
	if in.Topologies != nil {
		out.Clusters = make([]v1beta1.ClusterReference, len(in.Topologies))
		for i := range in.Topologies {
			out.Clusters[i].Name = topology.ClusterName(n.topologyType, n.namespace, in.Topologies[i].Name)
		}
	}
	return out
}

// groupsOf returns the names in a placement of a user-defined type, nil for all others.
func groupsOf(topologyType string, p *v1beta2.Placement) (groups []string) {
	if topology.Label(topologyType) == "" {
		return nil
	}
	for i := range p.Topologies {
		groups = append(groups, p.Topologies[i].Name)
	}
	return groups
}

// clusterOverrides leaves out the overrides by selector, which the stash has. The list
// is absent if it held no others.
func (n names) clusterOverrides(in []v1beta2.Override) []v1beta1.Override {
	if in == nil {
		return nil
	}
	named := 0
	for i := range in {
		if in[i].TopologySelector == nil {
			named++
		}
	}
	if named == 0 && len(in) > 0 {
		return nil
	}
	out := make([]v1beta1.Override, 0, named)
	for i := range in {
		if in[i].TopologySelector != nil {
			continue
		}
		out = append(out, v1beta1.Override{
			ClusterName:      topology.SpecClusterName(n.topologyType, n.namespace, in[i].TopologyName),
			ClusterOverrides: clusterPatches(in[i].TopologyOverrides),
		})
	}
	return out
}

func clusterPatches(in []v1beta2.OverridePatch) []v1beta1.OverridePatch {
	if in == nil {
		return nil
	}
	out := make([]v1beta1.OverridePatch, len(in))
	for i := range in {
		out[i] = v1beta1.OverridePatch(in[i])
	}
	return out
}
