package simulated_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// makeUnit makes a cell or an edge unit in a member.
func (f *fixture) makeUnit(gvr schema.GroupVersionResource, name string, member *simulation.Member) {
	f.Helper()
	f.put(gvr, map[string]any{"metadata": map[string]any{"name": name, "namespace": "shop"}, "spec": map[string]any{"clusterName": member.Name()}})
}

// loseUnit has a cell or an edge unit gone at once, and not drained: somebody takes its finalizer.
func (f *fixture) loseUnit(gvr schema.GroupVersionResource, name string) {
	f.Helper()
	defer f.host.Remove(gvr, "shop", name) // before the controllers put it back
	if _, err := f.host.Change(gvr, "shop", name, func(object map[string]any) {
		delete(object["metadata"].(map[string]any), "finalizers")
	}); err != nil {
		f.Fatal(err)
	}
}

// targetsOf are the entries of targets in the status of an object.
func (f *fixture) targetsOf(gvr schema.GroupVersionResource, name string) []map[string]any {
	entries, _, _ := unstructured.NestedSlice(f.host.Object(gvr, "shop", name), "status", "targets")
	targets := make([]map[string]any, len(entries))
	for i, entry := range entries {
		targets[i] = entry.(map[string]any)
	}
	return targets
}

// federateInto places a ConfigMap, and the namespace itself, in units.
func (f *fixture) federateInto(topology string, placement map[string]any) {
	f.Helper()
	spec := func(template map[string]any) map[string]any {
		return map[string]any{"topologyType": topology, "placement": placement, "template": template}
	}
	f.put(simulation.FederatedConfigMaps, map[string]any{
		"metadata": map[string]any{"name": "settings", "namespace": "shop"}, "spec": spec(map[string]any{"data": map[string]any{"key": "1"}})})
	f.put(simulation.FederatedNamespaces, map[string]any{"metadata": map[string]any{"name": "shop", "namespace": "shop"}, "spec": spec(map[string]any{})})
}

// A selector picks no cell or edge unit that is gone, and that is no order to delete: what is there stays, the namespace with all
// that others have in it too.
func TestWhatASelectorHasPlacedInACellStaysWhenTheCellIsGone(t *testing.T) {
	for topology, gvr := range map[string]schema.GroupVersionResource{v1beta2.TopologyCell: cellResource, v1beta2.TopologyEdgeUnit: edgev1alpha1.SchemeGroupVersion.WithResource("edgeunits")} {
		t.Run(topology, func(t *testing.T) {
			f := start(t, 1)
			m := f.members[0]
			f.makeUnit(gvr, "c1", m)
			f.federateInto(topology, map[string]any{"topologySelector": map[string]any{}})
			is := func(value, state string) func() error {
				return func() error {
					if got := valueOf(m.Object(simulation.ConfigMaps, "shop-c1", "settings")); got != value {
						return fmt.Errorf("the cell has %q", got)
					}
					for _, kind := range []schema.GroupVersionResource{simulation.FederatedConfigMaps, simulation.FederatedNamespaces} {
						name := map[bool]string{true: "shop", false: "settings"}[kind == simulation.FederatedNamespaces]
						targets := f.targetsOf(kind, name)
						if len(targets) != 1 || targets[0]["hash"] == nil || fmt.Sprint(targets[0]["state"]) != state {
							return fmt.Errorf("the status of %s says %v", kind.Resource, targets)
						}
						if message := fmt.Sprint(targets[0]["message"]); state != "<nil>" && !strings.Contains(message, "is no order to delete") {
							return fmt.Errorf("the status of %s does not say why: %s", kind.Resource, message)
						}
					}
					return nil
				}
			}
			f.eventually("it is in the cell", is("1", "<nil>"))
			before := asJSON(m.Object(simulation.Namespaces, "", "shop-c1"))
			f.loseUnit(gvr, "c1")
			f.eventually("the status says that there is no cell", is("1", string(v1beta2.TargetNotFound)))
			if after := asJSON(m.Object(simulation.Namespaces, "", "shop-c1")); after != before {
				t.Errorf("the namespace in the member was %s, and is %s", before, after)
			}
			f.stop()
			f.run() // also one that never saw the cell keeps it
			f.makeUnit(gvr, "c2", m)
			f.eventually("the new one has it", func() error {
				if got := valueOf(m.Object(simulation.ConfigMaps, "shop-c2", "settings")); got != "1" {
					return fmt.Errorf("it has %q", got)
				}
				return nil
			})
			if got := valueOf(m.Object(simulation.ConfigMaps, "shop-c1", "settings")); got != "1" {
				t.Errorf("after a restart the old one has %q", got)
			}
			if found, err := f.host.Change(simulation.FederatedConfigMaps, "shop", "settings", func(object map[string]any) {
				object["spec"].(map[string]any)["placement"] = map[string]any{"topologies": []any{map[string]any{"name": "c2"}}}
			}); err != nil || !found {
				t.Fatal(found, err)
			}
			f.eventually("names that leave it out are an order", func() error {
				if m.Object(simulation.ConfigMaps, "shop-c1", "settings") != nil {
					return errors.New("it is there")
				}
				return nil
			})
		})
	}
}

// A cell that is made anew in a member that is not joined has no place to go to yet: what it has stays where it is until there
// is one.
func TestACellMadeAnewInAMemberThatIsNotJoinedKeepsWhatItHas(t *testing.T) {
	f := start(t, 2)
	f.makeUnit(cellResource, "c1", f.members[0])
	f.federateInto(v1beta2.TopologyCell, map[string]any{"topologies": []any{map[string]any{"name": "c1"}}})
	in := func(m *simulation.Member) string {
		return valueOf(m.Object(simulation.ConfigMaps, "shop-c1", "settings"))
	}
	is := func(first, second, state string) func() error {
		return func() error {
			targets := f.targetsOf(simulation.FederatedConfigMaps, "settings")
			if in(f.members[0]) != first || in(f.members[1]) != second || len(targets) != 1 || fmt.Sprint(targets[0]["state"]) != state {
				return fmt.Errorf("members have %q and %q, and the status says %v", in(f.members[0]), in(f.members[1]), targets)
			}
			return nil
		}
	}
	f.eventually("it is in the cell", is("1", "", "<nil>"))
	f.host.Remove(kubeFedClusters, v1beta1.DefaultNamespace, f.members[1].Name())
	f.loseUnit(cellResource, "c1")
	f.makeUnit(cellResource, "c1", f.members[1])
	f.eventually("it stays", is("1", "", string(v1beta2.TargetNotFound)))
	f.put(kubeFedClusters, f.tree(f.members[1].Cluster(nil)))
	f.eventually("it goes there once there is one", is("", "1", "<nil>"))
}

// A cell that is deleted and made anew in another member while nobody looks is the same target in
// another place: the object is there, and not in the old one any more.
func TestACellMadeAnewElsewhereLeavesNothingBehind(t *testing.T) {
	for name, placement := range map[string]map[string]any{
		"placed by name":     {"topologies": []any{map[string]any{"name": "c1"}}},
		"placed by selector": {"topologySelector": map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, 2)
			f.makeUnit(cellResource, "c1", f.members[0])
			f.put(simulation.FederatedConfigMaps, map[string]any{
				"metadata": map[string]any{"name": "settings", "namespace": "shop"},
				"spec": map[string]any{
					"topologyType": v1beta2.TopologyCell, "placement": placement, "template": map[string]any{"data": map[string]any{"key": "1"}}},
			})
			in := func(m *simulation.Member) string {
				return valueOf(m.Object(simulation.ConfigMaps, "shop-c1", "settings"))
			}
			isThere := func(here, gone *simulation.Member) func() error {
				return func() error {
					entries, _, _ := unstructured.NestedSlice(f.host.Object(simulation.FederatedConfigMaps, "shop", "settings"), "status", "targets")
					if in(here) != "1" || in(gone) != "" || len(entries) != 1 || entries[0].(map[string]any)["cluster"] != here.Name() || entries[0].(map[string]any)["state"] != nil {
						return fmt.Errorf("%s has %q, %s has %q, and the status says %v", here.Name(), in(here), gone.Name(), in(gone), entries)
					}
					return nil
				}
			}
			f.eventually("the cell has the object", isThere(f.members[0], f.members[1]))
			f.stop()
			f.loseUnit(cellResource, "c1")
			f.makeUnit(cellResource, "c1", f.members[1])
			f.run()
			f.eventually("the new cell has it, and the old place has not", isThere(f.members[1], f.members[0]))
		})
	}
}

// mover is a cell c1 in the first member, with a ConfigMap and a Deployment in it.
type mover struct {
	*fixture
	// namespace of the cell in members.
	namespace string
}

func startMover(t *testing.T) *mover { return startMoverBy(t, v1beta2.TopologyCell, "c1") }

// startMoverBy places the objects by a topology type, in what is called so; the cell is of zone a.
func startMoverBy(t *testing.T, topologyType, placed string) *mover {
	t.Helper()
	t.Parallel()
	m := &mover{start(t, 3), "shop-c1"}
	m.quickChecks()
	if _, err := m.host.Change(v1beta1.SchemeGroupVersion.WithResource("kubefedconfigs"), v1beta1.DefaultNamespace, v1beta1.KubeFedConfigName, func(config map[string]any) {
		config["spec"].(map[string]any)["clusterHealthCheck"].(map[string]any)["timeout"] = "1s"
	}); err != nil {
		t.Fatal(err)
	}
	m.put(cellResource, map[string]any{
		"metadata": map[string]any{"name": "c1", "namespace": "shop", "labels": map[string]any{"zone": "a"}}, "spec": map[string]any{"clusterName": m.members[0].Name()}})
	for gvr, template := range map[schema.GroupVersionResource]map[string]any{
		simulation.FederatedConfigMaps: {"data": map[string]any{"key": "1"}},
		federatedDeployments:           {"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "a", "image": "b"}}}}}},
	} {
		m.put(gvr, map[string]any{
			"metadata": map[string]any{"name": "web", "namespace": "shop"},
			"spec": map[string]any{
				"topologyType": topologyType, "placement": map[string]any{"topologies": []any{map[string]any{"name": placed}}}, "template": template},
		})
	}
	m.runsIn(m.members[0])
	return m
}

// move has the cell say that it is in another member.
func (m *mover) move(to *simulation.Member) {
	m.Helper()
	m.change(cellResource, "c1", func(spec map[string]any) { spec["clusterName"] = to.Name() })
}

func (m *mover) change(gvr schema.GroupVersionResource, name string, change func(spec map[string]any)) {
	m.Helper()
	if _, err := m.host.Change(gvr, "shop", name, func(object map[string]any) { change(object["spec"].(map[string]any)) }); err != nil {
		m.Fatal(err)
	}
}

// has reports which of the two objects a member has.
func (m *mover) has(in *simulation.Member) (configMap, deployment bool) {
	return in.Object(simulation.ConfigMaps, m.namespace, "web") != nil, in.Object(simulation.Deployments, m.namespace, "web") != nil
}

// heal has the Deployment in a member be healthy.
func (m *mover) heal(in *simulation.Member) {
	m.Helper()
	if _, err := in.Change(simulation.Deployments, m.namespace, "web", func(object map[string]any) {
		object["status"] = map[string]any{
			"observedGeneration": object["metadata"].(map[string]any)["generation"],
			"replicas":           int64(1), "updatedReplicas": int64(1), "readyReplicas": int64(1), "availableReplicas": int64(1),
			"conditions": []any{map[string]any{"type": "Available", "status": "True"}},
		}
	}); err != nil {
		m.Fatal(err)
	}
}

// runsIn waits until both objects are in a member, and the Deployment is healthy there.
func (m *mover) runsIn(in *simulation.Member) {
	m.Helper()
	m.enters(in)
	m.heal(in)
}

func (m *mover) enters(in *simulation.Member) {
	m.Helper()
	m.eventually("the objects are in "+in.Name(), func() error {
		if configMap, deployment := m.has(in); !configMap || !deployment {
			return fmt.Errorf("ConfigMap %v, Deployment %v", configMap, deployment)
		}
		return nil
	})
}

// isKnownToBeSilent has a member not answer, and waits until that is known.
func (m *mover) isKnownToBeSilent(member *simulation.Member) {
	m.Helper()
	member.Down()
	m.eventually(member.Name()+" is known to be silent", func() error {
		if said := asJSON(m.host.Object(kubeFedClusters, v1beta1.DefaultNamespace, member.Name())["status"]); !strings.Contains(said, "Offline") {
			return fmt.Errorf("it says %s", said)
		}
		return nil
	})
}

// left waits until a member has none of the objects.
func (m *mover) left(in *simulation.Member) {
	m.Helper()
	m.eventually("nothing is in "+in.Name(), func() error {
		if configMap, deployment := m.has(in); configMap || deployment {
			return fmt.Errorf("ConfigMap %v, Deployment %v", configMap, deployment)
		}
		return nil
	})
}

// says waits until the target of an object is in a state, in a member, with something that its message says, and with
// copies in so many former places.
func (m *mover) says(gvr schema.GroupVersionResource, state v1beta2.TargetState, in *simulation.Member, message string, former int) {
	m.Helper()
	m.eventually(fmt.Sprintf("%s says %q of %s", gvr.Resource, state, in.Name()), func() error {
		entries, _, _ := unstructured.NestedSlice(m.host.Object(gvr, "shop", "web"), "status", "targets")
		if len(entries) != 1 {
			return fmt.Errorf("it says %s", asJSON(entries))
		}
		entry := entries[0].(map[string]any)
		said, _ := entry["message"].(string)
		places, _ := entry["former"].([]any)
		is, _ := entry["state"].(string)
		if is != string(state) || entry["cluster"] != in.Name() || !strings.Contains(said, message) || len(places) != former {
			return fmt.Errorf("it says %s", asJSON(entries))
		}
		return nil
	})
}

func (m *mover) settledIn(in *simulation.Member) {
	m.Helper()
	for _, gvr := range []schema.GroupVersionResource{simulation.FederatedConfigMaps, federatedDeployments} {
		m.says(gvr, v1beta2.TargetOK, in, "", 0)
	}
	for _, other := range m.members {
		if other != in {
			m.left(other)
		}
	}
}

func TestACellThatMovesLeavesOnceEverythingIsHealthyInTheNewPlace(t *testing.T) {
	m := startMover(t)
	from, to := m.members[0], m.members[1]
	m.move(to)
	m.enters(to)
	m.says(federatedDeployments, v1beta2.TargetWaitingForRemoval, to, "up to date and healthy", 1)
	m.says(simulation.FederatedConfigMaps, v1beta2.TargetWaitingForRemoval, to, "all others that move with the target", 1)
	m.stop()
	m.run()
	// A new object arrives: the controllers have looked at everything since their start.
	m.change(simulation.FederatedConfigMaps, "web", func(spec map[string]any) {
		spec["template"] = map[string]any{"data": map[string]any{"key": "2"}}
	})
	m.eventually("the new place has what is new", func() error {
		if got := valueOf(to.Object(simulation.ConfigMaps, m.namespace, "web")); got != "2" {
			return fmt.Errorf("it has %q", got)
		}
		return nil
	})
	m.says(simulation.FederatedConfigMaps, v1beta2.TargetWaitingForRemoval, to, "all others that move with the target", 1)
	if configMap, deployment := m.has(from); !configMap || !deployment {
		t.Errorf("%s has a ConfigMap %v and a Deployment %v, before the Deployment is healthy elsewhere", from.Name(), configMap, deployment)
	}
	m.heal(to)
	m.settledIn(to)
}

func TestACellMovesBackAndOnBeforeItHasArrived(t *testing.T) {
	m := startMover(t)
	first, second, third := m.members[0], m.members[1], m.members[2]
	uid := func() any {
		return first.Object(simulation.Deployments, m.namespace, "web")["metadata"].(map[string]any)["uid"]
	}
	was := uid()
	m.move(second)
	m.enters(second)
	m.move(first)
	m.settledIn(first)
	if uid() != was {
		t.Error("the Deployment was made anew where it was")
	}
	m.move(second)
	m.enters(second)
	m.move(third)
	m.enters(third)
	m.says(federatedDeployments, v1beta2.TargetWaitingForRemoval, third, "up to date and healthy", 2)
	m.heal(third)
	m.settledIn(third)
}

func TestACellMovesToAnotherNamespaceOfAnotherMember(t *testing.T) {
	m := startMover(t)
	m.change(cellResource, "c1", func(spec map[string]any) {
		spec["clusterName"], spec["memberNamespace"] = m.members[1].Name(), "shop-elsewhere"
	})
	old := *m
	m.namespace = "shop-elsewhere"
	m.runsIn(m.members[1])
	old.left(m.members[0])
	m.settledIn(m.members[1])
}

func TestACellThatMovesToAMemberThatIsSilentStaysWhereItWas(t *testing.T) {
	m := startMover(t)
	m.members[1].Down()
	m.move(m.members[1])
	m.says(federatedDeployments, v1beta2.TargetClusterNotReady, m.members[1], "", 1)
	m.enters(m.members[0])
	m.members[1].Up()
	m.runsIn(m.members[1])
	m.settledIn(m.members[1])
}

// A Job that has not left the old place has not moved: its pods may need what is there.
func TestWhatAJobMayNeedStaysUntilItHasLeft(t *testing.T) {
	m := startMover(t)
	from, to := m.members[0], m.members[1]
	m.put(federatedJobs, jobInCell())
	held := func(finalizers ...any) func() error {
		return func() error {
			found, err := from.Change(simulation.Jobs, m.namespace, "pay", func(object map[string]any) {
				object["metadata"].(map[string]any)["finalizers"] = finalizers
			})
			if !found {
				return fmt.Errorf("there is no Job: %v", err)
			}
			return err
		}
	}
	m.eventually("the Job is in the cell, and held", held("example.com/hold"))
	m.move(to)
	m.runsIn(to)
	m.eventually("the cell waits for the Job", func() error {
		cell := m.host.Object(cellResource, "shop", "c1")
		conditions, _, _ := unstructured.NestedSlice(cell, "status", "conditions")
		moving, _, _ := unstructured.NestedInt64(cell, "status", "objects", "moving")
		if !strings.Contains(asJSON(conditions), "it waits for FederatedJob shop/pay") || moving != 3 {
			return fmt.Errorf("%d move, and it says %s", moving, asJSON(conditions))
		}
		return nil
	})
	m.says(simulation.FederatedConfigMaps, v1beta2.TargetWaitingForRemoval, to, "FederatedJob shop/pay", 1)
	m.enters(from) // nothing has left
	if err := held()(); err != nil {
		t.Fatal(err)
	}
	m.settledIn(to)
	m.eventually("the Job is there, and the cell moves no more", func() error {
		cell := m.host.Object(cellResource, "shop", "c1")
		if to.Object(simulation.Jobs, m.namespace, "pay") == nil || strings.Contains(asJSON(cell["status"]), `"Moving"`) {
			return fmt.Errorf("the cell says %s", asJSON(cell["status"]))
		}
		return nil
	})
}

func jobInCell() map[string]any {
	return map[string]any{
		"metadata": map[string]any{"name": "pay", "namespace": "shop"},
		"spec": map[string]any{
			"topologyType": v1beta2.TopologyCell, "placement": map[string]any{"topologies": []any{map[string]any{"name": "c1"}}},
			"template": map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "a", "image": "b"}}}}}},
		}}
}

// A Job is not in two places at once: it leaves once the new member is ready, and as soon as that is.
func TestAJobMovesWithItsCellOnceTheNewMemberIsReady(t *testing.T) {
	m := startMover(t)
	m.put(federatedJobs, jobInCell())
	is := func(in *simulation.Member) func() error {
		return func() error {
			for _, member := range m.members {
				if has := member.Object(simulation.Jobs, m.namespace, "pay") != nil; has != (member == in) {
					return fmt.Errorf("it is in %s: %v", member.Name(), has)
				}
			}
			return nil
		}
	}
	m.eventually("the Job is in the cell", is(m.members[0]))
	m.isKnownToBeSilent(m.members[1])
	m.move(m.members[1])
	m.eventually("it waits for the new member", func() error {
		if said := asJSON(m.targetsOf(federatedJobs, "pay")); !strings.Contains(said, "is ready") {
			return fmt.Errorf("the status says %s", said)
		}
		return is(m.members[0])()
	})
	m.members[1].Up()
	m.eventually("it is there", is(m.members[1]))
}

func TestWhatACellLeftInAMemberThatIsSilentIsRemembered(t *testing.T) {
	m := startMover(t)
	m.members[0].Down()
	m.move(m.members[1])
	m.runsIn(m.members[1])
	m.says(federatedDeployments, v1beta2.TargetWaitingForRemoval, m.members[1], "the member may still hold the object", 1)
	m.stop()
	m.run()
	m.members[0].Up()
	m.settledIn(m.members[1])
}

func TestWhatACellLeftInAMemberThatIsGivenUpIsNotWaitedFor(t *testing.T) {
	m := startMover(t)
	m.isKnownToBeSilent(m.members[0]) // else a deletion may be on its way already
	m.move(m.members[1])
	m.runsIn(m.members[1])
	m.says(federatedDeployments, v1beta2.TargetWaitingForRemoval, m.members[1], "the member may still hold the object", 1)
	both := []schema.GroupVersionResource{simulation.FederatedConfigMaps, federatedDeployments}
	for _, gvr := range both {
		if _, err := m.host.Change(gvr, "shop", "web", func(object map[string]any) {
			object["metadata"].(map[string]any)["annotations"] = map[string]any{v1beta1.AbandonAnnotation: "c1"}
		}); err != nil {
			m.Fatal(err)
		}
	}
	for _, gvr := range both {
		m.says(gvr, v1beta2.TargetOK, m.members[1], "was given up", 1)
	}
	m.eventually("all is up to date in the cell", func() error {
		counted, _, _ := unstructured.NestedMap(m.host.Object(cellResource, "shop", "c1"), "status", "objects")
		if counted["total"] != int64(2) || counted["outOfDate"] != int64(0) {
			return fmt.Errorf("it counts %s", asJSON(counted))
		}
		return nil
	})
	m.stop()
	m.run()
	m.members[0].Up()
	for _, gvr := range both { // what was given up stays, and is nobody's
		m.says(gvr, v1beta2.TargetOK, m.members[1], "", 0)
	}
	if configMap, deployment := m.has(m.members[0]); !configMap || !deployment {
		t.Fatalf("what was given up is gone: ConfigMap %v, Deployment %v", configMap, deployment)
	}
	if said := asJSON(m.members[0].Object(simulation.Deployments, m.namespace, "web")["metadata"].(map[string]any)["labels"]); strings.Contains(said, "managed") {
		t.Errorf("the labels of what was given up are %s", said)
	}
}

func TestAMaskHoldsAMoveBack(t *testing.T) {
	m := startMover(t)
	for _, gvr := range []schema.GroupVersionResource{simulation.FederatedConfigMaps, federatedDeployments} {
		m.change(gvr, "web", func(spec map[string]any) { spec["placementMask"] = map[string]any{"topologies": []any{}} })
		m.says(gvr, v1beta2.TargetMasked, m.members[0], "", 0)
	}
	m.move(m.members[1])
	m.eventually("the cell is there", func() error {
		if cluster := m.host.Object(kubeFedClusters, v1beta1.DefaultNamespace, "c1.shop"); cluster == nil ||
			cluster["metadata"].(map[string]any)["labels"].(map[string]any)[federationv1alpha1.MemberLabel] != m.members[1].Name() {
			return fmt.Errorf("its cluster is %s", asJSON(cluster))
		}
		return nil
	})
	m.change(simulation.FederatedConfigMaps, "web", func(spec map[string]any) { delete(spec, "placementMask") })
	m.says(simulation.FederatedConfigMaps, v1beta2.TargetWaitingForRemoval, m.members[1], "all others that move with the target", 1)
	m.says(federatedDeployments, v1beta2.TargetMasked, m.members[0], "", 0)
	if _, deployment := m.has(m.members[1]); deployment {
		t.Error("what is masked was made in the new place")
	}
	m.enters(m.members[0])
	m.change(federatedDeployments, "web", func(spec map[string]any) { delete(spec, "placementMask") })
	m.runsIn(m.members[1])
	m.settledIn(m.members[1])
}

func TestAnObjectThatIsDeletedWhileItsCellMovesLeavesBothPlaces(t *testing.T) {
	m := startMover(t)
	m.move(m.members[1])
	m.enters(m.members[1])
	m.host.Remove(federatedDeployments, "shop", "web")
	m.eventually("the Deployment is in neither place", func() error {
		for _, member := range m.members {
			if _, deployment := m.has(member); deployment {
				return fmt.Errorf("%s has it", member.Name())
			}
		}
		if there := m.host.Object(federatedDeployments, "shop", "web"); there != nil {
			return fmt.Errorf("it is here still: %s", asJSON(there))
		}
		return nil
	})
	m.settledIfAlone()
}

// settledIfAlone waits until the ConfigMap, which waits for nothing else any more, is in its new place alone.
func (m *mover) settledIfAlone() {
	m.Helper()
	m.says(simulation.FederatedConfigMaps, v1beta2.TargetOK, m.members[1], "", 0)
	m.left(m.members[0])
}

func TestACellThatIsDeletedIsDrained(t *testing.T) {
	m := startMover(t)
	m.members[0].Down()
	m.host.Remove(cellResource, "shop", "c1")
	m.eventually("the cell waits for what is in it", func() error {
		cell := m.host.Object(cellResource, "shop", "c1")
		conditions, _, _ := unstructured.NestedSlice(cell, "status", "conditions")
		if !strings.Contains(asJSON(conditions), "waits for what 2 federated objects have in it") {
			return fmt.Errorf("it is %s", asJSON(cell))
		}
		return nil
	})
	m.stop()
	m.run()
	m.members[0].Up()
	m.left(m.members[0])
	m.endsCell()
	m.eventually("its target is there no more", func() error {
		entries, _, _ := unstructured.NestedSlice(m.host.Object(federatedDeployments, "shop", "web"), "status", "targets")
		if len(entries) != 1 || entries[0].(map[string]any)["state"] != string(v1beta2.TargetNotFound) {
			return fmt.Errorf("it says %s", asJSON(entries))
		}
		return nil
	})
}

// endsCell waits until the cell is gone.
func (m *mover) endsCell() {
	m.Helper()
	m.eventually("the cell is gone", func() error {
		if cell := m.host.Object(cellResource, "shop", "c1"); cell != nil {
			return fmt.Errorf("it is %s", asJSON(cell))
		}
		return nil
	})
}

// What a group is placed in moves with its cell, and holds it, as what names it.
func TestACellOfAGroupMovesAndIsDrained(t *testing.T) {
	m := startMoverBy(t, "cell:zone", "a")
	from, to := m.members[0], m.members[1]
	m.move(to)
	m.enters(to)
	m.says(federatedDeployments, v1beta2.TargetWaitingForRemoval, to, "up to date and healthy", 1)
	m.says(simulation.FederatedConfigMaps, v1beta2.TargetWaitingForRemoval, to, "all others that move with the target", 1)
	if configMap, _ := m.has(from); !configMap {
		t.Error("the ConfigMap has left before the Deployment is healthy elsewhere")
	}
	m.heal(to)
	m.settledIn(to)
	to.Down()
	m.host.Remove(cellResource, "shop", "c1")
	m.eventually("the cell waits for what is in it", func() error {
		if cell := m.host.Object(cellResource, "shop", "c1"); !strings.Contains(asJSON(cell), "waits for what 2 federated objects have in it") {
			return fmt.Errorf("it is %s", asJSON(cell))
		}
		return nil
	})
	to.Up()
	m.left(to)
	m.endsCell()
}

// Nobody knows of which group a cell was that is gone: that it is, is no order to delete.
func TestWhatAGroupHasPlacedInACellStaysWhenTheCellIsGone(t *testing.T) {
	m := startMoverBy(t, "cell:zone", "a")
	in := m.members[0]
	for _, gvr := range []schema.GroupVersionResource{simulation.FederatedConfigMaps, federatedDeployments} {
		m.says(gvr, v1beta2.TargetOK, in, "", 0)
	}
	m.loseUnit(cellResource, "c1")
	stays := func() {
		t.Helper()
		m.eventually("the status says that there is no cell", func() error {
			said := m.targetsOf(simulation.FederatedConfigMaps, "web")
			if !strings.Contains(asJSON(said), `there is no cell \"c1\" any more, which is no order to delete`) {
				return fmt.Errorf("it says %s", asJSON(said))
			}
			return nil
		})
		if configMap, deployment := m.has(in); !configMap || !deployment {
			t.Errorf("the member has a ConfigMap %v and a Deployment %v", configMap, deployment)
		}
	}
	stays()
	m.stop()
	m.run()
	m.change(simulation.FederatedConfigMaps, "web", func(spec map[string]any) {
		spec["placement"] = map[string]any{"topologies": []any{map[string]any{"name": "b"}}}
	})
	stays()
	for _, gvr := range []schema.GroupVersionResource{simulation.FederatedConfigMaps, federatedDeployments} {
		m.change(gvr, "web", func(spec map[string]any) { spec["placement"] = map[string]any{"topologies": []any{}} })
	}
	m.left(in)
}

// What was given up in the place that a cell left is released when its member is back, and not deleted, however
// it is then where the cell is.
func TestWhatWasGivenUpInAPlaceThatACellLeftIsReleased(t *testing.T) {
	m := startMover(t)
	from, to := m.members[0], m.members[1]
	from.Down()
	m.move(to)
	m.runsIn(to)
	m.says(federatedDeployments, v1beta2.TargetWaitingForRemoval, to, "the member may still hold the object", 1)
	if _, err := m.host.Change(federatedDeployments, "shop", "web", func(object map[string]any) {
		object["metadata"].(map[string]any)["annotations"] = map[string]any{v1beta1.AbandonAnnotation: "c1"}
	}); err != nil {
		t.Fatal(err)
	}
	m.says(federatedDeployments, v1beta2.TargetOK, to, "was given up", 1)
	if _, err := to.Change(simulation.Deployments, m.namespace, "web", func(object map[string]any) { delete(object, "status") }); err != nil {
		t.Fatal(err)
	}
	m.stop()
	m.run()
	m.says(simulation.FederatedConfigMaps, v1beta2.TargetWaitingForRemoval, to, "", 1)
	from.Up()
	m.eventually("it is released", func() error {
		labels, _, _ := unstructured.NestedStringMap(from.Object(simulation.Deployments, m.namespace, "web"), "metadata", "labels")
		if _, managed := labels[v1beta1.ManagedLabel]; managed {
			return errors.New("it has our label")
		}
		return nil
	})
	m.heal(to)
	m.says(federatedDeployments, v1beta2.TargetOK, to, "", 0)
	m.says(simulation.FederatedConfigMaps, v1beta2.TargetOK, to, "", 0)
	if _, deployment := m.has(from); !deployment {
		t.Error("what was given up was deleted")
	}
}

// A cell moves on without what was given up in the place that it left before anything was written in the next one.
func TestACellMovesAwayFromWhatWasGivenUp(t *testing.T) {
	m := startMover(t)
	from, to := m.members[0], m.members[1]
	from.Down()
	if _, err := m.host.Change(federatedDeployments, "shop", "web", func(object map[string]any) {
		object["metadata"].(map[string]any)["annotations"] = map[string]any{v1beta1.AbandonAnnotation: "c1"}
		object["spec"].(map[string]any)["placement"] = map[string]any{"topologies": []any{}}
	}); err != nil {
		t.Fatal(err)
	}
	m.says(federatedDeployments, v1beta2.TargetAbandoned, from, "was given up", 0)
	m.move(to)
	m.change(federatedDeployments, "web", func(spec map[string]any) {
		spec["placement"] = map[string]any{"topologies": []any{map[string]any{"name": "c1"}}}
	})
	m.runsIn(to)
	m.says(federatedDeployments, v1beta2.TargetOK, to, "", 1)
	m.stop()
	m.run()
	from.Up()
	m.says(federatedDeployments, v1beta2.TargetOK, to, "", 0)
	m.says(simulation.FederatedConfigMaps, v1beta2.TargetOK, to, "", 0)
	there := from.Object(simulation.Deployments, m.namespace, "web")
	if labels, _, _ := unstructured.NestedStringMap(there, "metadata", "labels"); there == nil || labels[v1beta1.ManagedLabel] != "" {
		t.Errorf("the member has %s", asJSON(there))
	}
}

// A type that is disabled stays where it is, and its namespace with it.
func TestADisabledTypeHoldsAMoveBack(t *testing.T) {
	m := startMover(t)
	from, to := m.members[0], m.members[1]
	m.put(simulation.FederatedNamespaces, map[string]any{
		"metadata": map[string]any{"name": "shop", "namespace": "shop"},
		"spec": map[string]any{
			"topologyType": v1beta2.TopologyCell, "placement": map[string]any{"topologies": []any{map[string]any{"name": "c1"}}}, "template": map[string]any{}}})
	inCell := func() map[string]any {
		for _, entry := range m.targetsOf(simulation.FederatedNamespaces, "shop") {
			if entry["name"] == "c1" {
				return entry
			}
		}
		return nil
	}
	m.eventually("the namespace is in the cell", func() error {
		if said := inCell(); said["version"] == nil {
			return fmt.Errorf("it says %s", asJSON(said))
		}
		return nil
	})
	propagate := func(mode v1beta1.Mode) {
		t.Helper()
		if _, err := m.host.Change(typeConfigs, v1beta1.DefaultNamespace, "deployments.apps", func(config map[string]any) {
			config["spec"].(map[string]any)["propagation"] = string(mode)
		}); err != nil {
			t.Fatal(err)
		}
	}
	propagate(v1beta1.Disabled)
	m.eventually("it is off", func() error {
		config := m.host.Object(typeConfigs, v1beta1.DefaultNamespace, "deployments.apps")
		if state, _, _ := unstructured.NestedString(config, "status", "propagationController"); state != string(v1beta1.ControllerNotRunning) {
			return fmt.Errorf("it is %q", state)
		}
		return nil
	})
	m.move(to)
	m.eventually("the namespace waits where it was", func() error {
		said := inCell()
		if said["cluster"] != to.Name() || !strings.Contains(asJSON(said), "all others that move with the target") {
			return fmt.Errorf("it says %s", asJSON(said))
		}
		return nil
	})
	m.stop()
	m.run()
	for i := range 3 { // as long as it takes to count three times
		m.put(simulation.FederatedConfigMaps, map[string]any{
			"metadata": map[string]any{"name": fmt.Sprintf("late-%d", i), "namespace": "shop"},
			"spec":     map[string]any{"topologyType": v1beta2.TopologyCell, "placement": map[string]any{"topologies": []any{map[string]any{"name": "c1"}}}, "template": map[string]any{}}})
		m.eventually("it is counted", func() error {
			if total, _, _ := unstructured.NestedInt64(m.host.Object(cellResource, "shop", "c1"), "status", "objects", "total"); total != int64(4+i) {
				return fmt.Errorf("the cell has %d objects", total)
			}
			return nil
		})
	}
	m.enters(from)
	if from.Object(simulation.Namespaces, "", m.namespace) == nil {
		t.Error("the namespace was deleted where it was")
	}
	propagate(v1beta1.Enabled)
	m.runsIn(to)
	m.settledIn(to)
}

// The condition Moving of a cell, and the statuses of the objects that have arrived, name what they wait for.
func TestWhatHoldsAMoveIsNamed(t *testing.T) {
	m := startMover(t)
	from, to := m.members[0], m.members[1]
	moving := func(what string) error {
		conditions, _, _ := unstructured.NestedSlice(m.host.Object(cellResource, "shop", "c1"), "status", "conditions")
		said := asJSON(conditions)
		if strings.Contains(said, `"Moving"`) != (what != "") || !strings.Contains(said, what) {
			return fmt.Errorf("it says %s", said)
		}
		return nil
	}
	m.move(to)
	m.enters(to)
	m.says(simulation.FederatedConfigMaps, v1beta2.TargetWaitingForRemoval, to, "healthy, too; it waits for FederatedDeployment shop/web (Progressing)", 1)
	m.eventually("the cell names it", func() error { return moving("it waits for FederatedDeployment shop/web (Progressing: ") })
	m.isKnownToBeSilent(from)
	m.heal(to)
	m.eventually("the cell says why it is not gone where it was", func() error { return moving("the member may still hold the object") })
	from.Up()
	m.settledIn(to)
	m.eventually("it has moved", func() error { return moving("") })
}

// A cell that comes back to a member that is silent, before anything was written where it was in between, and moves on:
// what is in that member is removed once it answers.
func TestACellThatPassesASilentMemberAgainLeavesNothingThere(t *testing.T) {
	m := startMover(t)
	first, second, third := m.members[0], m.members[1], m.members[2]
	both := []schema.GroupVersionResource{simulation.FederatedConfigMaps, federatedDeployments}
	m.isKnownToBeSilent(first)
	m.isKnownToBeSilent(second)
	for _, to := range []*simulation.Member{second, first} {
		m.move(to)
		for _, gvr := range both {
			m.says(gvr, v1beta2.TargetClusterNotReady, to, "", map[bool]int{true: 1}[to == second])
		}
	}
	m.move(third)
	m.runsIn(third)
	first.Up()
	second.Up()
	m.settledIn(third)
}
