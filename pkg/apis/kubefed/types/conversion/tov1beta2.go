package conversion

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
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
	out.TopologySelector, err = n.selector(in.ClusterSelector, placementPath.Child("clusterSelector"))
	return out, err
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
	if !topology.Scoped(n.topologyType) {
		return clusterName, nil
	}
	name, namespace, ok := topology.Split(n.topologyType, clusterName)
	if ok && n.namespace == "" {
		n.namespace = namespace
	}
	if !ok || namespace != n.namespace {
		return "", field.Invalid(path(), clusterName, fmt.Sprintf("topologyType is %s, so the name must be %s", n.topologyType, n.rule()))
	}
	return name, nil
}

func (n *names) rule() string {
	if n.namespace == "" {
		return topology.Rule(n.topologyType, "<namespace>")
	}
	return topology.Rule(n.topologyType, n.namespace)
}

// selector maps a cluster selector back.
func (n *names) selector(s *metav1.LabelSelector, path *field.Path) (*metav1.LabelSelector, *field.Error) {
	if n.namespace == "" {
		n.namespace = topology.SelectorNamespace(n.topologyType, s)
	}
	out, ok := topology.SelectorFromCluster(n.topologyType, n.namespace, s)
	if !ok {
		namespace := n.namespace
		if namespace == "" {
			namespace = "<namespace>"
		}
		shown := metav1.FormatLabelSelector(s)
		if len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 {
			shown = "{}"
		}
		return nil, field.Invalid(path, shown, fmt.Sprintf(
			"topologyType is %s, so matchLabels must hold %s: %s and %s: %s", n.topologyType,
			v1alpha1.TopologyLabel, n.topologyType, v1alpha1.TopologyNamespaceLabel, namespace))
	}
	return out, nil
}
