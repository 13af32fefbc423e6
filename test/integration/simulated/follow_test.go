package simulated_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/test/simulation"
)

// followWorld is a world in which native objects are followed, and what was said of them.
type followWorld struct {
	*world
	mu   sync.Mutex
	told []string // guarded by mu
}

func inFollowWorld(t *testing.T, do func(*followWorld)) {
	t.Helper()
	host := simulation.Options{Types: simulation.HostTypes(), ManagedFields: true}
	host.Types = append(host.Types, simulation.Type{GroupVersionResource: simulation.CustomResourceDefinitions, Kind: "CustomResourceDefinition"})
	inWorldOf(t, 1, host, func(w *world) {
		f := &followWorld{world: w}
		w.follows = true
		w.record = func(about *corev1.ObjectReference, happened ...events.Event) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, e := range happened {
				f.told = append(f.told, about.Kind+" "+about.Name+" "+e.Reason+": "+e.Message)
			}
		}
		w.start()
		defer w.stop()
		do(f)
	})
}

// said counts what was said that has a part.
func (f *followWorld) said(part string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, told := range f.told {
		if strings.Contains(told, part) {
			n++
		}
	}
	return n
}

// native makes a labelled ConfigMap, or changes the one that there is.
func (f *followWorld) native(name, value string) {
	f.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{
			"name": name, "namespace": "shop", "labels": map[string]any{v1beta1.FederateLabel: "true"},
			"annotations": map[string]any{v1beta1.PlacementAnnotation: `topologySelector: {}`},
		},
		"data": map[string]any{"key": value},
	}}
	if _, err := f.client.Resource(simulation.ConfigMaps).Namespace("shop").Apply(f.Context(), name, object, metav1.ApplyOptions{FieldManager: "user", Force: true}); err != nil {
		f.Fatal(err)
	}
}

func (f *followWorld) deleteNative(name string) {
	f.Helper()
	if err := f.client.Resource(simulation.ConfigMaps).Namespace("shop").Delete(f.Context(), name, metav1.DeleteOptions{}); err != nil {
		f.Fatal(err)
	}
}

// mark is that of a federated object, nil if it has none or is not there.
func (f *followWorld) mark(name string) *following.Mark {
	object := f.host.Object(simulation.FederatedConfigMaps, "shop", name)
	if object == nil {
		return nil
	}
	return following.MarkOf((&unstructured.Unstructured{Object: object}).GetAnnotations())
}

func (f *followWorld) inMember(name, value string) {
	f.Helper()
	object := f.members["m1"].Object(simulation.ConfigMaps, "shop", name)
	if got, _, _ := unstructured.NestedString(object, "data", "key"); object == nil || got != value {
		f.Errorf("m1 has %v of %s, want %s", object, name, value)
	}
}

// goesOn checks that an object is followed, and its copy there.
func (f *followWorld) goesOn(name, when string) {
	f.Helper()
	if mark := f.mark(name); mark == nil || mark.Ended {
		f.Errorf("%s: the mark of %s is %v", when, name, mark)
	}
	if f.members["m1"].Object(simulation.ConfigMaps, "shop", name) == nil {
		f.Errorf("%s: the copy of %s is gone", when, name)
	}
}

// What the host does not say ends nothing: that is said of an object which is known not to be there.
func TestWhatTheHostDoesNotSayEndsNothingThatIsFollowed(t *testing.T) {
	inFollowWorld(t, func(f *followWorld) {
		f.native("web", "one")
		f.pass(time.Minute)
		f.inMember("web", "one")

		f.host.SetServed(simulation.ConfigMaps, false)
		f.pass(time.Hour)
		f.goesOn("web", "while the type is not served")
		f.restart()
		f.pass(time.Hour)
		f.goesOn("web", "after a restart, while the type is not served")
		f.host.SetServed(simulation.ConfigMaps, true)
		f.pass(time.Minute)
		f.native("web", "two")
		f.pass(time.Minute)
		f.inMember("web", "two")

		for _, code := range []int{http.StatusForbidden, http.StatusInternalServerError, http.StatusNotFound} {
			f.host.SetFaults(simulation.Fault{Verbs: []string{"discovery"}, Code: http.StatusServiceUnavailable}, simulation.Fault{Resource: "configmaps", Code: code})
			f.host.CloseWatches()
			f.pass(time.Hour)
			f.goesOn("web", fmt.Sprint("while the host answers ", code))
			f.restart()
			f.pass(time.Hour)
			f.goesOn("web", fmt.Sprint("after a restart, while the host answers ", code))
			f.host.SetFaults()
			f.pass(10 * time.Minute)
			f.goesOn("web", "once the host answers again")
		}

		// It was deleted, and for a while nobody says so.
		f.host.SetFaults(simulation.Fault{Verbs: []string{"get"}, Resource: "configmaps", Code: http.StatusServiceUnavailable})
		f.deleteNative("web")
		f.pass(time.Hour)
		f.goesOn("web", "while the object may not be read")
		f.host.SetFaults()
		f.pass(10 * time.Minute)
		if f.mark("web") != nil || f.members["m1"].Object(simulation.ConfigMaps, "shop", "web") != nil {
			t.Error("it is not deleted although its native object is")
		}
	})
}

// A followed object costs a read when it has changed, and one after a restart; what happens in members costs none.
func TestWhatIsFollowedAndRightCostsNothing(t *testing.T) {
	const objects = 50
	inFollowWorld(t, func(f *followWorld) {
		for i := range objects {
			f.native(fmt.Sprint("web", i), "one")
		}
		f.pass(time.Minute)
		before := f.host.Counts()
		f.restart()
		f.pass(time.Minute)
		after := f.host.Counts()
		if n := after.Writes() - before.Writes(); n != 0 {
			t.Errorf("%d writes after a restart, want none", n)
		}
		if n := after.Requests["get"] - before.Requests["get"]; n > objects {
			t.Errorf("%d reads after a restart, want %d", n, objects)
		}
		f.members["m1"].SetFaults(simulation.Fault{Verbs: []string{"update", "create"}, Code: http.StatusInternalServerError})
		before = f.host.Counts()
		for i := range objects { // the members' copies are written again, in vain, and statuses say so
			if err := f.members["m1"].Put(simulation.ConfigMaps, map[string]any{"metadata": map[string]any{"name": fmt.Sprint("web", i), "namespace": "shop"}}); err != nil {
				t.Fatal(err)
			}
		}
		f.pass(time.Minute)
		if n := f.host.Counts().Requests["get"] - before.Requests["get"]; n > 0 {
			t.Errorf("%d reads of native objects since members changed, want none", n)
		}
	})
}

func TestWhatIsRefusedIsToldOnceAndTriedAgain(t *testing.T) {
	inFollowWorld(t, func(f *followWorld) {
		f.host.SetFaults(simulation.Fault{Verbs: []string{"create"}, Resource: "federatedconfigmaps", Code: http.StatusForbidden})
		f.native("web", "one")
		f.pass(time.Hour)
		if n := f.said("ConfigMap web " + v1beta2.EventNotFollowed); n != 1 {
			t.Errorf("it was said %d times, want once: %v", n, f.told)
		}
		f.host.SetFaults()
		f.pass(10 * time.Minute)
		f.inMember("web", "one")
	})
}

func TestAnObjectWhoseTypeIsNotFederatedIsToldSo(t *testing.T) {
	inFollowWorld(t, func(f *followWorld) {
		secret := func(name, label string) {
			t.Helper()
			if err := f.host.Put(simulation.Secrets, map[string]any{"metadata": map[string]any{"name": name, "namespace": "shop", "labels": map[string]any{v1beta1.FederateLabel: label}}}); err != nil {
				t.Fatal(err)
			}
		}
		secret("key", "true")
		secret("other", "false")
		f.pass(time.Hour)
		if n := f.said("Secret key " + v1beta2.EventNotFollowed + ": no federated object follows it: its type is not enabled"); n != 1 || f.said("Secret other") > 0 {
			t.Errorf("it was said %d times, want once: %v", n, f.told)
		}
	})
}

// A federated object that a person deletes is made anew as long as the native one wants it; one that a person made is left alone.
func TestWhoMadeAFederatedObjectDecides(t *testing.T) {
	inFollowWorld(t, func(f *followWorld) {
		f.native("web", "one")
		f.pass(time.Minute)
		federated := f.client.Resource(simulation.FederatedConfigMaps).Namespace("shop")
		if err := federated.Delete(f.Context(), "web", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		f.pass(time.Minute)
		f.goesOn("web", "after its federated object was deleted")

		f.write(placed("mine", "theirs", nil, nil))
		f.native("mine", "one")
		f.pass(time.Minute)
		f.inMember("mine", "theirs")
		f.deleteNative("mine")
		f.pass(time.Hour)
		f.inMember("mine", "theirs")

		// Its mark taken away, a federated object is a person's.
		if _, err := federated.Patch(f.Context(), "web", types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:null}}}`, v1beta1.FollowsAnnotation), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		f.native("web", "two")
		f.pass(time.Minute)
		f.inMember("web", "one")
		f.deleteNative("web")
		f.pass(time.Hour)
		f.inMember("web", "one")
	})
}
