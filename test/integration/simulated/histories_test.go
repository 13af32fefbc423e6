package simulated_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// Whatever happens, in whatever order: once all is quiet, members hold what the federated
// objects say and nothing else, and the status says so. Which histories run is random, and
// printed; see extent for how to have others, more of them, or the same again.
func TestHistoriesEndAsTheObjectsSay(t *testing.T) {
	extent := extentOf(t)
	for seed := extent.seed; seed < extent.seed+extent.histories; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			t.Logf("KOINON_SEED=%d KOINON_HISTORIES=1 KOINON_STEPS=%d runs this history again", seed, extent.steps)
			h := begin(t, seed)
			for range extent.rests {
				for range extent.steps {
					h.step()
				}
				h.heal()
				h.rest()
			}
			h.removeAll()
			h.rest()
		})
	}
}

// extent is how much is run.
type extent struct {
	seed, histories uint64
	// rests is how often a history comes to rest, and steps how much happens before each.
	rests, steps int
}

// extentOf reads KOINON_SEED, KOINON_HISTORIES and KOINON_STEPS. KOINON_LONG runs many.
func extentOf(t *testing.T) extent {
	t.Helper()
	e := extent{seed: uint64(time.Now().UnixNano() % 1e9), histories: 5, rests: 2, steps: 25}
	if os.Getenv("KOINON_LONG") != "" {
		e.histories, e.rests, e.steps = 60, 4, 40
	}
	read := func(name string, use func(n uint64)) {
		if text := os.Getenv(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			use(n)
		}
	}
	read("KOINON_SEED", func(n uint64) { e.seed = n })
	read("KOINON_HISTORIES", func(n uint64) { e.histories = n })
	read("KOINON_STEPS", func(n uint64) { e.steps = int(n) })
	return e
}

// history is a random course of things, and what should come of it.
type history struct {
	*fixture
	*rand.Rand
	*model
	subjects []*subject
	round    int
	// restless has the controllers restarted at every step.
	restless bool
	// spoiled servers lost events of watches: somebody has to list everything again.
	spoiled map[*simulation.Member]bool
}

func begin(t *testing.T, seed uint64) *history {
	t.Helper()
	h := &history{
		fixture: start(t, 3), Rand: rand.New(rand.NewPCG(seed, 0)), subjects: subjects(), spoiled: map[*simulation.Member]bool{},
		model: &model{joined: map[string]map[string]string{}, cells: map[string]cell{}, wishes: map[wishKey]*wish{}, places: map[place]*copies{}, gone: map[former]bool{}},
	}
	h.restless = h.IntN(5) == 0
	h.quickChecks()
	for _, s := range h.subjects {
		if s.custom {
			h.put(typeConfigs, h.tree(s.typeConfig()))
		}
	}
	for _, m := range h.members {
		h.joined[m.Name()] = map[string]string{"all": "true"}
		h.define(m)
	}
	h.federate("first", "1") // all is set up once it arrives
	t.Cleanup(func() {
		if t.Failed() {
			for _, gvr := range append(federatedResources(), kubeFedClusters, cellResource) {
				t.Logf("%s: %s", gvr.Resource, asJSON(h.host.Objects(gvr)))
			}
		}
	})
	h.arrives("first", "1", h.members...)
	if err := h.client.Resource(simulation.FederatedConfigMaps).Namespace("shop").Delete(t.Context(), "first", deleteNow); err != nil {
		t.Fatal(err)
	}
	h.arrives("first", "", h.members...)
	return h
}

// step has one thing happen.
func (h *history) step() {
	steps := h.steps()
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	at := h.IntN(total)
	for _, s := range steps {
		if at -= s.weight; at < 0 {
			h.Logf("%s %s", s.name, s.happen())
			break
		}
	}
	h.note()
	if h.restless {
		h.restart()
	}
}

func (h *history) restart() {
	h.stop()
	h.run()
}

// heal has all servers do what they can.
func (h *history) heal() {
	for _, m := range append(slices.Clone(h.members), h.host) {
		m.Up()
		m.SetFaults()
		if h.spoiled[m] {
			m.Expire()
		}
	}
	clear(h.spoiled)
	for _, m := range h.members {
		for _, s := range h.subjects {
			m.SetServed(s.target, true)
		}
		h.define(m)
	}
	for _, s := range h.subjects {
		h.setPropagation(s, v1beta1.Enabled)
	}
}

// define makes the CustomResourceDefinitions of a member.
func (h *history) define(m *simulation.Member) {
	for _, s := range h.subjects {
		if s.custom {
			if err := m.Put(simulation.CustomResourceDefinitions, s.definition()); err != nil {
				h.Fatal(err)
			}
		}
	}
}

// rest waits until all is as the model has it, and stays so, and takes down what that is.
func (h *history) rest() {
	h.Helper()
	h.eventually("all is as the objects say", h.settled)
	h.pass(time.Second)
	h.eventually("it is so later, too", h.settled)
	clear(h.gone)
	for p, at := range h.places {
		object := h.object(p)
		value := ""
		if object != nil {
			value = h.subjectOf(p.config).value(object)
		}
		at.possible = map[string]bool{value: true}
		_, joined := h.joined[p.member]
		if joined && (value == "" || h.isTarget(p)) {
			at.unseen = false
		}
		at.ended = value != "" && value == at.wanted && h.subjectOf(p.config).hasEnded(object)
	}
}

// removeAll deletes all federated objects.
func (h *history) removeAll() {
	for _, w := range h.wishes {
		h.host.Remove(w.federated, w.namespace(), w.name)
	}
	clear(h.wishes)
	h.note()
}

func (h *history) subjectOf(config string) *subject {
	return h.subjects[slices.IndexFunc(h.subjects, func(s *subject) bool { return s.config == config })]
}

func (h *history) member(name string) *simulation.Member {
	return h.members[slices.IndexFunc(h.members, func(m *simulation.Member) bool { return m.Name() == name })]
}

func (h *history) object(p place) map[string]any {
	return h.member(p.member).Object(h.subjectOf(p.config).target, p.namespace, p.name)
}

// settled says what is not as the model has it.
func (h *history) settled() error {
	h.control()
	for _, p := range slices.SortedFunc(maps.Keys(h.places), comparePlaces) {
		if err := h.placeSettled(p); err != nil {
			return fmt.Errorf("member %s, %s %s/%s: %w", p.member, p.config, p.namespace, p.name, err)
		}
	}
	for _, s := range h.subjects {
		for _, name := range names {
			w := h.wishes[wishKey{s.config, name}]
			if w == nil {
				if there := h.host.Object(s.federated, s.namespace(), name); there != nil {
					return fmt.Errorf("%s %s is there still: %s", s.kind, name, asJSON(there))
				}
				continue
			}
			if err := h.statusSettled(w); err != nil {
				return err
			}
		}
	}
	return h.nothingElse()
}

// control does what controllers of members do: what moves has to become healthy.
func (h *history) control() {
	for _, m := range h.members {
		for _, gvr := range []schema.GroupVersionResource{simulation.Deployments, widgets.GroupVersionResource} {
			for _, object := range m.Objects(gvr) {
				metadata := object["metadata"].(map[string]any)
				if status, _ := object["status"].(map[string]any); status["observedGeneration"] == metadata["generation"] && status["readyReplicas"] != nil {
					continue
				}
				namespace, _ := metadata["namespace"].(string)
				_, err := m.Change(gvr, namespace, metadata["name"].(string), func(object map[string]any) {
					object["status"] = map[string]any{
						"observedGeneration": object["metadata"].(map[string]any)["generation"],
						"replicas":           int64(1), "updatedReplicas": int64(1), "readyReplicas": int64(1), "availableReplicas": int64(1),
						"conditions": []any{map[string]any{"type": "Available", "status": "True"}},
					}
				})
				if err != nil {
					h.Fatal(err)
				}
			}
		}
	}
}

func comparePlaces(a, b place) int {
	return slices.Compare([]string{a.config, a.member, a.namespace, a.name}, []string{b.config, b.member, b.namespace, b.name})
}

// placeSettled compares what a member holds in a place.
func (h *history) placeSettled(p place) error {
	s, at, object := h.subjectOf(p.config), h.places[p], h.object(p)
	_, joined := h.joined[p.member]
	value := s.value(object)
	switch fate := h.fateIn(p); {
	case fate == runs && value == at.wanted:
		if at.ended && at.removed {
			return fmt.Errorf("it runs again, although it had ended")
		}
	case fate == runs && s.ends && object == nil && at.removed:
	case fate == runs && s.ends && object != nil && !s.hasEnded(object) && at.possible[value]: // the member refuses the change
	case fate == runs:
		return fmt.Errorf("it has %q, want %q", value, at.wanted)
	case !at.possible[value]:
		return fmt.Errorf("it has %q, and may have one of %q", value, slices.Sorted(maps.Keys(at.possible)))
	case fate == goes && object != nil && joined && (!at.unseen || h.isTarget(p)):
		return fmt.Errorf("it has %q, and should have nothing", value)
	}
	return nil
}

// statusSettled compares the status of an object with what members hold.
func (h *history) statusSettled(w *wish) error {
	tree := h.host.Object(w.federated, w.namespace(), w.name)
	data, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	var object v1beta2.FederatedObject
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	wrong := func(what string, args ...any) error {
		return fmt.Errorf("%s: %s %s is %s", fmt.Sprintf(what, args...), w.kind, w.name, data)
	}
	if tree == nil || object.Status == nil || object.Status.ObservedGeneration != object.Generation {
		return wrong("the status is not of this generation")
	}
	said := map[string]v1beta2.TargetStatus{}
	for _, entry := range object.Status.Targets {
		said[entry.Name] = entry
	}
	for name, t := range h.targets(w) {
		entry, has := said[name]
		delete(said, name)
		if problem := h.entrySettled(w, t, entry, has); problem != "" {
			return wrong("target %s %s", name, problem)
		}
	}
	for name, entry := range said { // of targets that are gone
		cell := ""
		if w.topology == v1beta2.TopologyCell {
			cell = name
		}
		want := v1beta2.TargetMasked
		if !w.holdsBack(name) {
			want = v1beta2.TargetNotFound
		}
		if h.departed(w, w.inMember(entry.Cluster, cell)) != stays || entry.State != want {
			return wrong("there is an entry of %s", name)
		}
	}
	return nil
}

// entrySettled says what is wrong with the entry of a target.
func (h *history) entrySettled(w *wish, t target, entry v1beta2.TargetStatus, has bool) string {
	switch {
	case !has && (t.fate == goes || t.silent):
		return ""
	case !has:
		return "has no entry"
	case t.fate == goes:
		return "has an entry"
	case t.fate != runs:
		gone := w.topology == v1beta2.TopologyCell && t.place == place{} // a cell that is drained, as far as a mask lets it
		if !slices.Contains(t.states, entry.State) && !(gone && entry.State == v1beta2.TargetMasked) {
			return fmt.Sprintf("should be %q", t.states)
		}
		return ""
	}
	at, object := h.at(t.place), h.object(t.place)
	want := t.states
	switch {
	case object == nil: // a Job that somebody removed
		want = []v1beta2.TargetState{v1beta2.TargetEnded}
	case w.subject.value(object) != at.wanted:
		want = []v1beta2.TargetState{v1beta2.TargetUpdateFailed}
	case at.hands > freeWrites:
		want = append(slices.Clone(want), v1beta2.TargetContested)
	}
	if w.topology == v1beta2.TopologyCell && h.holdsBack(entry.Name) && len(entry.Former) > 0 {
		want = append(slices.Clone(want), v1beta2.TargetWaitingForRemoval)
	}
	if !slices.Contains(want, entry.State) {
		return fmt.Sprintf("should be %q", want)
	}
	var remote any
	if len(entry.RemoteStatus) > 0 {
		if err := json.Unmarshal(entry.RemoteStatus, &remote); err != nil {
			return err.Error()
		}
	}
	var status any
	if err := json.Unmarshal([]byte(asJSON(object["status"])), &status); err != nil {
		return err.Error()
	}
	if !reflect.DeepEqual(remote, status) {
		return fmt.Sprintf("should have the status %s", asJSON(status))
	}
	return ""
}

// freeWrites is how often somebody in a member may change an object back before the status says
// so.
const freeWrites = 3

// nothingElse says what members hold that the model does not know.
func (h *history) nothingElse() error {
	known := map[schema.GroupVersionResource]*subject{}
	for _, s := range h.subjects {
		known[s.target] = s
	}
	for _, m := range h.members {
		for _, t := range memberTypes() {
			for _, object := range m.Objects(t.GroupVersionResource) {
				if err := h.isKnown(m, t, known[t.GroupVersionResource], object); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (h *history) isKnown(m *simulation.Member, t simulation.Type, s *subject, object map[string]any) error {
	metadata := object["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	namespace, _ := metadata["namespace"].(string)
	switch {
	case s != nil && h.places[place{s.config, m.Name(), namespace, name}] != nil:
		return nil
	case t.GroupVersionResource == simulation.CustomResourceDefinitions:
		return nil
	case t.GroupVersionResource == simulation.Namespaces && slices.Contains(memberNamespaces, name):
		return nil
	}
	return fmt.Errorf("member %s has %s %s/%s, which nobody asked for", m.Name(), t.Kind, namespace, name)
}

func asJSON(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
