package schema

import "testing"

func TestKindsWithIntegerReplicasAreScalable(t *testing.T) {
	if !widgets().isScalable() {
		t.Error("Widget has spec.replicas, and was not found scalable")
	}
	without := widgets()
	delete(without.Schemas["WidgetSpec"].Properties, "replicas")
	if without.isScalable() {
		t.Error("a kind without spec.replicas was found scalable")
	}
}
