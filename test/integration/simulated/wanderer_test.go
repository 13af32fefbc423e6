package simulated_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/test/simulation"
)

// A cell that is moved to and fro, while members fall silent by turns, the controllers restart, and its objects are
// changed and masked, runs all of its objects together somewhere at every moment, and all of them where it is at
// last, and nowhere else. See extent for how to have other histories, or the same again.
func TestHistoriesOfACellThatMoves(t *testing.T) {
	extent := extentOf(t)
	for seed := extent.seed; seed < extent.seed+extent.histories; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Logf("KOINON_SEED=%d KOINON_HISTORIES=1 KOINON_STEPS=%d runs this history again", seed, extent.steps)
			w := &wanderer{mover: startMover(t), Rand: rand.New(rand.NewPCG(seed, 1)), value: "1"}
			w.at = w.members[0]
			for range extent.steps {
				w.step()
				w.idle(w.Rand, 300*time.Millisecond)
				w.checkWhole()
			}
			w.arrive()
		})
	}
}

// wanderer is a cell that is moved about.
type wanderer struct {
	*mover
	*rand.Rand
	// at is where the cell says that it is, and value what its ConfigMap is to have.
	at    *simulation.Member
	value string
}

var wandering = []schema.GroupVersionResource{simulation.FederatedConfigMaps, federatedDeployments}

func (w *wanderer) step() {
	w.Helper()
	member := w.members[w.IntN(len(w.members))]
	gvr := wandering[w.IntN(len(wandering))]
	what := ""
	switch w.IntN(11) {
	case 0, 1, 2:
		w.at, what = member, "the cell moves to "+member.Name()
		w.move(member)
	case 3:
		what = member.Name() + " falls silent"
		member.Down()
	case 4:
		what = member.Name() + " answers"
		member.Up()
	case 5:
		what = "the controllers restart"
		w.stop()
		w.run()
	case 6:
		w.value = strconv.Itoa(w.IntN(1000))
		what = "another value: " + w.value
		w.setValue()
	case 7:
		what = gvr.Resource + " are masked"
		w.change(gvr, "web", func(spec map[string]any) { spec["placementMask"] = map[string]any{"topologies": []any{}} })
	case 8:
		what = gvr.Resource + " are not masked"
		w.change(gvr, "web", func(spec map[string]any) { delete(spec, "placementMask") })
	case 9, 10:
		what = "Deployments become healthy"
		w.control()
	}
	w.Log(what)
}

func (w *wanderer) setValue() {
	w.change(simulation.FederatedConfigMaps, "web", func(spec map[string]any) {
		spec["template"] = map[string]any{"data": map[string]any{"key": w.value}}
	})
}

// control has the Deployments in all members be healthy.
func (w *wanderer) control() {
	w.Helper()
	for _, member := range w.members {
		if _, there := w.has(member); there {
			w.heal(member)
		}
	}
}

// checkWhole fails if no member has both objects.
func (w *wanderer) checkWhole() {
	w.Helper()
	for _, member := range w.members {
		if configMap, deployment := w.has(member); configMap && deployment {
			return
		}
	}
	w.Fatalf("no member has both the ConfigMap and the Deployment: %s", asJSON([]any{w.targetsOf(simulation.FederatedConfigMaps, "web"), w.targetsOf(federatedDeployments, "web")}))
}

// arrive has nothing keep the cell from where it is, and waits until it is there.
func (w *wanderer) arrive() {
	w.Helper()
	for _, member := range w.members {
		member.Up()
	}
	for _, gvr := range wandering {
		w.change(gvr, "web", func(spec map[string]any) { delete(spec, "placementMask") })
	}
	w.eventually("all is where the cell is", func() error {
		w.control()
		for _, member := range w.members {
			configMap, deployment := w.has(member)
			if is := member == w.at; configMap != is || deployment != is {
				return fmt.Errorf("the cell is in %s, and %s has ConfigMap %v, Deployment %v: %s", w.at.Name(), member.Name(), configMap, deployment,
					asJSON([]any{w.targetsOf(simulation.FederatedConfigMaps, "web"), w.targetsOf(federatedDeployments, "web"), member.Object(simulation.ConfigMaps, w.namespace, "web")}))
			}
		}
		if got := valueOf(w.at.Object(simulation.ConfigMaps, w.namespace, "web")); got != w.value {
			return fmt.Errorf("it has %q, want %q", got, w.value)
		}
		return nil
	})
	w.settledIn(w.at)
}
