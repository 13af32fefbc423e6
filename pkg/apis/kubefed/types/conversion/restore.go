package conversion

import (
	"cmp"
	"slices"
	"strings"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Restore puts back, after a write that came through v1beta1, what its client could not
// say. old is the stored object, new what conversion made of the request; subresource is
// "" or "status", and others change nothing.
//
// For "" it restores the spec. A client that keeps v1beta1.TopologyAnnotation has said
// everything; so nothing is restored if new has any of: a topologyType other than
// cluster, a mask, an override by selector. If it has none of them but old has, the
// annotation was dropped, and new gets
//
//   - the topologyType of old, with the names and selectors of new mapped back by rule;
//   - the mask of old;
//   - the overrides by selector of old, each at its index, or at the end of a list that
//     became shorter.
//
// So the mask and overrides by selector are removed in v1beta2, or in the annotation; by
// leaving it out they are not. For "status" see RestoreStatus.
//
// new must not share parts with old that the caller modifies in place. Restore may be
// called again with the same new, and does nothing then.
//
// The error, a *field.Error in the words of v1beta1, is a name or selector that is none
// of old's topologyType; new is unchanged then, and must be refused.
func Restore(old, new *v1beta2.FederatedObject, subresource string) error {
	switch subresource {
	case "":
		return restoreSpec(old, new)
	case "status":
		RestoreStatus(old, new)
	}
	return nil
}

func restoreSpec(old, new *v1beta2.FederatedObject) error {
	if !HasTopology(&old.Spec) || HasTopology(&new.Spec) {
		return nil
	}
	// Type cluster names targets as v1beta1 does.
	restored := *new
	restored.Namespace = old.Namespace
	TakeTopology(old, &restored)
	mapped, err := FromClusterWords(&restored)
	if err != nil {
		return err
	}
	new.Spec = mapped.Spec
	return nil
}

// TakeTopology makes the part of new's spec that v1beta1 has no words for the one of old:
// the topologyType, the mask, and the overrides by selector, each at its index, or at the
// end of a list that became shorter. Names are left as they are, and so is the list that
// new's overrides are in.
func TakeTopology(old, new *v1beta2.FederatedObject) {
	new.Spec.TopologyType = old.Spec.TopologyType
	new.Spec.PlacementMask = old.Spec.PlacementMask.DeepCopy()
	named := slices.DeleteFunc(slices.Clone(new.Spec.Overrides), func(o v1beta2.Override) bool { return o.TopologySelector != nil })
	if len(named) == 0 && len(new.Spec.Overrides) > 0 {
		named = nil
	}
	new.Spec.Overrides = insertSelectorOverrides(named, copied(selectorOverrides(old.Spec.Overrides)))
}

// HasTopology reports whether v1beta1 needs its annotation to say the spec.
func HasTopology(spec *v1beta2.FederatedObjectSpec) bool {
	return (spec.TopologyType != "" && spec.TopologyType != v1beta2.TopologyCluster) || spec.PlacementMask != nil || HasSelectorOverrides(spec)
}

// HasSelectorOverrides reports whether any override has a selector.
func HasSelectorOverrides(spec *v1beta2.FederatedObjectSpec) bool {
	return slices.ContainsFunc(spec.Overrides, func(o v1beta2.Override) bool { return o.TopologySelector != nil })
}

func copied(in []v1beta1.IndexedOverride) []v1beta1.IndexedOverride {
	for i := range in {
		in[i].Override = *in[i].Override.DeepCopy()
	}
	return in
}

// RestoreStatus puts back, after a status write that came through v1beta1, what its
// client does not know. It has to be called before anything else makes new's spec equal
// to old's, since the spec tells in which words the names are; it ends by doing that
// itself, as a status write changes no spec.
//
// A client that keeps status.topology has said everything. If nothing in new's status
// goes beyond KubeFed's format, it was dropped, and
//
//   - a condition of the same type, status and reason keeps its message;
//   - a target that is still there keeps cluster, namespace, hash, version,
//     generation and health, and its message if the state is the same;
//   - the numbers of a workload stay;
//   - a target that was Masked stays, though a stock controller does not report it;
//   - targets are sorted by name and those of the same name are dropped but for the
//     first, as stock controllers list them in random order.
func RestoreStatus(old, new *v1beta2.FederatedObject) {
	restoreNames(old, new)
	new.Spec = *old.Spec.DeepCopy()
	if old.Status == nil || statusGoesBeyondKubeFed(new.Status) {
		return
	}
	if new.Status == nil {
		new.Status = &v1beta2.FederatedObjectStatus{}
	}
	new.Status.Workload = old.Status.Workload.DeepCopy()
	new.Status.Conditions = restoredConditions(old.Status.Conditions, new.Status.Conditions)
	new.Status.Targets = restoredTargets(old.Status.Targets, new.Status.Targets)
}

// restoreNames maps the names in new's status from clusters to targets of old's type,
// unless conversion has done so. A name that holds a dot is a cluster's in any case.
func restoreNames(old, new *v1beta2.FederatedObject) {
	if new.Status == nil || !topology.Scoped(old.Spec.TopologyType) {
		return
	}
	n := names{old.Spec.TopologyType, old.Namespace}
	ofClusters := old.Spec.TopologyType != new.Spec.TopologyType
	targets := slices.Clone(new.Status.Targets)
	for i := range targets {
		name := targets[i].Name
		if ofClusters || (strings.Contains(name, ".") && !strings.HasPrefix(name, ForeignPrefix)) {
			targets[i].Name = n.statusName(name)
		}
	}
	new.Status.Targets = targets
}

func statusGoesBeyondKubeFed(s *v1beta2.FederatedObjectStatus) bool {
	if s == nil {
		return false
	}
	return s.Workload != nil || slices.ContainsFunc(s.Conditions, func(c v1beta2.Condition) bool { return c.Message != "" }) ||
		slices.ContainsFunc(s.Targets, func(t v1beta2.TargetStatus) bool { return hubOnly(&t) })
}

func restoredConditions(old, new []v1beta2.Condition) []v1beta2.Condition {
	out := slices.Clone(new)
	for i := range out {
		for _, was := range old {
			if was.Type == out[i].Type && was.Status == out[i].Status && was.Reason == out[i].Reason {
				out[i].Message = was.Message
			}
		}
	}
	return out
}

func restoredTargets(old, new []v1beta2.TargetStatus) []v1beta2.TargetStatus {
	out := slices.Clone(new)
	byName := func(a, b v1beta2.TargetStatus) int { return cmp.Compare(a.Name, b.Name) }
	sameName := func(a, b v1beta2.TargetStatus) bool { return a.Name == b.Name }
	slices.SortStableFunc(out, byName)
	out = slices.CompactFunc(out, sameName)
	reported := len(out)
	for _, was := range old {
		i, found := slices.BinarySearchFunc(out[:reported], was, byName)
		switch {
		case found:
			t := &out[i]
			t.Cluster, t.Namespace, t.Hash, t.Version, t.Generation = was.Cluster, was.Namespace, was.Hash, was.Version, was.Generation
			t.Ended, t.Former = was.Ended, was.Former
			t.Health, t.HealthMessage, t.Replicas, t.Ready = was.Health, was.HealthMessage, was.Replicas, was.Ready
			if t.State == was.State {
				t.Message = was.Message
			}
		case was.State == v1beta2.TargetMasked:
			out = append(out, was)
		}
	}
	slices.SortStableFunc(out, byName)
	return out
}
