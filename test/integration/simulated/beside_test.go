package simulated_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// beside is an object into whose metadata a controller of m1 writes what is its own.
type beside struct {
	resource, federated schema.GroupVersionResource
	name                string
}

// A ConfigMap has no generation, and that of a Deployment counts annotations, too.
var besides = []beside{
	{simulation.ConfigMaps, simulation.FederatedConfigMaps, "settings"},
	{simulation.Deployments, federatedDeployments, "web"},
}

// placeBesides places both in m1, and waits until they are there.
func (w *world) placeBesides() {
	w.Helper()
	w.write(placed("settings", "v", []string{"m1"}, nil))
	w.deployment(map[string]any{"placement": map[string]any{"topologies": []any{map[string]any{"name": "m1"}}}})
	w.pass(time.Minute)
	for _, b := range besides {
		if w.members["m1"].Object(b.resource, "shop", b.name) == nil {
			w.Fatalf("%s is not there", b.name)
		}
	}
}

// theirs writes both ten times a second, and looks what the status says of them each time.
func (w *world) theirs(d time.Duration) {
	w.Helper()
	client := dynamic.NewForConfigOrDie(w.members["m1"].InProcess())
	for n := range int(d / (100 * time.Millisecond)) {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"example.org/theirs":"%d"},"labels":{"theirs":"%d"}}}`, n, n)
		for _, b := range besides {
			if _, err := client.Resource(b.resource).Namespace("shop").Patch(w.Context(), b.name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "balancer"}); err != nil {
				w.Fatal(err)
			}
		}
		w.pass(100 * time.Millisecond)
		for _, b := range besides {
			states, _ := w.statesOf(b.federated, b.name)
			if states["m1"] != v1beta2.TargetOK && states["m1"] != v1beta2.TargetPending {
				w.Fatalf("after %d writes, %s is %s", n+1, b.name, states["m1"])
			}
		}
	}
}

// allWell checks that both are up to date.
func (w *world) allWell() {
	w.Helper()
	for _, b := range besides {
		if states, _ := w.statesOf(b.federated, b.name); states["m1"] != v1beta2.TargetOK {
			w.Errorf("%s is %s", b.name, states["m1"])
		}
	}
}

// TestWhoWritesBesideUsIsNotWrittenBackTo: nothing is sent where nothing of ours was changed, which is looked
// at a few times and then once a minute; and what was changed is still mended, for which nobody is named.
func TestWhoWritesBesideUsIsNotWrittenBackTo(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		w.placeBesides()
		m1 := w.members["m1"]
		before := m1.Counts()
		w.theirs(2 * time.Minute)
		after := m1.Counts()
		w.allWell()
		if n := after.Writes() - before.Writes(); n != 2*1200 {
			t.Errorf("%d writes, and the member's controller made 2400", n)
		}
		if n := after.Requests["get"] - before.Requests["get"]; n > 40 {
			t.Errorf("%d reads in two minutes", n)
		}

		if _, err := m1.Change(simulation.ConfigMaps, "shop", "settings", func(object map[string]any) {
			object["data"] = map[string]any{"key": "drift"}
		}); err != nil {
			t.Fatal(err)
		}
		w.theirs(70 * time.Second)
		w.allWell()
		if got := value(m1, "settings"); got != "v" {
			t.Errorf("got %q, want what was drift to be mended", got)
		}
		w.write(placed("settings", "w", []string{"m1"}, nil))
		w.theirs(5 * time.Second)
		if got := value(m1, "settings"); got != "w" {
			t.Errorf("got %q, want a changed manifest to be written at once", got)
		}
		w.allWell()

		w.restart() // how the last write has left them is not known any more
		w.pass(time.Minute)
		w.theirs(time.Minute)
		w.allWell()
	})
}

// outruns serves a member in which somebody writes a ConfigMap each time that it was read.
func outruns(m *simulation.Member, on *atomic.Bool) http.Handler {
	var n atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.ServeHTTP(w, r)
		if !on.Load() || r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/configmaps/settings") {
			return
		}
		_, err := m.Change(simulation.ConfigMaps, "shop", "settings", func(object map[string]any) {
			object["metadata"].(map[string]any)["annotations"].(map[string]any)["example.org/theirs"] = fmt.Sprint(n.Add(1))
		})
		if err != nil {
			panic(err)
		}
	})
}

// TestWhatNeedsNoWriteIsNotOutrun: over a slow line, who writes all the time has written again before a write
// of ours arrives. Where there is nothing to write, that is no failure.
func TestWhatNeedsNoWriteIsNotOutrun(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		var on atomic.Bool
		w.served["m1"] = outruns(w.members["m1"], &on)
		w.start()
		defer func() { w.stop() }()
		w.placeBesides()
		on.Store(true)
		before := w.members["m1"].Counts().Requests["update"]
		w.theirs(2 * time.Minute)
		w.allWell()
		if n := w.members["m1"].Counts().Requests["update"] - before; n > 0 {
			t.Errorf("there was nothing to write, and %d updates", n)
		}

		w.write(placed("settings", "w", []string{"m1"}, nil)) // each attempt is outrun
		w.pass(5 * time.Second)
		if states, _ := w.states("settings"); states["m1"] != v1beta2.TargetUpdateFailed {
			t.Errorf("got %s of what is outrun, want it to be tried again", states["m1"])
		}
		on.Store(false)
		w.pass(time.Minute)
		w.allWell()
		if got := value(w.members["m1"], "settings"); got != "w" {
			t.Errorf("got %q", got)
		}
	})
}
