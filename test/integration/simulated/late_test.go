package simulated_test

import (
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/test/simulation"
)

// putCell has the cell c1 be in a member.
func (w *world) putCell(member string) {
	w.Helper()
	w.put(cellResource, map[string]any{
		"metadata": map[string]any{"name": "c1", "namespace": "shop"}, "spec": map[string]any{"clusterName": member}})
}

// inCell is a federated ConfigMap that is placed in the cell c1.
func inCell(name, value string) map[string]any {
	object := placed(name, value, []string{"c1"}, nil)
	object["spec"].(map[string]any)["topologyType"] = v1beta2.TopologyCell
	return object
}

// hangsInCell has a write of the ConfigMap to the cell, which is in m1, be on its way there.
func (w *world) hangsInCell() {
	w.Helper()
	w.members["m1"].SetFaults(simulation.Fault{Verbs: []string{"create"}, Resource: "configmaps", Namespace: "shop-c1", Hang: true})
	w.putCell("m1")
	w.start()
	w.write(inCell("settings", "1"))
	w.pass(time.Second)
}

// arrives has carried out what is on its way to m1.
func (w *world) arrives() {
	w.members["m1"].SetFaults()
	w.pass(10 * time.Second)
}

func (w *world) leftInM1() map[string]any {
	return w.members["m1"].Object(simulation.ConfigMaps, "shop-c1", "settings")
}

// What is on its way to a member while the cell leaves that holds up nothing in the new place, and leaves the old one when it
// has arrived.
func TestAWriteThatHangsWhereACellWasHoldsUpNothingWhereItIs(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.hangsInCell()
		defer w.stop()
		w.putCell("m2")
		w.pass(5 * time.Second)
		if got := valueOf(w.members["m2"].Object(simulation.ConfigMaps, "shop-c1", "settings")); got != "1" {
			t.Errorf("where the cell is there is %q", got)
		}
		w.arrives()
		if left := w.leftInM1(); left != nil {
			t.Errorf("the member that the cell left has %s", asJSON(left))
		}
		if states, _ := w.states("settings"); len(states) != 1 || states["c1"] != v1beta2.TargetOK {
			t.Errorf("the status says %v", states)
		}
	})
}

// A federated object is there until what is on its way to a member that its cell has left has arrived, and was removed: that nothing
// is there yet does not say that nothing will be, and another object of its name would not know of it.
func TestAWriteThatArrivesAfterItsObjectWasDeletedIsNotLeftBehind(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.hangsInCell()
		defer w.stop()
		w.health("m2", membership.Offline, "it is silent")
		w.putCell("m2")
		w.pass(time.Second)
		w.remove("settings")
		w.pass(5 * time.Second)
		if w.federated("settings") == nil {
			t.Error("the object is gone before what is on its way")
			w.write(inCell("settings", "2"))
		}
		w.arrives()
		if there := w.federated("settings"); there != nil && there.DeletionTimestamp != nil {
			t.Errorf("the object stays: %s", asJSON(there.Status))
		}
		if left := w.leftInM1(); left != nil {
			t.Errorf("the member that the cell left has %s", asJSON(left))
		}
	})
}
