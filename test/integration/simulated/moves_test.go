package simulated_test

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// A cell that is deleted and made anew in another member while nobody looks is the same target in
// another place: the object is there, and not in the old one any more.
func TestACellMadeAnewElsewhereLeavesNothingBehind(t *testing.T) {
	for name, placement := range map[string]map[string]any{
		"placed by name":     {"topologies": []any{map[string]any{"name": "c1"}}},
		"placed by selector": {"topologySelector": map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, 2)
			makeCell := func(member *simulation.Member) {
				f.put(cellResource, map[string]any{
					"metadata": map[string]any{"name": "c1", "namespace": "shop"}, "spec": map[string]any{"clusterName": member.Name()}})
			}
			makeCell(f.members[0])
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
			f.host.Remove(cellResource, "shop", "c1")
			if _, err := f.host.Change(cellResource, "shop", "c1", func(object map[string]any) {
				delete(object["metadata"].(map[string]any), "finalizers")
			}); err != nil {
				t.Fatal(err)
			}
			makeCell(f.members[1])
			f.run()
			f.eventually("the new cell has it, and the old place has not", isThere(f.members[1], f.members[0]))
		})
	}
}
