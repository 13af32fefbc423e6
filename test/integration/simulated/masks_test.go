package simulated_test

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/test/simulation"
)

// A mask that names nobody freezes what members have, also what a member has that left the
// federation and came back, so that no record says anything of it.
func TestAMaskKeepsWhatAMemberBringsBack(t *testing.T) {
	f := start(t, 2)
	f.federate("settings", "1")
	f.arrives("settings", "1", f.members...)
	back := f.members[0]
	state := func() string {
		targets, _, _ := unstructured.NestedSlice(f.host.Object(simulation.FederatedConfigMaps, "shop", "settings"), "status", "targets")
		for _, target := range targets {
			if entry := target.(map[string]any); entry["name"] == back.Name() {
				return fmt.Sprintf("told of as %q", entry["state"])
			}
		}
		return "not told of"
	}
	becomes := func(want string) {
		t.Helper()
		f.eventually(fmt.Sprintf("%s is %s", back.Name(), want), func() error {
			if got := state(); got != want {
				return fmt.Errorf("it is %s", got)
			}
			return nil
		})
	}
	f.host.Remove(kubeFedClusters, v1beta1.DefaultNamespace, back.Name())
	becomes("not told of")
	nobody := map[string]any{"topologies": []any{}}
	if _, err := f.host.Change(simulation.FederatedConfigMaps, "shop", "settings", func(object map[string]any) {
		spec := object["spec"].(map[string]any)
		spec["placement"], spec["placementMask"] = nobody, nobody
	}); err != nil {
		t.Fatal(err)
	}
	f.put(kubeFedClusters, f.tree(back.Cluster(nil)))
	becomes(`told of as "Masked"`)
	if got := value(back, "settings"); got != "1" {
		t.Errorf("the member has %q, want what it had", got)
	}
	if _, err := f.host.Change(simulation.FederatedConfigMaps, "shop", "settings", func(object map[string]any) {
		delete(object["spec"].(map[string]any), "placementMask")
	}); err != nil {
		t.Fatal(err)
	}
	f.arrives("settings", "", f.members...)
}
