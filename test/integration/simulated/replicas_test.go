package simulated_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/replicas"
	"github.com/koinon-io/koinon/pkg/federation/scheduler"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/pkg/generated/informers/externalversions"
	"github.com/koinon-io/koinon/test/simulation"
)

var pods = corev1.SchemeGroupVersion.WithResource("pods")

var preferences = v1alpha1.SchemeGroupVersion.WithResource("replicaschedulingpreferences")

// divide runs a scheduler beside the engine of a world, until it stops. restart is divided, too.
func (w *world) divide() {
	w.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	end := w.end
	w.end = func() { cancel(); end() }
	koinon := versioned.NewForConfigOrDie(w.host.InProcess())
	everywhere := externalversions.NewSharedInformerFactory(koinon, 0)
	informer := everywhere.KubeFedScheduling().V1alpha1().ReplicaSchedulingPreferences()
	controller, err := scheduler.New(scheduler.Config{
		Objects: w.engine, Preferences: informer.Lister(), Client: koinon.KubeFedSchedulingV1alpha1(),
		Settings: func() scheduler.Settings {
			return scheduler.Settings{Enabled: true, Delays: replicas.Delays{Unavailable: time.Minute, Available: 20 * time.Second}}
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	told := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		o := object.(metav1.Object)
		controller.PreferenceChanged(o.GetNamespace(), o.GetName())
	}
	if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: told, DeleteFunc: told, UpdateFunc: func(_, object any) { told(object) },
	}); err != nil {
		w.Fatal(err)
	}
	everywhere.Start(ctx.Done())
	synctest.Wait()
	w.running.Go(func() { // ends with ctx
		if err := controller.Run(ctx); err != nil {
			w.Errorf("the scheduler ended: %v", err)
		}
		everywhere.Shutdown()
	})
	w.running.Go(func() { // as the manager tells it; ends with ctx
		for ctx.Err() == nil {
			for _, m := range w.List() {
				controller.MemberChanged(m.Name, &m)
			}
			if object := w.host.Object(federatedDeployments, "shop", "web"); object != nil {
				controller.ObjectChanged("deployments.apps", "shop", "web", false)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	w.pass(5 * time.Second)
}

// placed is the placement of web.
func (w *world) placed() string {
	w.Helper()
	names := []string{}
	for _, t := range w.read(federatedDeployments, "web").Spec.Placement.Topologies {
		names = append(names, t.Name)
	}
	return strings.Join(names, " ")
}

// deployment writes the federated Deployment web.
func (w *world) deployment(spec map[string]any) {
	w.Helper()
	whole := map[string]any{
		"topologyType": "cluster",
		"template": map[string]any{"spec": map[string]any{
			"replicas": int64(1), "selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
		}},
	}
	maps.Copy(whole, spec)
	w.writeAs(federatedDeployments, map[string]any{
		"apiVersion": "types.kubefed.io/v1beta2", "kind": "FederatedDeployment",
		"metadata": map[string]any{"name": "web", "namespace": "shop"}, "spec": whole,
	})
}

// prefer writes the preference for it.
func (w *world) prefer(spec map[string]any) {
	w.Helper()
	whole := map[string]any{"targetKind": "FederatedDeployment", "totalReplicas": int64(10)}
	maps.Copy(whole, spec)
	w.writeAs(preferences, map[string]any{
		"apiVersion": "scheduling.kubefed.io/v1alpha1", "kind": "ReplicaSchedulingPreference",
		"metadata": map[string]any{"name": "web", "namespace": "shop"}, "spec": whole,
	})
}

// has is how many replicas each member has been given, and those that have the Deployment.
func (w *world) has() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(w.members)) {
		if object := w.members[name].Object(simulation.Deployments, "shop", "web"); object != nil {
			count, _, _ := unstructured.NestedFieldNoCopy(object, "spec", "replicas")
			parts = append(parts, fmt.Sprintf("%s=%v", name, count))
		}
	}
	return strings.Join(parts, " ")
}

func (w *world) expect(when, want string) {
	w.Helper()
	if got := w.has(); got != want {
		object, _ := json.Marshal(w.host.Object(federatedDeployments, "shop", "web"))
		preference, _ := json.Marshal(w.host.Object(preferences, "shop", "web"))
		w.Errorf("%s: got %s, want %s\n%s\n%s", when, got, want, object, preference)
	}
}

// runs says that a member runs so many replicas.
func (w *world) runs(name string, ready int64) {
	w.Helper()
	if _, err := w.members[name].Change(simulation.Deployments, "shop", "web", func(o map[string]any) {
		o["status"] = map[string]any{"readyReplicas": ready}
	}); err != nil {
		w.Fatal(err)
	}
}

// said is the reason of the condition of the preference.
func (w *world) said() string {
	w.Helper()
	p := &v1alpha1.ReplicaSchedulingPreference{}
	data, err := json.Marshal(w.host.Object(preferences, "shop", "web"))
	if err == nil {
		err = json.Unmarshal(data, p)
	}
	if err != nil {
		w.Fatal(err)
	}
	if len(p.Status.Conditions) == 0 {
		return ""
	}
	return p.Status.Conditions[0].Reason
}

// TestReplicasAreDividedAmongMembers has kubefed#1087, a changed preference, and kubefed#1066, deletion while
// nobody works.
func TestReplicasAreDividedAmongMembers(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		w.deployment(map[string]any{"placement": map[string]any{"topologies": []any{map[string]any{"name": "m1"}}}})
		w.pass(time.Second)
		w.divide()
		w.expect("without a preference", "m1=1")
		w.prefer(map[string]any{"clusters": map[string]any{"m1": map[string]any{"weight": int64(1)}, "m2": map[string]any{"weight": int64(4)}}})
		w.pass(5 * time.Second)
		w.expect("by weight", "m1=2 m2=8")
		if got := w.said(); got != v1alpha1.ReasonPlaced {
			w.Errorf("got reason %q, want %q", got, v1alpha1.ReasonPlaced)
		}
		w.prefer(map[string]any{"totalReplicas": int64(12)})
		w.pass(5 * time.Second)
		w.expect("another preference", "m1=4 m2=4 m3=4")
		version := w.read(federatedDeployments, "web").Generation
		w.stop()
		w.start()
		w.divide()
		w.pass(time.Hour)
		if got := w.read(federatedDeployments, "web").Generation; got != version {
			w.Errorf("a restart has written generation %d of %d", got, version)
		}
		w.stop()
		if err := w.client.Resource(preferences).Namespace("shop").Delete(w.Context(), "web", metav1.DeleteOptions{}); err != nil {
			w.Fatal(err)
		}
		w.start()
		w.divide()
		w.pass(5 * time.Second)
		w.expect("after its deletion", "m1=1 m2=1 m3=1")
		if object := w.read(federatedDeployments, "web"); len(object.Spec.Overrides) > 0 || len(object.Annotations) > 0 {
			w.Errorf("got overrides %v and annotations %v, want none", object.Spec.Overrides, object.Annotations)
		}
	})
}

// TestReplicasMoveFromAMemberThatIsAwayForLong: not for a moment, not during a restart, and back when it is.
func TestReplicasMoveFromAMemberThatIsAwayForLong(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		w.deployment(nil)
		w.pass(time.Second)
		w.divide()
		w.prefer(map[string]any{"rebalance": true})
		w.pass(5 * time.Second)
		w.expect("at first", "m1=5 m2=5")
		away := func() { w.health("m2", membership.Offline, "the member does not answer") }
		away()
		w.pass(30 * time.Second)
		w.expect("for a moment", "m1=5 m2=5")
		w.health("m2", membership.Ready, "")
		w.pass(5 * time.Second)
		away()
		w.pass(55 * time.Second)
		w.expect("for a moment again", "m1=5 m2=5")
		w.pass(10 * time.Second)
		w.expect("for long", "m1=10 m2=5")
		w.stop()
		w.start()
		away()
		w.divide()
		w.pass(30 * time.Second)
		w.expect("after a restart", "m1=10 m2=5")
		w.health("m2", membership.Ready, "")
		w.pass(15 * time.Second)
		w.expect("back for a moment", "m1=10 m2=5")
		w.pass(10 * time.Second)
		w.expect("back", "m1=5 m2=5")
	})
}

// TestAClusterThatIsGoneKeepsItsReplicas: a restore has not brought it back yet. What it runs is not deleted.
func TestAClusterThatIsGoneKeepsItsReplicas(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.goesTo("m1", "m2")
		w.start()
		defer func() { w.stop() }()
		w.deployment(nil)
		w.pass(time.Second)
		w.divide()
		w.prefer(nil)
		w.pass(5 * time.Second)
		w.expect("at first", "m1=5 m2=5")
		w.host.Remove(clusters, v1beta1.DefaultNamespace, "m2")
		w.pass(50 * time.Second)
		w.expect("it went a moment ago", "m1=5 m2=5")
		w.pass(20 * time.Second)
		w.expect("without the cluster", "m1=10 m2=5")
		if got := w.placed(); got != "m1 m2" {
			w.Errorf("got placement %q, want m1 m2", got)
		}
		w.stop()
		w.start()
		w.divide()
		w.pass(time.Minute)
		w.expect("after a restart", "m1=10 m2=5")
		w.join("m2")
		w.prefer(map[string]any{"rebalance": true})
		w.pass(time.Minute)
		w.expect("it is back", "m1=5 m2=5")
	})
}

// TestReplicasGoWhereTheNamespaceGoes: what is placed elsewhere would run nowhere.
func TestReplicasGoWhereTheNamespaceGoes(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.goesTo("m1", "m2")
		w.start()
		defer func() { w.stop() }()
		w.deployment(nil)
		w.pass(time.Second)
		w.divide()
		w.prefer(nil)
		w.pass(5 * time.Second)
		w.expect("in two of three", "m1=5 m2=5")
		w.goesTo("m1", "m3")
		w.pass(5 * time.Second)
		w.expect("in two others", "m1=5 m3=5")
		if got := w.placed(); got != "m1 m3" {
			w.Errorf("got placement %q, want m1 m3", got)
		}
	})
}

// TestAMaskedTargetCountsWithWhatItRuns: the sum is what it should be all the time.
func TestAMaskedTargetCountsWithWhatItRuns(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		mask := map[string]any{"topologies": []any{map[string]any{"name": "m2"}, map[string]any{"name": "m3"}}}
		w.deployment(map[string]any{"placement": map[string]any{"topologies": []any{map[string]any{"name": "m1"}}}})
		w.pass(time.Second)
		w.deployment(map[string]any{"placement": map[string]any{"topologies": []any{map[string]any{"name": "m1"}}}, "placementMask": mask})
		w.pass(time.Second)
		w.divide()
		w.prefer(nil)
		w.pass(5 * time.Second)
		w.expect("m1 may not change", "m1=1 m2=5 m3=4")
		current := w.read(federatedDeployments, "web")
		if _, err := w.client.Resource(federatedDeployments).Namespace("shop").Patch(w.Context(), "web", "application/merge-patch+json",
			[]byte(`{"spec":{"placementMask":null}}`), metav1.PatchOptions{}); err != nil {
			w.Fatal(err)
		}
		w.pass(5 * time.Second)
		w.expect("it may", "m1=4 m2=3 m3=3")
		if got := w.read(federatedDeployments, "web").Spec.Template; string(got) != string(current.Spec.Template) {
			w.Errorf("got template %s, want %s", got, current.Spec.Template)
		}
	})
}

// TestWhatRunsStaysWithoutRebalance reads what is ready in members.
func TestWhatRunsStaysWithoutRebalance(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		w.deployment(map[string]any{"placement": map[string]any{"topologies": []any{map[string]any{"name": "m1"}}},
			"overrides": []any{map[string]any{"topologyName": "m1", "topologyOverrides": []any{map[string]any{"path": "/spec/replicas", "value": int64(8)}}}}})
		w.pass(time.Second)
		w.runs("m1", 8)
		w.divide()
		w.prefer(nil)
		w.pass(5 * time.Second)
		w.expect("without rebalance", "m1=8 m2=2")
		w.prefer(map[string]any{"rebalance": true})
		w.pass(5 * time.Second)
		w.expect("with it", "m1=5 m2=5")
		if err := w.client.Resource(preferences).Namespace("shop").Delete(w.Context(), "web", metav1.DeleteOptions{}); err != nil {
			w.Fatal(err)
		}
		w.pass(5 * time.Second)
		w.expect("a user's own override is back", "m1=8 m2=1")
		if got := w.read(federatedDeployments, "web").Spec.Overrides; len(got) != 1 || got[0].TopologyOverrides[0].Op != "" {
			w.Errorf("got overrides %v", []v1beta2.Override(got))
		}
	})
}

// TestPodsWithoutANodeAreReplacedElsewhere: they stay pending, so that it shows when there is room again.
func TestPodsWithoutANodeAreReplacedElsewhere(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		defer func() { w.stop() }()
		w.deployment(nil)
		w.pass(time.Second)
		w.divide()
		w.prefer(map[string]any{"rebalance": true})
		w.pass(5 * time.Second)
		w.expect("at first", "m1=5 m2=5")
		w.runs("m1", 2)
		w.runs("m2", 5)
		for i := range 3 {
			w.pending("m1", fmt.Sprintf("web-%d", i))
		}
		w.pass(50 * time.Second)
		w.expect("before a minute", "m1=5 m2=5")
		w.pass(time.Minute)
		w.expect("after a minute", "m1=5 m2=8")
		w.runs("m2", 8)
		w.pass(time.Hour)
		w.expect("later", "m1=5 m2=8")
		w.stop()
		w.start()
		w.divide()
		w.pass(time.Hour)
		w.expect("after a restart", "m1=5 m2=8")
		w.runs("m1", 5)
		w.pass(time.Minute)
		w.expect("there is room again", "m1=5 m2=5")
	})
}

// pending makes a pod of web for which no node is found, from now on.
func (w *world) pending(member, name string) {
	w.Helper()
	if err := w.members[member].Put(pods, map[string]any{
		"metadata": map[string]any{"name": name, "namespace": "shop", "labels": map[string]any{"app": "web"}},
		"status": map[string]any{"phase": "Pending", "conditions": []any{map[string]any{
			"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
		}}},
	}); err != nil {
		w.Fatal(err)
	}
}

// A mask keeps an object in the place that its cell has left: what runs there is what the cell has of the replicas.
func TestReplicasThatAMaskKeepsWhereACellWasAreCounted(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		cell := func(name, member string) {
			w.put(cellResource, map[string]any{"metadata": map[string]any{"name": name, "namespace": "shop"}, "spec": map[string]any{"clusterName": member}})
		}
		in := func(member, cell string) int64 {
			replicas, _, _ := unstructured.NestedInt64(w.members[member].Object(simulation.Deployments, "shop-"+cell, "web"), "spec", "replicas")
			return replicas
		}
		cell("c1", "m1")
		cell("c2", "m2")
		w.start()
		defer func() { w.stop() }()
		w.deployment(map[string]any{"topologyType": v1beta2.TopologyCell})
		w.pass(time.Second)
		w.divide()
		w.prefer(nil)
		w.pass(time.Minute)
		if in("m1", "c1") != 5 || in("m2", "c2") != 5 {
			t.Fatalf("c1 has %d, c2 has %d", in("m1", "c1"), in("m2", "c2"))
		}
		if _, err := w.host.Change(federatedDeployments, "shop", "web", func(object map[string]any) {
			object["spec"].(map[string]any)["placementMask"] = map[string]any{"topologies": []any{map[string]any{"name": "c2"}}}
		}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		cell("c1", "m3")
		w.engine.NamespaceChanged("shop")
		w.pass(time.Minute)
		w.prefer(map[string]any{"totalReplicas": int64(12)})
		w.pass(5 * time.Minute)
		if in("m1", "c1") != 5 || in("m2", "c2") != 7 || in("m3", "c1") != 0 {
			t.Errorf("c1 has %d where it was and %d where it is, c2 has %d", in("m1", "c1"), in("m3", "c1"), in("m2", "c2"))
		}
	})
}
