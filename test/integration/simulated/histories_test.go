package simulated_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// history is a random course of things, and what should come of it.
type history struct {
	*fixture
	*rand.Rand
	model map[string]string // name to value of federated objects
	round int
}

// steps are what may happen.
var steps = []struct {
	name   string
	happen func(*history)
}{
	{"an object is made or changed", (*history).write},
	{"an object is made or changed", (*history).write},
	{"an object is made or changed", (*history).write},
	{"an object is deleted", (*history).remove},
	{"somebody changes an object in a member", (*history).drift},
	{"somebody deletes an object in a member", func(h *history) { h.any().Remove(simulation.ConfigMaps, "shop", h.name()) }},
	{"a member goes down", func(h *history) { h.any().Down() }},
	{"a member comes back", func(h *history) { h.any().Up() }},
	{"a member fails now and then", func(h *history) { h.any().SetFaults(simulation.Fault{Rate: 0.3, Code: 500}) }},
	{"a member loses answers", func(h *history) {
		h.any().SetFaults(simulation.Fault{Verbs: []string{"create", "update", "patch", "delete"}, Rate: 0.5, Late: true, Cut: true})
	}},
	{"a member hangs", func(h *history) { h.any().SetFaults(simulation.Fault{Rate: 0.3, Hang: true}) }},
	{"a member is well", func(h *history) { h.any().SetFaults() }},
	{"a member loses a type", func(h *history) { h.any().SetServed(simulation.ConfigMaps, false) }},
	{"a member has it again", func(h *history) { h.any().SetServed(simulation.ConfigMaps, true) }},
	{"a member ends its watches", func(h *history) { h.any().CloseWatches() }},
	{"a member forgets its history", func(h *history) { h.any().Compact(); h.any().CloseWatches() }},
	{"a moment passes", func(h *history) { h.pass(200 * time.Millisecond) }},
	{"a moment passes", func(h *history) { h.pass(time.Second) }},
	{"the controllers are restarted", func(h *history) { h.stop(); h.run() }},
}

// pass lets what is under way go on for up to d, so that what happens next falls into it. It
// waits for nothing.
func (h *history) pass(d time.Duration) {
	select {
	case <-h.Context().Done():
	case <-time.After(time.Duration(h.Int64N(int64(d)))):
	}
}

func (h *history) any() *simulation.Member { return h.members[h.IntN(len(h.members))] }

func (h *history) name() string { return fmt.Sprintf("settings-%d", h.IntN(4)) }

// write makes or changes an object, unless it is being deleted.
func (h *history) write() {
	name := h.name()
	if object := h.host.Object(simulation.FederatedConfigMaps, "shop", name); object != nil && object["metadata"].(map[string]any)["deletionTimestamp"] != nil {
		return
	}
	h.round++
	h.model[name] = strconv.Itoa(h.round)
	h.federate(name, h.model[name])
}

func (h *history) remove() {
	name := h.name()
	err := h.client.Resource(simulation.FederatedConfigMaps).Namespace("shop").Delete(h.Context(), name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		h.Fatal(err)
	}
	delete(h.model, name)
}

func (h *history) drift() {
	m := h.any()
	object := m.Object(simulation.ConfigMaps, "shop", h.name())
	if object == nil {
		return
	}
	object["data"] = map[string]any{"key": "by hand"}
	if err := m.Put(simulation.ConfigMaps, object); err != nil && !apierrors.IsNotFound(err) {
		h.Fatal(err)
	}
}

// settled says what is not as the model has it.
func (h *history) settled() error {
	for i := range 4 {
		name := fmt.Sprintf("settings-%d", i)
		want, wanted := h.model[name]
		for _, m := range h.members {
			if got := value(m, name); got != want {
				return fmt.Errorf("member %s has %q of %s, want %q", m.Name(), got, name, want)
			}
		}
		if err := h.status(name, wanted); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) status(name string, wanted bool) error {
	tree := h.host.Object(simulation.FederatedConfigMaps, "shop", name)
	if !wanted {
		if tree != nil {
			return fmt.Errorf("%s is there", name)
		}
		return nil
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	var object v1beta2.FederatedObject
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	if object.Status == nil || object.Status.ObservedGeneration != object.Generation || len(object.Status.Targets) != len(h.members) {
		return fmt.Errorf("the status of %s is %s", name, data)
	}
	for _, target := range object.Status.Targets {
		if target.State != v1beta2.TargetOK {
			return fmt.Errorf("the status of %s is %s", name, data)
		}
	}
	return nil
}

// Whatever happens, in whatever order: once all is quiet, members hold what the federated
// objects say, and the status says so. KOINON_SEEDS=FROM-TO runs other histories, and
// KOINON_STEPS longer ones.
func TestHistoriesEndAsTheObjectsSay(t *testing.T) {
	from, to, length := 1, 3, 40
	if seeds := os.Getenv("KOINON_SEEDS"); seeds != "" {
		if _, err := fmt.Sscanf(seeds, "%d-%d", &from, &to); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("KOINON_STEPS"); text != "" {
		var err error
		if length, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for seed := from; seed <= to; seed++ {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			h := &history{fixture: start(t, 3), Rand: rand.New(rand.NewPCG(uint64(seed), 0)), model: map[string]string{}}
			h.quickChecks()
			h.federate("first", "1")
			h.arrives("first", "1", h.members...)
			for range length {
				step := steps[h.IntN(len(steps))]
				t.Log(step.name)
				step.happen(h)
			}
			for _, m := range h.members {
				m.Up()
				m.SetFaults()
				m.SetServed(simulation.ConfigMaps, true)
			}
			h.eventually("all is as the objects say", h.settled)
		})
	}
}

// quickChecks has members that are back be noticed soon.
func (f *fixture) quickChecks() {
	f.Helper()
	f.eventually("the controllers have made their configuration", func() error {
		config := f.host.Object(v1beta1.SchemeGroupVersion.WithResource("kubefedconfigs"), v1beta1.DefaultNamespace, v1beta1.KubeFedConfigName)
		if config == nil {
			return fmt.Errorf("it is not there")
		}
		config["spec"].(map[string]any)["clusterHealthCheck"] = map[string]any{"period": "1s", "timeout": "1s", "failureThreshold": int64(2)}
		return f.host.Put(v1beta1.SchemeGroupVersion.WithResource("kubefedconfigs"), config)
	})
}
