package scheduler

import (
	"context"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/propagation"
	"github.com/koinon-io/koinon/pkg/federation/replicas"
)

// see makes of what the engine sees what package replicas decides on.
func (c *Controller) see(k key, preference *v1alpha1.ReplicaSchedulingPreference, sight *propagation.Sight, record *replicas.Record) ([]replicas.Seen, error) {
	spec := &sight.Federated.Spec
	candidates := make([]placement.Candidate, len(sight.Targets))
	for i := range sight.Targets {
		candidates[i] = sight.Targets[i].Candidate
	}
	placed, err := names(sight.Topology, spec.Placement, candidates)
	if err != nil {
		return nil, err
	}
	mask, err := placement.NewMask(sight.Topology, spec.PlacementMask)
	if err != nil {
		return nil, err
	}
	own := map[string]bool(nil)
	if preference.Spec.IntersectWithClusterSelector {
		if own, err = names(sight.Topology, ownPlacement(spec, record), candidates); err != nil {
			return nil, err
		}
	}
	seen := make([]replicas.Seen, 0, len(sight.Targets))
	settling := c.settling(k, sight)
	for i := range sight.Targets {
		t := &sight.Targets[i]
		if settling[t.Name] {
			continue // it is as if it were gone
		}
		s := replicas.Seen{
			Name: t.Name, Known: t.Known, Placed: placed[t.Name], Held: t.Held, Version: t.Version,
			Allowed: t.Refusal == "" && !t.Outside && (own == nil || own[t.Name]), Unfederated: t.Unfederated != "",
			Wanted: replicas.Wanted(&preference.Spec, t.Name, !t.ByNameOnly),
			Masked: !mask.Allows(t.Name, &t.Candidate),
		}
		if s.Known {
			ready := t.Member != nil && t.Member.Health == membership.Ready
			s.Since, _ = c.stateOf(t.Candidate.Member, ready)
			s.Ready = ready && t.Forbidden == ""
		}
		soon := false
		if s.Reading, s.Stale, soon = c.reader.reading(k, t.Name, placeOf(t), t.Seen, s.Since); soon && (s.Masked || preference.Spec.Rebalance) {
			c.queue.AddAfter(k, readAgain)
		}
		seen = append(seen, s)
	}
	return seen, nil
}

// placeOf is where the object is in a target.
func placeOf(t *propagation.SightTarget) place {
	return place{t.Candidate.Member, t.InNamespace, t.InName}
}

// settling are the targets that are refused to the object's namespace since a moment, as those of another tenant. Labels of a namespace and
// of a member that are changed together are seen in either order, and who leaves the placement in between would be deleted in its member.
func (c *Controller) settling(k key, sight *propagation.Sight) map[string]bool {
	var refused []string
	for i := range sight.Targets {
		if sight.Targets[i].Refusal != "" {
			refused = append(refused, sight.Targets[i].Name)
		}
	}
	now := c.now()
	c.refusals.note(k, refused, now)
	found := map[string]bool{}
	for name, since := range c.refusals.of(k) {
		if wait := c.Settings().Delays.Unavailable - now.Sub(since); wait > 0 {
			found[name] = true
			c.queue.AddAfter(k, wait)
		}
	}
	return found
}

// unfederated returns why nothing new is placed, empty if that is not so.
func unfederated(sight *propagation.Sight) string {
	for i := range sight.Targets {
		if why := sight.Targets[i].Unfederated; why != "" {
			return why // the same for all
		}
	}
	return ""
}

// ownPlacement is what the object itself says, whatever was written into its list.
func ownPlacement(spec *v1beta2.FederatedObjectSpec, record *replicas.Record) *v1beta2.Placement {
	if spec.Placement != nil && spec.Placement.TopologySelector != nil {
		return &v1beta2.Placement{TopologySelector: spec.Placement.TopologySelector}
	}
	own := &v1beta2.Placement{Topologies: []v1beta2.TopologyReference{}}
	for _, name := range replicas.OwnList(spec, record) {
		own.Topologies = append(own.Topologies, v1beta2.TopologyReference{Name: name})
	}
	return own
}

// names returns the targets that a placement has and that exist.
func names(topologyType string, wanted *v1beta2.Placement, candidates []placement.Candidate) (map[string]bool, error) {
	targets, err := placement.Resolve(topologyType, wanted, nil, candidates)
	if err != nil {
		return nil, err
	}
	found := make(map[string]bool, len(targets))
	for _, t := range targets {
		if t.Disposition == placement.Placed {
			found[t.Name] = true
		}
	}
	return found, nil
}

// read has targets read that a decision asks for, and returns when to decide again since some were
// read a moment ago; 0 if that is not so.
func (c *Controller) read(ctx context.Context, k key, preference *v1alpha1.ReplicaSchedulingPreference, sight *propagation.Sight, decision replicas.Decision) (again time.Duration) {
	asked := map[string]time.Duration{}
	for _, name := range decision.Refresh {
		asked[name] = replicas.ReadEvery
	}
	for _, name := range decision.Read {
		asked[name] = readAgain
	}
	for i := range sight.Targets {
		t := &sight.Targets[i]
		every, ok := asked[t.Name]
		if !ok || t.Member == nil || t.Member.Conn == nil {
			continue
		}
		wait := c.reader.ask(ctx, request{
			key: k, target: t.Name, member: t.Candidate.Member, conn: t.Member.Conn, resource: sight.Resource,
			namespace: t.InNamespace, name: t.InName, source: sight.Source, pods: preference.Spec.Rebalance,
		}, every)
		if wait > 0 && (again == 0 || wait < again) {
			again = wait
		}
	}
	return again
}
