package simulated_test

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// stage is something that happens to a federated object, and what should be once all is quiet.
type stage struct {
	name string
	do   func(*world)
	is   func(*world) error
}

// life is what may happen to a federated object from its creation to its end.
var life = []stage{
	{"it is made", func(w *world) { w.write(placed("settings", "1", nil, nil)) }, has("1", "1", "", "")},
	{"it is changed", func(w *world) { w.write(placed("settings", "2", nil, nil)) }, has("2", "2", "", "")},
	{"it is changed where the mask lets it", func(w *world) { w.write(placed("settings", "3", nil, []string{"m1"})) }, has("3", "2", "", v1beta2.TargetMasked)},
	{"the mask goes", func(w *world) { w.write(placed("settings", "3", nil, nil)) }, has("3", "3", "", "")},
	{"it leaves a member", func(w *world) { w.write(placed("settings", "3", []string{"m1"}, nil)) }, has("3", "", "", none)},
	{"it comes back", func(w *world) { w.write(placed("settings", "3", nil, nil)) }, has("3", "3", "", "")},
	{"somebody changes it in a member", func(w *world) { w.drift("m1", "settings") }, has("3", "3", "", "")},
	{"somebody deletes it in a member", func(w *world) { w.members["m2"].Remove(simulation.ConfigMaps, "shop", "settings") }, has("3", "3", "", "")},
	{"it is deleted", func(w *world) { w.remove("settings") }, has("", "", none, none)},
}

// none stands for a target of which the status says nothing.
const none v1beta2.TargetState = "none"

// has checks the values of two members, and what the status says of them; the object is gone if that
// is nothing.
func has(m1, m2 string, state1, state2 v1beta2.TargetState) func(*world) error {
	return func(w *world) error {
		states, there := w.states("settings")
		for name, want := range map[string]string{"m1": m1, "m2": m2} {
			if got := value(w.members[name], "settings"); got != want {
				return fmt.Errorf("member %s has %q, want %q; the status says %v", name, got, want, states)
			}
		}
		return saysOf(states, there, state1, state2)
	}
}

func saysOf(states map[string]v1beta2.TargetState, there bool, state1, state2 v1beta2.TargetState) error {
	want := map[string]v1beta2.TargetState{}
	for name, state := range map[string]v1beta2.TargetState{"m1": state1, "m2": state2} {
		if state != none {
			want[name] = state
		}
	}
	if there != (len(want) > 0) || (there && !reflect.DeepEqual(states, want)) {
		return fmt.Errorf("the object is there: %v, and its status says %v, want %v", there, states, want)
	}
	return nil
}

// run is the life of a federated Job, which ends in one member, is removed there by its TTL, and
// must not run again until its template changes.
var run = []stage{
	{"it is made", func(w *world) { w.writeJob("1") }, ran("1", 1, "1", 1, "", "")},
	{"it completes", func(w *world) { w.complete("m1") }, ran("1", 1, "1", 1, "", "")},
	{"its TTL removes it", func(w *world) { w.members["m1"].Remove(simulation.Jobs, "shop", "pay") }, ran("", 1, "1", 1, v1beta2.TargetEnded, "")},
	{"it is changed", func(w *world) { w.writeJob("2") }, ran("2", 2, "2", 1, "", "")},
	{"it completes again", func(w *world) { w.complete("m1") }, ran("2", 2, "2", 1, "", "")},
	{"its TTL removes it again", func(w *world) { w.members["m1"].Remove(simulation.Jobs, "shop", "pay") }, ran("", 2, "2", 1, v1beta2.TargetEnded, "")},
	{"it is deleted", func(w *world) { w.removeJob() }, ran("", 2, "", 1, none, none)},
}

var federatedJobs = simulation.FederatedConfigMaps.GroupVersion().WithResource("federatedjobs")

func (w *world) writeJob(round string) {
	w.Helper()
	job := placed("pay", "", nil, nil)
	job["kind"] = "FederatedJob"
	job["spec"].(map[string]any)["template"] = map[string]any{"spec": map[string]any{"round": round}}
	w.writeAs(federatedJobs, job)
}

func (w *world) removeJob() {
	w.Helper()
	if err := w.client.Resource(federatedJobs).Namespace("shop").Delete(w.Context(), "pay", metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) complete(member string) {
	w.Helper()
	job := w.members[member].Object(simulation.Jobs, "shop", "pay")
	job["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Complete", "status": "True"}}}
	if err := w.members[member].Put(simulation.Jobs, job); err != nil {
		w.Fatal(err)
	}
}

// ran checks which Job two members have, and how often one was made there.
func ran(m1 string, made1 int, m2 string, made2 int, state1, state2 v1beta2.TargetState) func(*world) error {
	return func(w *world) error {
		states, there := w.statesOf(federatedJobs, "pay")
		for name, want := range map[string]string{"m1": m1, "m2": m2} {
			got, _, _ := unstructured.NestedString(w.members[name].Object(simulation.Jobs, "shop", "pay"), "spec", "round")
			if made := w.made[name].Load(); got != want || made != int64(map[string]int{"m1": made1, "m2": made2}[name]) {
				return fmt.Errorf("member %s has %q, want %q, and it was made %d times; the status says %v", name, got, want, made, states)
			}
		}
		return saysOf(states, there, state1, state2)
	}
}

// drift changes an object in a member by hand.
func (w *world) drift(member, name string) {
	w.Helper()
	object := w.members[member].Object(simulation.ConfigMaps, "shop", name)
	object["data"] = map[string]any{"key": "by hand"}
	if err := w.members[member].Put(simulation.ConfigMaps, object); err != nil {
		w.Fatal(err)
	}
}

// quiet is after how long everything must be found, whatever was lost.
const quiet = 31 * time.Minute

// others are objects in members that are none of ours.
func (w *world) others() map[string]map[string]any {
	found := map[string]map[string]any{}
	for name, m := range w.members {
		for _, object := range []string{"theirs", "elsewhere"} {
			found[name+"/"+object] = m.Object(simulation.ConfigMaps, "shop", object)
		}
	}
	return found
}

// putOthers makes them: one that nobody federates, and one of another federation.
func (w *world) putOthers() {
	w.Helper()
	for _, m := range w.members {
		for _, object := range []map[string]any{
			{"metadata": map[string]any{"name": "shop"}},
		} {
			if err := m.Put(simulation.Namespaces, object); err != nil {
				w.Fatal(err)
			}
		}
		for _, object := range []map[string]any{
			{"metadata": map[string]any{"name": "theirs", "namespace": "shop"}},
			{"metadata": map[string]any{"name": "elsewhere", "namespace": "shop", "labels": map[string]any{"kubefed.io/managed": "true"},
				"annotations": map[string]any{"federation.koinon.io/federated-object": "shop/elsewhere", "federation.koinon.io/federation": "another"}}},
		} {
			if err := m.Put(simulation.ConfigMaps, object); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// lead leads an object through its life, and returns what is not as it should be.
func (w *world) lead(life []stage) error {
	others := w.others()
	for _, stage := range life {
		stage.do(w)
		w.pass(quiet)
		if err := stage.is(w); err != nil {
			return fmt.Errorf("%s: %w", stage.name, err)
		}
		if got := w.others(); !reflect.DeepEqual(got, others) {
			return fmt.Errorf("%s: objects of others became %v, want %v", stage.name, got, others)
		}
	}
	return nil
}

// mishap is what becomes of one event of a watch.
type mishap struct {
	name string
	// on returns what is sent in the place of an event, and later what is sent before the next
	// event of the same watch.
	on func(simulation.WatchEvent) (now, later []simulation.WatchEvent)
	// after happens once the event is sent, or not.
	after func(*world)
}

var mishaps = []mishap{
	{name: "is lost", on: func(simulation.WatchEvent) (now, later []simulation.WatchEvent) { return nil, nil }},
	{name: "comes twice", on: func(e simulation.WatchEvent) (now, later []simulation.WatchEvent) {
		return []simulation.WatchEvent{e, e}, nil
	}},
	{name: "comes after the next one", on: func(e simulation.WatchEvent) (now, later []simulation.WatchEvent) {
		return nil, []simulation.WatchEvent{e}
	}},
	{name: "comes, and the engine is restarted", on: func(e simulation.WatchEvent) (now, later []simulation.WatchEvent) {
		return []simulation.WatchEvent{e}, nil
	}, after: (*world).restart},
	{name: "is lost, and the engine is restarted", on: func(simulation.WatchEvent) (now, later []simulation.WatchEvent) { return nil, nil },
		after: (*world).restart},
}

// tamperer has one mishap befall one event.
type tamperer struct {
	mishap
	position int

	mu      sync.Mutex
	seen    int
	held    []simulation.WatchEvent
	struck  string
	happens chan struct{} // closed when it has
}

func (t *tamperer) tamper(e simulation.WatchEvent) []simulation.WatchEvent {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held != nil && t.held[0].Resource == e.Resource {
		events := append([]simulation.WatchEvent{e}, t.held...)
		t.held = nil
		return events
	}
	t.seen++
	if t.seen != t.position {
		return []simulation.WatchEvent{e}
	}
	t.struck = fmt.Sprintf("%s %s %s/%s", e.Kind, e.Resource.Resource, e.Namespace, e.Name)
	now, later := t.on(e)
	t.held = later
	close(t.happens)
	return now
}

// TestWhateverBecomesOfAnEventMembersEndUpAsTheObjectSays: one event after the other is lost,
// doubled or late, of the host or of a member, in a whole life of an object; once all is quiet,
// after each step, members hold what the object says, and nothing else was touched. KOINON_LONG
// has every position tried.
func TestWhateverBecomesOfAnEventMembersEndUpAsTheObjectSays(t *testing.T) {
	everyMishap(t, life, many(31, 1))
}

// TestWhateverBecomesOfAnEventAJobIsNotRunTwice, whoever is restarted, too.
func TestWhateverBecomesOfAnEventAJobIsNotRunTwice(t *testing.T) {
	everyMishap(t, run, many(23, 1))
}

// everyMishap has each mishap befall every event of a life, or one of so many.
func everyMishap(t *testing.T, life []stage, stride int) {
	t.Helper()
	for _, where := range []string{"host", "m1", "m2"} {
		for number, m := range mishaps {
			t.Run("an event of "+where+" "+m.name, func(t *testing.T) {
				for position := 1 + number%stride; ; position += stride {
					struck := false
					t.Run(fmt.Sprint(position), func(t *testing.T) { struck = suffers(t, life, where, m, position) })
					if !struck {
						return
					}
				}
			})
		}
	}
}

// suffers leads an object through a life with one mishap. It returns false if there are not as
// many events in it.
func suffers(t *testing.T, life []stage, where string, m mishap, position int) (struck bool) {
	t.Helper()
	inWorld(t, 2, func(w *world) {
		w.putOthers()
		w.start()
		defer func() { w.stop() }()
		w.pass(time.Minute)
		tamperer := &tamperer{mishap: m, position: position, happens: make(chan struct{})}
		from := w.host
		if where != "host" {
			from = w.members[where]
		}
		from.Tamper(tamperer.tamper)
		over := make(chan struct{})
		var watching sync.WaitGroup
		if m.after != nil {
			watching.Go(func() { // ends with the life
				select {
				case <-tamperer.happens:
					m.after(w)
				case <-over:
				}
			})
		}
		err := w.lead(life)
		close(over)
		watching.Wait()
		from.Tamper(nil)
		if err != nil {
			w.Errorf("after %s: %v", tamperer.struck, err)
		}
		struck = tamperer.struck != ""
	})
	return struck
}
