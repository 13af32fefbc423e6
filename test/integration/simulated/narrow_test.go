package simulated_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// goesTo changes where the namespace shop goes, as a user does.
func (w *world) goesTo(members ...string) {
	w.Helper()
	names := []any{}
	for _, member := range members {
		names = append(names, map[string]any{"name": member})
	}
	w.placesNamespace(map[string]any{"topologies": names})
}

func (w *world) placesNamespace(placement map[string]any) {
	w.Helper()
	found, err := w.host.Change(simulation.FederatedNamespaces, "shop", "shop", func(object map[string]any) {
		object["spec"].(map[string]any)["placement"] = placement
	})
	if err != nil || !found {
		w.Fatalf("change the FederatedNamespace: found %v, %v", found, err)
	}
}

// holds compares what members have of a ConfigMap.
func (w *world) holds(name string, want map[string]string) {
	w.Helper()
	got := map[string]string{}
	for member, m := range w.members {
		got[member] = value(m, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("what members have of %s (-want +got):\n%s", name, diff)
	}
}

// While the host does not show FederatedNamespaces, nobody can tell where objects go: what is there
// stays, nothing is sent, and no status is written. KubeFed deletes everything then.
func TestNothingChangesUntilItIsKnownWhereNamespacesGo(t *testing.T) {
	for name, fault := range map[string]simulation.Fault{
		"the host hangs":          {Resource: "federatednamespaces", Hang: true},
		"the host refuses":        {Resource: "federatednamespaces", Code: 403},
		"the host does not serve": {Resource: "federatednamespaces", Code: 404},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 2, func(w *world) {
				w.start()
				defer func() { w.stop() }()
				w.write(placed("settings", "1", nil, nil))
				w.pass(time.Minute)
				w.holds("settings", map[string]string{"m1": "1", "m2": "1"})

				w.stop()
				w.goesTo("m1")
				w.host.SetFaults(fault)
				w.start()
				w.write(placed("settings", "2", nil, nil))
				w.write(placed("late", "1", nil, nil))
				before := w.federated("settings").Status
				w.pass(20 * time.Minute)
				w.holds("settings", map[string]string{"m1": "1", "m2": "1"})
				w.holds("late", map[string]string{"m1": "", "m2": ""})
				if diff := cmp.Diff(before, w.federated("settings").Status); diff != "" {
					t.Errorf("the status was written (-before +after):\n%s", diff)
				}

				w.host.SetFaults()
				w.pass(5 * time.Minute)
				w.holds("settings", map[string]string{"m1": "2", "m2": ""})
				w.holds("late", map[string]string{"m1": "1", "m2": ""})
				states, _ := w.states("settings")
				if diff := cmp.Diff(map[string]v1beta2.TargetState{"m1": ""}, states); diff != "" {
					t.Errorf("states (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A change of one FederatedNamespace has the objects of that namespace looked at, and no others.
func TestAChangeOfANamespaceConcernsWhatIsInIt(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": "bank"}})
		w.put(simulation.FederatedNamespaces, simulation.FederatedNamespace("bank"))
		const objects = 20
		for i := range objects {
			w.put(simulation.FederatedConfigMaps, map[string]any{
				"metadata": map[string]any{"name": string(rune('a' + i)), "namespace": "bank"}, "spec": placed("", "1", nil, nil)["spec"]})
		}
		w.start()
		defer func() { w.stop() }()
		w.write(placed("settings", "1", nil, nil))
		w.pass(time.Minute)
		before := w.looks.Load()
		w.goesTo("m2")
		w.pass(2 * time.Second) // others are looked at again within ten minutes, whatever happens
		w.holds("settings", map[string]string{"m1": "", "m2": "1"})
		if looks := w.looks.Load() - before; looks > 2*objects*2 {
			t.Errorf("members were looked up %d times for one object in two of them: others were looked at too", looks)
		}
	})
}

// A selector picks no cluster whose KubeFedCluster is gone, and that is no order to leave it: the member keeps what it has, also
// while the controllers have its connection still.
func TestAMemberThatLeavesKeepsWhatASelectorHasPlacedThere(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.placesNamespace(map[string]any{"topologySelector": map[string]any{}})
		w.start()
		defer func() { w.stop() }()
		w.write(placed("settings", "1", nil, nil))
		w.pass(time.Minute)
		w.holds("settings", map[string]string{"m1": "1", "m2": "1"})
		namespace := w.members["m2"].Object(simulation.Namespaces, "", "shop")

		w.host.Remove(clusters, v1beta1.DefaultNamespace, "m2")
		w.write(placed("settings", "2", nil, nil))
		w.pass(20 * time.Minute)
		w.holds("settings", map[string]string{"m1": "2", "m2": "1"})
		if diff := cmp.Diff(namespace, w.members["m2"].Object(simulation.Namespaces, "", "shop")); diff != "" {
			t.Errorf("its namespace (-before +after):\n%s", diff)
		}
		states, _ := w.states("settings")
		if diff := cmp.Diff(map[string]v1beta2.TargetState{"m1": ""}, states); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}

		w.makeCluster("m2")
		w.write(placed("settings", "3", nil, nil))
		w.pass(time.Minute)
		w.holds("settings", map[string]string{"m1": "3", "m2": "1"}) // nothing is sent through what the former one was made of
		w.restart()
		w.pass(time.Minute)
		w.holds("settings", map[string]string{"m1": "3", "m2": "3"})
	})
}
