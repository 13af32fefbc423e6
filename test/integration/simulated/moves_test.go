package simulated_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// makeUnit makes a cell or an edge unit in a member.
func (f *fixture) makeUnit(gvr schema.GroupVersionResource, name string, member *simulation.Member) {
	f.Helper()
	f.put(gvr, map[string]any{"metadata": map[string]any{"name": name, "namespace": "shop"}, "spec": map[string]any{"clusterName": member.Name()}})
}

// loseUnit has a cell or an edge unit gone at once: somebody takes its finalizer.
func (f *fixture) loseUnit(gvr schema.GroupVersionResource, name string) {
	f.Helper()
	f.host.Remove(gvr, "shop", name)
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
