package simulated_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

// TestWhoChangesAPlacementAllTheTimeDelaysNobodyElse: fifty times a second. The status is written
// meanwhile, once for each change at most, and in the end everything is as the last change says.
func TestWhoChangesAPlacementAllTheTimeDelaysNobodyElse(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		w.write(placed("settings", "1", nil, nil))
		w.write(placed("restless", "1", nil, nil))
		w.pass(time.Minute)
		const changes = 240
		choices := [][]string{{"m1"}, {"m1", "m2"}, {"m3"}, {}, {"m1", "m2", "m3"}, {"nowhere"}}
		var statuses int
		last := w.federated("restless").Status
		for i := range changes {
			w.write(placed("restless", fmt.Sprint(i), choices[i%len(choices)], nil))
			if i == 60 {
				w.write(placed("settings", "2", nil, nil))
			}
			w.pass(20 * time.Millisecond)
			if status := w.federated("restless").Status; !reflect.DeepEqual(status, last) {
				statuses++
				last = status
			}
			if states, _ := w.states("settings"); i == 160 && (value(w.members["m3"], "settings") != "2" || states["m3"] != v1beta2.TargetOK) {
				w.Errorf("two seconds after its change the other object is %q, and its status says %v", value(w.members["m3"], "settings"), states)
			}
		}
		if statuses < 3 || statuses > changes {
			w.Errorf("the status was written %d times for %d changes", statuses, changes)
		}
		w.write(placed("restless", "last", []string{"m2"}, nil))
		w.pass(quiet)
		states, _ := w.states("restless")
		if got, want := states, (map[string]v1beta2.TargetState{"m2": v1beta2.TargetOK}); !reflect.DeepEqual(got, want) {
			w.Errorf("in the end the status says %v, want %v", got, want)
		}
		for name, m := range w.members {
			if got := value(m, "restless"); (got == "last") != (name == "m2") || (got == "") != (name != "m2") {
				w.Errorf("in the end member %s has %q", name, got)
			}
		}
		w.isQuiet()
	})
}

// TestAForgedStatusDeletesNothingOfOthers: whatever stands in the status when the engine first sees
// it, what is deleted is what carries the marks of the object, where the object may be.
func TestAForgedStatusDeletesNothingOfOthers(t *testing.T) {
	for name, forged := range map[string][]any{
		"another namespace":      {map[string]any{"name": "m2", "cluster": "m2", "namespace": "other", "hash": "h", "version": "rv:1"}},
		"a namespace of its own": {map[string]any{"name": "m2", "cluster": "m2", "namespace": "kube-system", "hash": "h"}},
		"another member":         {map[string]any{"name": "m1", "cluster": "m2", "namespace": "shop", "hash": "h", "version": "rv:1"}},
		"a target that is none":  {map[string]any{"name": strings.Repeat("x", 20_000), "cluster": "m2", "namespace": "shop", "hash": "h"}},
		"a member that is none":  {map[string]any{"name": "m2", "cluster": "nowhere", "namespace": "shop", "hash": "h"}},
		"no member":              {map[string]any{"name": "m2", "hash": "h"}},
		"an end":                 {map[string]any{"name": "m1", "cluster": "m1", "namespace": "shop", "hash": "h", "version": "rv:1", "ended": true}},
		"what is up to date":     {map[string]any{"name": "m1", "cluster": "m1", "namespace": "shop", "hash": "0123456789abcdef", "version": "gen:1", "generation": int64(1)}},
		"a target twice":         {map[string]any{"name": "m1", "cluster": "m1", "hash": "h"}, map[string]any{"name": "m1", "cluster": "m2", "hash": "i"}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 2, func(w *world) {
				w.putOthers()
				// Somebody else's object of the name, as KubeFed makes them, and one of an earlier time.
				for _, namespace := range []string{"other", "kube-system"} {
					if namespace == "other" {
						if err := w.members["m2"].Put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": namespace}}); err != nil {
							w.Fatal(err)
						}
					}
					if err := w.members["m2"].Put(simulation.ConfigMaps, map[string]any{"metadata": map[string]any{
						"name": "settings", "namespace": namespace, "labels": map[string]any{"kubefed.io/managed": "true"}}}); err != nil {
						w.Fatal(err)
					}
				}
				foreign := map[string]any{"metadata": map[string]any{"name": "settings", "namespace": "shop", "labels": map[string]any{"kubefed.io/managed": "true"},
					"annotations": map[string]any{"federation.koinon.io/federated-object": "shop/settings", "federation.koinon.io/federation": "another"}}}
				if err := w.members["m2"].Put(simulation.ConfigMaps, foreign); err != nil {
					w.Fatal(err)
				}
				object := placed("settings", "1", []string{"m1"}, nil)
				object["metadata"].(map[string]any)["finalizers"] = []any{"kubefed.io/sync-controller"}
				object["status"] = map[string]any{"observedGeneration": int64(1), "targets": forged}
				w.put(simulation.FederatedConfigMaps, object)
				kept := func() []map[string]any {
					var objects []map[string]any
					for _, namespace := range []string{"other", "kube-system", "shop"} {
						objects = append(objects, w.members["m2"].Object(simulation.ConfigMaps, namespace, "settings"))
					}
					return objects
				}
				before, others := kept(), w.others()
				w.start()
				defer func() { w.stop() }()
				w.pass(5 * time.Minute)
				states, _ := w.states("settings")
				if got := value(w.members["m1"], "settings"); got != "1" || states["m1"] != v1beta2.TargetOK {
					w.Errorf("the member that it is placed in has %q, and the status says %v", got, states)
				}
				w.restart()
				w.pass(5 * time.Minute)
				w.remove("settings")
				w.pass(5 * time.Minute)
				if got := value(w.members["m1"], "settings"); got != "" {
					w.Errorf("the member still has %q", got)
				}
				if after := kept(); !reflect.DeepEqual(after, before) {
					w.Errorf("objects of others became %v, want %v", after, before)
				}
				if after := w.others(); !reflect.DeepEqual(after, others) {
					w.Errorf("objects of others became %v, want %v", after, others)
				}
			})
		})
	}
}

// TestATemplateThatLooksLikeOursIsNotTakenForOurs: annotations, labels, owners and finalizers that a
// user writes change nothing of whose the object is.
func TestATemplateThatLooksLikeOursIsNotTakenForOurs(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.putOthers()
		object := placed("settings", "1", nil, nil)
		marks := map[string]any{
			"federation.koinon.io/federated-object": "shop/elsewhere", "federation.koinon.io/federation": "another", "kubefed.io/orphan": "true",
			"federation.koinon.io/manifest-metadata": `{"labels":["x"],"finalizers":["kept"]}`, "federation.koinon.io/owner": "Namespace another",
		}
		object["metadata"].(map[string]any)["annotations"] = map[string]any{"federation.koinon.io/federation": "another"}
		object["spec"].(map[string]any)["template"] = map[string]any{"data": map[string]any{"key": "1"}, "metadata": map[string]any{
			"name": "elsewhere", "namespace": "kube-system", "uid": "u", "annotations": marks, "finalizers": []any{"never/removed"},
			"labels":          map[string]any{"kubefed.io/managed": "false"},
			"ownerReferences": []any{map[string]any{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}},
		}}
		others := w.others()
		w.start()
		defer func() { w.stop() }()
		w.write(object)
		w.pass(5 * time.Minute)
		made := w.members["m1"].Object(simulation.ConfigMaps, "shop", "settings")
		metadata, _ := made["metadata"].(map[string]any)
		annotations, _ := metadata["annotations"].(map[string]any)
		if annotations["federation.koinon.io/federated-object"] != "shop/settings" || annotations["federation.koinon.io/federation"] != "here" ||
			metadata["finalizers"] != nil || metadata["ownerReferences"] != nil {
			w.Errorf("the member has %v", metadata)
		}
		w.remove("settings")
		w.pass(5 * time.Minute)
		if w.members["m1"].Object(simulation.ConfigMaps, "shop", "settings") != nil || w.federated("settings") != nil {
			w.Error("the object is still there")
		}
		if after := w.others(); !reflect.DeepEqual(after, others) {
			w.Errorf("objects of others became %v, want %v", after, others)
		}
	})
}
