package simulated_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/test/simulation"
)

// many is how many of something a test has: few, unless KOINON_LONG is set.
func many(few, long int) int {
	if os.Getenv("KOINON_LONG") != "" {
		return long
	}
	return few
}

// down cuts a member off, and up brings it back.
func (w *world) down(name string) {
	w.members[name].SetFaults(simulation.Fault{Cut: true})
	w.members[name].CloseWatches()
	w.health(name, membership.Offline, "the member does not answer")
}

func (w *world) up(name string) {
	w.members[name].SetFaults()
	w.health(name, membership.Ready, "")
}

// ours are the ConfigMaps that members have, by member and name.
func (w *world) ours() map[string]string {
	found := map[string]string{}
	for member, m := range w.members {
		for _, object := range m.Objects(simulation.ConfigMaps) {
			name := object["metadata"].(map[string]any)["name"].(string)
			found[member+"/"+name] = value(m, name)
		}
	}
	return found
}

// isAs fails unless every member has what the model says, the status says so, and the host has
// nothing else.
func (w *world) isAs(model map[string]string) {
	w.Helper()
	found := w.ours()
	if len(found) != len(model)*len(w.members) {
		w.Errorf("members have %d objects, want %d", len(found), len(model)*len(w.members))
	}
	for name, want := range model {
		states, _ := w.states(name)
		for member := range w.members {
			if got := found[member+"/"+name]; got != want || states[member] != v1beta2.TargetOK {
				w.Fatalf("member %s has %q of %s, want %q; the status says %v", member, got, name, want, states)
			}
		}
	}
	if n := len(w.host.Objects(simulation.FederatedConfigMaps)); n != len(model) {
		w.Errorf("the host has %d objects, want %d", n, len(model))
	}
}

// isQuiet fails if anything is written to anybody while nothing happens.
func (w *world) isQuiet() {
	w.Helper()
	writes := func() int64 {
		n := w.host.Counts().Writes()
		for _, m := range w.members {
			n += m.Counts().Writes()
		}
		return n
	}
	before := writes()
	w.pass(20 * time.Minute)
	if n := writes() - before; n > 0 {
		w.Errorf("%d writes were made although nothing happened", n)
	}
}

// heap is what is in use once all garbage is gone.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestThousandsThatComeAndGoWhileMembersFlapLeaveNothing: KOINON_LONG has 3,000 objects.
func TestThousandsThatComeAndGoWhileMembersFlapLeaveNothing(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		w.pass(time.Minute)
		random := rand.New(rand.NewPCG(8, 8))
		objects := many(20, 3000)
		var held []uint64
		for round := range 3 {
			model := map[string]string{}
			for i := range objects {
				name := fmt.Sprintf("o%d", i)
				model[name] = "0"
				w.write(placed(name, "0", nil, nil))
			}
			away := map[string]bool{}
			for i := range many(4*objects, objects) {
				name := fmt.Sprintf("o%d", random.IntN(objects))
				_, there := w.states(name)
				switch n := random.IntN(10); {
				case n < 3 && model[name] != "":
					w.remove(name)
					delete(model, name)
				case !there || model[name] != "":
					model[name] = fmt.Sprint(round, "-", i)
					w.write(placed(name, model[name], nil, nil))
				}
				member := fmt.Sprintf("m%d", 1+random.IntN(3))
				switch random.IntN(max(20, objects/15)) {
				case 0:
					w.down(member)
					away[member] = true
				case 1, 2:
					if away[member] {
						w.up(member)
						away[member] = false
					}
				}
				if random.IntN(10) == 0 {
					time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond) // of the bubble
				}
			}
			for member := range away {
				w.up(member)
			}
			w.pass(quiet)
			w.isAs(model)
			w.isQuiet()
			for name := range model {
				w.remove(name)
			}
			w.pass(quiet)
			w.isAs(nil)
			w.host.Compact() // what simulated servers remember is not looked for
			for _, m := range w.members {
				m.Compact()
			}
			held = append(held, heap())
		}
		// The first round fills pools of the library.
		if more := int64(held[2]) - int64(held[1]); more > 2<<20 {
			w.Errorf("a round of %d objects that are gone leaves %d KiB; held were %v", objects, more>>10, held)
		}
	})
}

// TestAnObjectIsDeletedEverywhereAlthoughHalfOfItsMembersAreAway: KOINON_LONG has 1,000 members.
func TestAnObjectIsDeletedEverywhereAlthoughHalfOfItsMembersAreAway(t *testing.T) {
	members := many(20, 1000)
	inWorld(t, members, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		w.write(placed("settings", "1", nil, nil))
		w.pass(5 * time.Minute)
		w.isAs(map[string]string{"settings": "1"})
		for i := 1; i <= members; i += 2 {
			w.down(fmt.Sprintf("m%d", i))
		}
		w.remove("settings")
		w.pass(5 * time.Minute)
		if n := len(w.ours()); n != (members+1)/2 {
			w.Errorf("%d members have the object, want those that are away, %d", n, (members+1)/2)
		}
		object := w.federated("settings")
		if object == nil || len(object.Status.Targets) != (members+1)/2 {
			w.Fatalf("the object is not waited for: %v", object)
		}
		w.restart()
		for i := 1; i <= members; i += 2 {
			w.down(fmt.Sprintf("m%d", i))
		}
		w.pass(5 * time.Minute)
		if w.federated("settings") == nil {
			w.Fatal("the object went while members may have it")
		}
		for i := 1; i <= members; i += 2 {
			w.up(fmt.Sprintf("m%d", i))
		}
		w.pass(5 * time.Minute)
		w.isAs(nil)
		w.isQuiet()
	})
}

// TestANamespaceIsDeletedWithAllItsObjects: KOINON_LONG has 1,000 of them.
func TestANamespaceIsDeletedWithAllItsObjects(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		for i := range many(30, 1000) {
			w.write(placed(fmt.Sprintf("o%d", i), "1", nil, nil))
		}
		w.pass(5 * time.Minute)
		if err := w.client.Resource(simulation.Namespaces).Delete(w.Context(), "shop", metav1.DeleteOptions{}); err != nil {
			w.Fatal(err)
		}
		w.pass(5 * time.Minute)
		w.isAs(nil)
		if w.host.Object(simulation.Namespaces, "", "shop") != nil {
			w.Error("the namespace is still there")
		}
		w.isQuiet()
	})
}
