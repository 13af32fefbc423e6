package simulated_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/test/simulation"
)

// listener keeps what it is told.
type listener struct {
	mu   sync.Mutex
	told []events.Event // guarded by mu
}

func (l *listener) record(about *corev1.ObjectReference, happened ...events.Event) {
	if about.Kind == "FederatedNamespace" {
		return // every world has one
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, happened...)
}

// take returns what was told since the last call.
func (l *listener) take() []events.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := l.told
	l.told = nil
	return told
}

// TestAConflictThatStandsIsToldOnceAndLookedAtOnceAMinute: for an hour, with a restart in between.
func TestAConflictThatStandsIsToldOnceAndLookedAtOnceAMinute(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		member := w.members["m1"]
		if err := member.Put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": "shop"}}); err != nil {
			w.Fatal(err)
		}
		client := dynamic.NewForConfigOrDie(member.InProcess()).Resource(simulation.ConfigMaps).Namespace("shop")
		theirs := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings"}, "data": map[string]any{"key": "theirs"},
		}}
		if _, err := client.Create(w.Context(), theirs, metav1.CreateOptions{FieldManager: "release-tool"}); err != nil {
			w.Fatal(err)
		}
		told := &listener{}
		w.record = told.record
		w.start()
		defer func() { w.stop() }()
		object := placed("settings", "ours", []string{"m1"}, nil)
		object["metadata"].(map[string]any)["annotations"] = map[string]any{v1beta1.ConflictsAnnotation: "Abort"}
		w.write(object)
		w.pass(5 * time.Minute)
		conflict := []events.Event{{
			Type: corev1.EventTypeWarning, Reason: "Conflict",
			Message: `m1: field .data.key is owned by "release-tool"; the annotation federation.koinon.io/conflicts=Overwrite takes over what others own`,
		}}
		if diff := cmp.Diff(conflict, told.take()); diff != "" {
			w.Errorf("told (-want +got):\n%s", diff)
		}
		before := member.Counts()
		w.pass(time.Hour)
		after := member.Counts()
		// The object and its namespace are read, and a dry run is an update.
		for verb, most := range map[string]int64{"get": 130, "update": 65} {
			if n := after.Requests[verb] - before.Requests[verb]; n < 10 || n > most {
				w.Errorf("%d requests to %s in an hour", n, verb)
			}
		}
		w.restart()
		w.pass(5 * time.Minute)
		if diff := cmp.Diff([]events.Event(nil), told.take()); diff != "" {
			w.Errorf("told of what stands as it stood (-want +got):\n%s", diff)
		}
		if states, _ := w.states("settings"); states["m1"] != v1beta2.TargetConflict || value(member, "settings") != "theirs" {
			w.Errorf("got states %v and value %q", states, value(member, "settings"))
		}

		w.write(placed("settings", "theirs", []string{"m1"}, nil)) // both agree
		w.pass(time.Minute)
		if diff := cmp.Diff([]events.Event{{Type: corev1.EventTypeNormal, Reason: "PropagationComplete", Message: "1 target runs generation 2"}}, told.take()); diff != "" {
			w.Errorf("told (-want +got):\n%s", diff)
		}
		w.remove("settings")
		w.pass(quiet)
		if value(member, "settings") != "" {
			w.Error("a policy for writes has kept a deletion from being done")
		}
	})
}
