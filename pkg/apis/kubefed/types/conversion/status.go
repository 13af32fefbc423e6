package conversion

import (
	"strings"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// ForeignPrefix marks status entries of clusters that are no target of the object's type,
// where targets of that type are not clusters. No name of a cell or edge unit holds a
// colon.
const ForeignPrefix = "cluster:"

// statusName maps the name of a status entry; unlike a name in the spec it may be one
// that follows no rule.
func (n names) statusName(clusterName string) string {
	if topology.IsGroupTarget(n.topologyType, clusterName) {
		return clusterName
	}
	if name, ok := topology.Name(n.topologyType, n.namespace, clusterName); ok {
		return name
	}
	return ForeignPrefix + clusterName
}

func (n names) statusClusterName(name string) string {
	if topology.Scoped(n.topologyType) {
		if foreign, ok := strings.CutPrefix(name, ForeignPrefix); ok {
			return foreign
		}
	}
	if topology.IsGroupTarget(n.topologyType, name) {
		return name
	}
	return topology.ClusterName(n.topologyType, n.namespace, name)
}

func (n names) clusterStatus(in *v1beta2.FederatedObjectStatus) *v1beta1.FederatedObjectStatus {
	if in == nil {
		return nil
	}
	out := &v1beta1.FederatedObjectStatus{ObservedGeneration: in.ObservedGeneration}
	rest := v1beta1.TopologyStatus{Workload: in.Workload}
	if len(in.Conditions) > 0 {
		out.Conditions = make([]v1beta1.Condition, len(in.Conditions))
	}
	for i := range in.Conditions {
		c := &in.Conditions[i]
		out.Conditions[i] = v1beta1.Condition{
			Type: c.Type, Status: c.Status, Reason: c.Reason,
			LastUpdateTime: c.LastUpdateTime, LastTransitionTime: c.LastTransitionTime,
		}
		if c.Message == "" {
			continue
		}
		if rest.Messages == nil {
			rest.Messages = map[string]string{}
		}
		rest.Messages[string(c.Type)] = c.Message
	}
	if len(in.Targets) > 0 {
		out.Clusters = make([]v1beta1.ClusterStatus, len(in.Targets))
	}
	for i := range in.Targets {
		t := &in.Targets[i]
		out.Clusters[i] = v1beta1.ClusterStatus{Name: n.statusClusterName(t.Name), Status: t.State, RemoteStatus: t.RemoteStatus}
		if hubOnly(t) {
			kept := *t
			kept.State, kept.RemoteStatus = "", nil
			rest.Targets = append(rest.Targets, kept)
		}
	}
	if rest.Messages != nil || rest.Workload != nil || rest.Targets != nil {
		out.Topology = &rest
	}
	return out
}

// hubOnly reports whether the target has fields that KubeFed's format has no place for.
func hubOnly(t *v1beta2.TargetStatus) bool {
	return t.Message != "" || t.Cluster != "" || t.Namespace != "" || t.Hash != "" || t.Version != "" || t.Generation != 0 || t.Ended ||
		t.Health != "" || t.HealthMessage != "" || t.Replicas != 0 || t.Ready != 0 || len(t.Former) > 0
}

func (n names) topologyStatus(in *v1beta1.FederatedObjectStatus) *v1beta2.FederatedObjectStatus {
	if in == nil {
		return nil
	}
	rest := v1beta1.TopologyStatus{}
	if in.Topology != nil {
		rest = *in.Topology
	}
	out := &v1beta2.FederatedObjectStatus{ObservedGeneration: in.ObservedGeneration, Workload: rest.Workload}
	if len(in.Conditions) > 0 {
		out.Conditions = make([]v1beta2.Condition, len(in.Conditions))
	}
	for i := range in.Conditions {
		c := &in.Conditions[i]
		out.Conditions[i] = v1beta2.Condition{
			Type: c.Type, Status: c.Status, Reason: c.Reason, Message: rest.Messages[string(c.Type)],
			LastUpdateTime: c.LastUpdateTime, LastTransitionTime: c.LastTransitionTime,
		}
	}
	if len(in.Clusters) > 0 {
		out.Targets = make([]v1beta2.TargetStatus, len(in.Clusters))
	}
	known := targetFinder{targets: rest.Targets}
	for i := range in.Clusters {
		c, t := &in.Clusters[i], &out.Targets[i]
		name := n.statusName(c.Name)
		if k := known.find(name); k != nil {
			*t = *k
		}
		t.Name, t.State, t.RemoteStatus = name, c.Status, c.RemoteStatus
	}
	return out
}

// targetFinder finds targets by name, at no cost as long as they are asked for in the
// order in which they are listed.
type targetFinder struct {
	targets []v1beta2.TargetStatus
	next    int
	byName  map[string]int
}

// find returns the first target of that name, nil if there is none.
func (f *targetFinder) find(name string) *v1beta2.TargetStatus {
	if len(f.targets) == 0 {
		return nil
	}
	if f.byName == nil && f.next < len(f.targets) && f.targets[f.next].Name == name {
		f.next++
		return &f.targets[f.next-1]
	}
	if f.byName == nil {
		f.byName = make(map[string]int, len(f.targets))
		for i := len(f.targets) - 1; i >= 0; i-- {
			f.byName[f.targets[i].Name] = i
		}
	}
	if i, ok := f.byName[name]; ok {
		return &f.targets[i]
	}
	return nil
}
