package simulated_test

import (
	"fmt"
	"os"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// life is what may happen to a federated object from its creation to its end, and what members
// have after each step.
var life = []struct {
	name string
	do   func(*world)
	// want is the value by member; gone says that the federated object is, too.
	want   map[string]string
	masked []string
	gone   bool
}{
	{"it is made", func(w *world) { w.write(placed("settings", "1", nil, nil)) },
		map[string]string{"m1": "1", "m2": "1"}, nil, false},
	{"it is changed", func(w *world) { w.write(placed("settings", "2", nil, nil)) },
		map[string]string{"m1": "2", "m2": "2"}, nil, false},
	{"it is changed where the mask lets it", func(w *world) { w.write(placed("settings", "3", nil, []string{"m1"})) },
		map[string]string{"m1": "3", "m2": "2"}, []string{"m2"}, false},
	{"the mask goes", func(w *world) { w.write(placed("settings", "3", nil, nil)) },
		map[string]string{"m1": "3", "m2": "3"}, nil, false},
	{"it leaves a member", func(w *world) { w.write(placed("settings", "3", []string{"m1"}, nil)) },
		map[string]string{"m1": "3"}, nil, false},
	{"it comes back", func(w *world) { w.write(placed("settings", "3", nil, nil)) },
		map[string]string{"m1": "3", "m2": "3"}, nil, false},
	{"somebody changes it in a member", func(w *world) { w.drift("m1", "settings") },
		map[string]string{"m1": "3", "m2": "3"}, nil, false},
	{"somebody deletes it in a member", func(w *world) { w.members["m2"].Remove(simulation.ConfigMaps, "shop", "settings") },
		map[string]string{"m1": "3", "m2": "3"}, nil, false},
	{"it is deleted", func(w *world) { w.remove("settings") },
		nil, nil, true},
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

// live leads an object through its life, and returns what is not as it should be.
func (w *world) live() error {
	others := w.others()
	for _, step := range life {
		step.do(w)
		w.pass(quiet)
		for name, m := range w.members {
			if got := value(m, "settings"); got != step.want[name] {
				states, _ := w.states("settings")
				return fmt.Errorf("%s: member %s has %q, want %q; the status says %v", step.name, name, got, step.want[name], states)
			}
		}
		states, there := w.states("settings")
		want := map[string]v1beta2.TargetState{}
		for name := range step.want {
			want[name] = v1beta2.TargetOK
		}
		for _, name := range step.masked {
			want[name] = v1beta2.TargetMasked
		}
		if there == step.gone || (there && !reflect.DeepEqual(states, want)) {
			return fmt.Errorf("%s: the object is there: %v, and its status says %v, want %v", step.name, there, states, want)
		}
		if got := w.others(); !reflect.DeepEqual(got, others) {
			return fmt.Errorf("%s: objects of others became %v, want %v", step.name, got, others)
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
	stride := 31
	if os.Getenv("KOINON_LONG") != "" {
		stride = 1
	}
	for _, where := range []string{"host", "m1", "m2"} {
		for number, m := range mishaps {
			t.Run("an event of "+where+" "+m.name, func(t *testing.T) {
				for position := 1 + number%stride; ; position += stride {
					struck := false
					t.Run(fmt.Sprint(position), func(t *testing.T) { struck = suffers(t, where, m, position) })
					if !struck || t.Failed() && os.Getenv("KOINON_LONG") == "" {
						return
					}
				}
			})
		}
	}
}

// suffers leads an object through a life with one mishap. It returns false if there are not as
// many events in it.
func suffers(t *testing.T, where string, m mishap, position int) (struck bool) {
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
		err := w.live()
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
