package conversion

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Paths in the words of v1beta1.
var (
	placementPath = field.NewPath("spec", "placement")
	overridesPath = field.NewPath("spec", "overrides")
)

// ToV1beta2 returns the topology shape of an object. The result shares parts with in,
// and neither may be modified in place afterwards. topologyType is always set.
//
// An error is a *field.Error in the words of v1beta1: see the package comment for what
// is refused.
func ToV1beta2(in *v1beta1.FederatedObject) (*v1beta2.FederatedObject, error) {
	out := &v1beta2.FederatedObject{}
	if err := ToV1beta2Into(in, out); err != nil {
		return nil, err
	}
	return out, nil
}

// ToV1beta2Into is ToV1beta2 for lists: it overwrites all of out. out is undefined after
// an error.
func ToV1beta2Into(in *v1beta1.FederatedObject, out *v1beta2.FederatedObject) error {
	var stash v1beta1.TopologyStash
	if value, ok := in.Annotations[v1beta1.TopologyAnnotation]; ok {
		var err *field.Error
		if stash, err = readStash(value); err != nil {
			return err
		}
	}
	if stash.TopologyType == "" {
		stash.TopologyType = v1beta2.TopologyCluster
	}
	out.TypeMeta = in.TypeMeta
	out.APIVersion = withVersion(in.APIVersion, versionV1beta2)
	out.ObjectMeta = in.ObjectMeta
	out.Annotations = withAnnotation(in.Annotations, "")
	out.Spec = v1beta2.FederatedObjectSpec{
		TopologyType:   stash.TopologyType,
		Template:       in.Spec.Template,
		PlacementMask:  stash.PlacementMask,
		RetainReplicas: in.Spec.RetainReplicas,
	}
	n := &names{stash.TopologyType, in.Namespace}
	var err *field.Error
	if out.Spec.Placement, err = n.topologyPlacement(in.Spec.Placement); err != nil {
		return err
	}
	named, err := n.topologyOverrides(in.Spec.Overrides)
	if err != nil {
		return err
	}
	out.Spec.Overrides = insertSelectorOverrides(named, stash.SelectorOverrides)
	out.Status = n.topologyStatus(in.Status)
	out.Namespace = n.namespace
	return nil
}

func (n *names) topologyPlacement(in *v1beta1.Placement) (*v1beta2.Placement, *field.Error) {
	if in == nil {
		return nil, nil
	}
	out := &v1beta2.Placement{}
	var err *field.Error
	if in.Clusters != nil {
		out.Topologies = make([]v1beta2.TopologyReference, len(in.Clusters))
		for i := range in.Clusters {
			path := func() *field.Path { return placementPath.Child("clusters").Index(i).Child("name") }
			if out.Topologies[i].Name, err = n.name(in.Clusters[i].Name, path); err != nil {
				return nil, err
			}
		}
	}
	if topology.Label(n.topologyType) != "" {
		return n.groupPlacement(out, in.ClusterSelector)
	}
	out.TopologySelector, err = n.selector(in.ClusterSelector, placementPath.Child("clusterSelector"))
	return out, err
}

// groupPlacement completes the placement of a user-defined type: a selector may stand for names. If
// there are names beside it, it is what v1beta1 shows of these, or of those before.
func (n *names) groupPlacement(p *v1beta2.Placement, s *metav1.LabelSelector) (*v1beta2.Placement, *field.Error) {
	path := placementPath.Child("clusterSelector")
	n.learn(topology.SelectorNamespace(n.topologyType, s))
	groups, ok := topology.GroupsOfSelector(n.topologyType, n.namespace, s)
	switch {
	case ok && p.Topologies == nil:
		p.Topologies = make([]v1beta2.TopologyReference, len(groups))
		for i := range groups {
			p.Topologies[i].Name = groups[i]
		}
		return p, nil
	case ok:
		return p, nil
	case s != nil && len(p.Topologies) > 0:
		return nil, field.Forbidden(path, fmt.Sprintf("topologyType is %s, so there may be clusters or a selector, and not both", n.topologyType))
	}
	var err *field.Error
	p.TopologySelector, err = n.selector(s, path)
	return p, err
}

func (n *names) topologyOverrides(in []v1beta1.Override) ([]v1beta2.Override, *field.Error) {
	if in == nil {
		return nil, nil
	}
	out := make([]v1beta2.Override, len(in))
	for i := range in {
		path := func() *field.Path { return overridesPath.Index(i).Child("clusterName") }
		name, err := n.name(in[i].ClusterName, path)
		if err != nil {
			return nil, err
		}
		out[i] = v1beta2.Override{TopologyName: name, TopologyOverrides: topologyPatches(in[i].ClusterOverrides)}
	}
	return out, nil
}

func topologyPatches(in []v1beta1.OverridePatch) []v1beta2.OverridePatch {
	if in == nil {
		return nil
	}
	out := make([]v1beta2.OverridePatch, len(in))
	for i := range in {
		out[i] = v1beta2.OverridePatch(in[i])
	}
	return out
}

// name maps a cluster name back. If the namespace is not known yet, the name tells it.
func (n *names) name(clusterName string, path func() *field.Path) (string, *field.Error) {
	if hasClusterWords(n.topologyType) {
		return clusterName, nil
	}
	name, namespace, ok := topology.SplitSpec(n.topologyType, clusterName)
	if ok {
		n.learn(namespace)
	}
	if grouped := topology.Label(n.topologyType) != ""; !ok || !grouped && namespace != n.namespace {
		return "", field.Invalid(path(), clusterName, fmt.Sprintf("topologyType is %s, so the name must be %s", n.topologyType, n.rule()))
	}
	return name, nil
}

// learn takes the namespace from a name or a selector if it is not known yet.
func (n *names) learn(namespace string) {
	if n.namespace == "" {
		n.namespace = namespace
	}
}

// hasClusterWords reports whether v1beta1 calls whom a spec of that type names, and selects, as
// v1beta2 does.
func hasClusterWords(topologyType string) bool {
	return !topology.Scoped(topologyType) && topology.Label(topologyType) == ""
}

func (n *names) rule() string { return topology.SpecRule(n.topologyType, n.shownNamespace()) }

func (n *names) shownNamespace() string {
	if n.namespace == "" {
		return "<namespace>"
	}
	return n.namespace
}

// selector maps a cluster selector back.
func (n *names) selector(s *metav1.LabelSelector, path *field.Path) (*metav1.LabelSelector, *field.Error) {
	n.learn(topology.SelectorNamespace(n.topologyType, s))
	out, ok := topology.SelectorFromCluster(n.topologyType, n.namespace, s)
	if !ok {
		shown := metav1.FormatLabelSelector(s)
		if len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 {
			shown = "{}"
		}
		return nil, field.Invalid(path, shown, fmt.Sprintf("topologyType is %s, so %s", n.topologyType, topology.SelectorWants(n.topologyType, n.shownNamespace())))
	}
	return out, nil
}
