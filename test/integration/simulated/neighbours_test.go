package simulated_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/koinon-io/koinon/test/simulation"
)

// Whoever has a namespace of a member may have all that is written there hang, by a webhook. That
// holds up nothing of other namespaces, not even for as long as a call may take.
func TestWritesThatHangInOneNamespaceHoldUpNoOther(t *testing.T) {
	f := start(t, 1)
	m := f.members[0]
	f.federate("first", "1")
	f.arrives("first", "1", m)
	f.put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": "rival"}})
	f.put(simulation.FederatedNamespaces, simulation.FederatedNamespace("rival"))
	rival := func(i int) string {
		name := fmt.Sprintf("rival-%d", i)
		f.put(simulation.FederatedConfigMaps, map[string]any{
			"metadata": map[string]any{"name": name, "namespace": "rival"},
			"spec": map[string]any{
				"topologyType": "cluster", "template": map[string]any{"data": map[string]any{"key": "1"}},
				"placement": map[string]any{"topologySelector": map[string]any{"matchLabels": map[string]any{"all": "true"}}},
			},
		})
		return name
	}
	one := rival(0) // so that the namespace is there, and is not looked at any more
	f.eventually("its first object is there", func() error {
		if m.Object(simulation.ConfigMaps, "rival", one) == nil {
			return errors.New("it is not")
		}
		return nil
	})
	m.SetFaults(simulation.Fault{Namespace: "rival", Verbs: []string{"get", "create", "update"}, Hang: true})
	before := m.Counts().Requests["get"]
	for i := range 30 {
		rival(i + 1)
	}
	const workers = 6 // of one namespace in one member
	f.eventually("as many as may be hang", func() error {
		if asked := m.Counts().Requests["get"] - before; asked < workers {
			return fmt.Errorf("%d do", asked)
		}
		return nil
	})
	f.federate("settings", "1")
	f.arrives("settings", "1", m)
	// A worker that gave up after 15 s would have asked for another object.
	if asked := m.Counts().Requests["get"] - before; asked > workers+2 {
		t.Errorf("%d objects were asked for: the others waited until calls were given up", asked)
	}
	m.SetFaults()
}
