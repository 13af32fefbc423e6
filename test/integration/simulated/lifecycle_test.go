package simulated_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/propagation"
	"github.com/koinon-io/koinon/test/simulation"
)

// settled is how long nothing is left to do but what takes its time: lists that are tried again, orphans
// that are given a moment.
const settled = time.Minute

// annotate sets annotations of a federated ConfigMap, as a user does.
func (w *world) annotate(name string, annotations map[string]string) {
	w.Helper()
	w.changeMetadata(simulation.FederatedConfigMaps, w.host, name, func(metadata map[string]any) {
		set := map[string]any{}
		for key, value := range annotations {
			set[key] = value
		}
		metadata["annotations"] = set
	})
}

func (w *world) changeMetadata(gvr schema.GroupVersionResource, in *simulation.Member, name string, change func(map[string]any)) {
	w.Helper()
	found, err := in.Change(gvr, "shop", name, func(object map[string]any) { change(object["metadata"].(map[string]any)) })
	if err != nil || !found {
		w.Fatalf("change %s: found %v, error %v", name, found, err)
	}
}

// had makes a ConfigMap in a member that nobody manages.
func (w *world) had(member, name string, metadata map[string]any) {
	w.Helper()
	m := w.members[member]
	if m.Object(simulation.Namespaces, "", "shop") == nil {
		if err := m.Put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": "shop"}}); err != nil {
			w.Fatal(err)
		}
	}
	all := map[string]any{"name": name, "namespace": "shop"}
	maps.Copy(all, metadata)
	if err := m.Put(simulation.ConfigMaps, map[string]any{"metadata": all, "data": map[string]any{"key": "theirs"}}); err != nil {
		w.Fatal(err)
	}
}

// trace is what an object in a member says of us: its value, and which of our marks it has.
func (w *world) trace(member, name string) string {
	w.Helper()
	object := w.members[member].Object(simulation.ConfigMaps, "shop", name)
	if object == nil {
		return "none"
	}
	said := valueOf(object)
	metadata := object["metadata"].(map[string]any)
	if labels, _ := metadata["labels"].(map[string]any); labels[v1beta1.ManagedLabel] != nil {
		said += " managed"
	}
	annotations, _ := metadata["annotations"].(map[string]any)
	for _, mark := range manifest.Marks() {
		if annotations[mark] == nil {
			continue
		}
		switch mark {
		case v1beta1.AdoptedAnnotation:
			said += " adopted"
		default:
			said += " marked"
		}
	}
	return strings.ReplaceAll(said, "marked marked marked", "marked")
}

func (w *world) traces(name string, want ...string) {
	w.Helper()
	got := []string{}
	for _, member := range slices.Sorted(maps.Keys(w.members)) {
		got = append(got, w.trace(member, name))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("%s in members (-want +got):\n%s", name, diff)
	}
}

func (w *world) targetStates(name string, want map[string]v1beta2.TargetState) {
	w.Helper()
	got, _ := w.states(name)
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("states of %s (-want +got):\n%s", name, diff)
	}
}

// setPropagation changes a FederatedTypeConfig, which the engine is told of.
func (w *world) setPropagation(mode v1beta1.Mode) {
	w.Helper()
	if _, err := w.host.Change(v1beta1.SchemeGroupVersion.WithResource("federatedtypeconfigs"), v1beta1.DefaultNamespace, "configmaps", func(config map[string]any) {
		config["spec"].(map[string]any)["propagation"] = string(mode)
	}); err != nil {
		w.Fatal(err)
	}
	w.pass(time.Second)
	w.engine.ConfigChanged()
	w.pass(time.Second)
}

func (w *world) controller() any {
	config := w.host.Object(v1beta1.SchemeGroupVersion.WithResource("federatedtypeconfigs"), v1beta1.DefaultNamespace, "configmaps")
	return config["status"].(map[string]any)["propagationController"]
}

func TestADisabledTypeLetsDeletionsFinish(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		defer w.stop()
		w.write(placed("goes", "1", nil, nil))
		w.write(placed("stays", "1", nil, nil))
		w.pass(settled)
		w.setPropagation(v1beta1.Disabled)
		if got := w.controller(); got != "NotRunning" {
			t.Errorf("the type says %v", got)
		}
		w.write(placed("stays", "2", nil, nil))
		w.write(placed("new", "1", nil, nil))
		w.remove("goes")
		w.pass(settled)
		if _, there := w.states("goes"); there {
			t.Error("the deletion does not finish")
		}
		w.traces("goes", "none", "none")
		w.traces("stays", "1 managed marked", "1 managed marked")
		w.traces("new", "none", "none")

		w.restart() // and one that is deleted while nobody works
		w.stop()
		w.remove("stays")
		w.start()
		w.pass(settled)
		w.traces("stays", "none", "none")

		w.setPropagation(v1beta1.Enabled)
		w.pass(settled)
		w.traces("new", "1 managed marked", "1 managed marked")
	})
}

func TestTheFeatureGateStopsAllTypesAndStartsThemAgain(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.start()
		defer w.stop()
		w.write(placed("a", "1", nil, nil))
		w.pass(settled)
		w.paused.Store(true)
		w.engine.ConfigChanged()
		w.pass(time.Second)
		w.write(placed("a", "2", nil, nil))
		w.pass(settled)
		w.traces("a", "1 managed marked")
		if got := w.controller(); got != "NotRunning" {
			t.Errorf("the type says %v", got)
		}
		w.paused.Store(false)
		w.engine.ConfigChanged()
		w.pass(settled)
		w.traces("a", "2 managed marked")
		if got := w.controller(); got != "Running" {
			t.Errorf("the type says %v", got)
		}
	})
}

func TestTheFinalizerThatAStockControllerLeftDoesNotHoldATypeForEver(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		types := v1beta1.SchemeGroupVersion.WithResource("federatedtypeconfigs")
		w.start()
		defer w.stop()
		w.pass(settled)
		if _, err := w.host.Change(types, v1beta1.DefaultNamespace, "configmaps", func(config map[string]any) {
			config["metadata"].(map[string]any)["finalizers"] = []any{v1beta1.TypeConfigFinalizer}
		}); err != nil {
			t.Fatal(err)
		}
		w.host.Remove(types, v1beta1.DefaultNamespace, "configmaps")
		w.pass(time.Second)
		w.engine.ConfigChanged()
		w.pass(time.Second)
		if config := w.host.Object(types, v1beta1.DefaultNamespace, "configmaps"); config != nil {
			t.Errorf("the type is still there: %s", asJSON(config))
		}
	})
}

func TestWhatWasAdoptedStaysIfTheObjectSaysSo(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		w.had("m1", "a", nil)
		w.had("m2", "a", map[string]any{"labels": map[string]any{v1beta1.ManagedLabel: "true"}}) // as KubeFed leaves it
		w.start()
		defer w.stop()
		w.write(placed("a", "1", nil, nil))
		w.pass(settled)
		w.traces("a", "1 managed marked adopted", "1 managed marked", "1 managed marked")
		w.write(placed("a", "2", nil, nil))
		w.pass(settled)
		w.traces("a", "2 managed marked adopted", "2 managed marked", "2 managed marked")
		w.annotate("a", map[string]string{v1beta1.OrphanPolicyAnnotation: v1beta1.OrphanAdopted})
		w.write(placed("a", "2", []string{"m2"}, nil)) // the same holds for what is no longer placed
		w.pass(settled)
		w.traces("a", "2", "2 managed marked", "none")
		w.write(placed("a", "3", nil, nil))
		w.pass(settled)
		w.traces("a", "3 managed marked adopted", "3 managed marked", "3 managed marked")
		w.remove("a")
		w.pass(settled)
		w.traces("a", "3", "none", "none")
	})
}

func TestAnObjectSaysForItselfWhetherItAdopts(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.had("m1", "a", nil)
		w.start()
		defer w.stop()
		object := placed("a", "1", nil, nil)
		object["metadata"].(map[string]any)["annotations"] = map[string]any{v1beta1.AdoptAnnotation: "false"}
		w.write(object)
		w.pass(settled)
		w.traces("a", "theirs")
		w.targetStates("a", map[string]v1beta2.TargetState{"m1": v1beta2.TargetAlreadyExists})
		w.annotate("a", map[string]string{v1beta1.AdoptAnnotation: "true"})
		w.pass(2 * time.Minute)
		w.traces("a", "1 managed marked adopted")
	})
}

func TestADeletionWaitsOnlyForMembersThatWereWrittenTo(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		defer w.stop()
		w.health("m2", membership.Offline, "it does not answer")
		w.write(placed("never", "1", nil, nil))
		w.pass(settled)
		w.remove("never")
		w.pass(settled)
		if _, there := w.states("never"); there {
			t.Error("the deletion waits for a member that was never written to")
		}
		w.health("m2", membership.Ready, "")
		w.write(placed("once", "1", nil, nil))
		w.pass(settled)
		w.health("m2", membership.Offline, "it does not answer")
		w.remove("once")
		w.pass(settled)
		w.traces("once", "none", "1 managed marked")
		w.targetStates("once", map[string]v1beta2.TargetState{"m2": v1beta2.TargetWaitingForRemoval})
		w.health("m2", membership.Ready, "")
		w.pass(settled)
		w.traces("once", "none", "none")
	})
}

func TestATargetThatIsAbandonedIsNotWaitedForAndNotDeletedLater(t *testing.T) {
	inWorld(t, 3, func(w *world) {
		listens := &listener{}
		w.record = listens.record
		w.start()
		defer w.stop()
		w.write(placed("a", "1", nil, nil))
		w.pass(settled)
		w.health("m2", membership.Offline, "it does not answer")
		w.annotate("a", map[string]string{v1beta1.AbandonAnnotation: "m2, m3"})
		w.remove("a")
		w.pass(settled)
		if _, there := w.states("a"); there {
			t.Error("the deletion waits")
		}
		w.traces("a", "none", "1 managed marked", "none") // m3 can be reached
		var told []string
		for _, event := range listens.take() {
			if event.Reason == propagation.ReasonAbandoned {
				told = append(told, event.Message)
			}
		}
		want := []string{`target "m2" was given up, as the annotation federation.koinon.io/abandon asks for: the member may still hold the object: it does not answer; what is there stays, without our label, once the member is back`}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		w.health("m2", membership.Ready, "")
		w.pass(settled)
		w.traces("a", "none", "1", "none")
	})
}

func TestATargetThatIsAbandonedAndNoLongerPlacedIsReleasedOnceItIsBack(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		defer w.stop()
		w.write(placed("a", "1", nil, nil))
		w.pass(settled)
		w.health("m2", membership.Offline, "it does not answer")
		w.annotate("a", map[string]string{v1beta1.AbandonAnnotation: "*"})
		w.write(placed("a", "1", []string{"m1"}, nil))
		w.pass(settled)
		w.targetStates("a", map[string]v1beta2.TargetState{"m1": v1beta2.TargetOK, "m2": v1beta2.TargetAbandoned})
		w.annotate("a", nil) // what was given up is not taken back
		w.restart()
		w.pass(settled)
		w.traces("a", "1 managed marked", "1")
		w.targetStates("a", map[string]v1beta2.TargetState{"m1": v1beta2.TargetOK})
	})
}

func TestATargetThatIsAbandonedIsNotDeletedIfItsMemberIsUnjoinedMeanwhile(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		w.write(placed("a", "1", nil, nil))
		w.pass(settled)
		w.health("m2", membership.Offline, "it does not answer")
		w.annotate("a", map[string]string{v1beta1.AbandonAnnotation: "m2"})
		w.write(placed("a", "1", []string{"m1"}, nil))
		w.pass(settled)
		w.annotate("a", nil)
		away := w.members["m2"]
		delete(w.members, "m2")
		w.host.Remove(clusters, v1beta1.DefaultNamespace, "m2")
		w.restart()
		w.pass(settled)
		w.targetStates("a", map[string]v1beta2.TargetState{"m1": v1beta2.TargetOK, "m2": v1beta2.TargetAbandoned})
		w.stop()
		w.members["m2"] = away
		w.join("m2")
		w.start()
		defer w.stop()
		w.pass(2 * settled)
		w.traces("a", "1 managed marked", "1")
		w.targetStates("a", map[string]v1beta2.TargetState{"m1": v1beta2.TargetOK})
	})
}

func TestATargetThatIsAbandonedAndPlacedAgainIsNotForgottenWhileItsMemberIsAway(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		defer w.stop()
		w.write(placed("unplaced", "1", nil, nil))
		w.write(placed("deleted", "1", nil, nil))
		w.pass(settled)
		w.health("m2", membership.Offline, "it does not answer")
		for _, name := range []string{"unplaced", "deleted"} {
			w.annotate(name, map[string]string{v1beta1.AbandonAnnotation: "m2"})
			w.write(placed(name, "1", []string{"m1"}, nil))
			w.pass(settled)
			w.annotate(name, nil)
			w.write(placed(name, "2", nil, nil)) // again
			w.pass(settled)
			w.targetStates(name, map[string]v1beta2.TargetState{"m1": v1beta2.TargetOK, "m2": v1beta2.TargetAbandoned})
		}
		w.write(placed("unplaced", "2", []string{"m1"}, nil))
		w.remove("deleted")
		w.pass(settled)
		if _, there := w.states("deleted"); !there {
			t.Error("the deletion does not wait for a member that is not given up any more")
		}
		w.health("m2", membership.Ready, "")
		w.pass(2 * settled)
		w.traces("unplaced", "2 managed marked", "1")
		w.traces("deleted", "none", "1")
		if _, there := w.states("deleted"); there {
			t.Error("the deletion waits for a member that is back")
		}
	})
}

func TestWhatLeftTheFederationLosesOurLabelWhenItsMemberIsBack(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		w.write(placed("orphan", "1", nil, nil))
		w.write(placed("lives", "1", nil, nil))
		w.pass(settled)
		away := w.members["m2"]
		delete(w.members, "m2") // it is unjoined
		w.host.Remove(clusters, v1beta1.DefaultNamespace, "m2")
		w.restart()
		w.pass(settled)
		w.remove("orphan")
		w.pass(settled)
		if _, there := w.states("orphan"); there {
			t.Error("the deletion waits for a member that was unjoined")
		}
		w.stop()
		w.members["m2"] = away
		theirs := func(federation any) map[string]any {
			annotations := map[string]any{manifest.SourceAnnotation: "shop/nobody"}
			if federation != nil {
				annotations[federationv1alpha1.FederationAnnotation] = federation
			}
			return map[string]any{"labels": map[string]any{v1beta1.ManagedLabel: "true"}, "annotations": annotations}
		}
		w.had("m2", "of-another-federation", theirs("there"))
		w.had("m2", "of-no-federation", theirs(nil))
		w.had("m2", "of-kubefed", map[string]any{"labels": map[string]any{v1beta1.ManagedLabel: "true"}})
		w.join("m2")
		w.start()
		defer w.stop()
		w.pass(2 * settled)
		w.traces("orphan", "none", "1")
		w.traces("lives", "1 managed marked", "1 managed marked")
		w.traces("of-another-federation", "none", "theirs managed marked marked")
		w.traces("of-no-federation", "none", "theirs managed marked")
		w.traces("of-kubefed", "none", "theirs managed")
	})
}

// orphan leaves an object in m2, whose federated object is deleted while m2 is unjoined. The engine is stopped then, and
// m2 can be joined.
func (w *world) orphan(name string) {
	w.Helper()
	w.start()
	w.write(placed(name, "1", nil, nil))
	w.pass(settled)
	away := w.members["m2"]
	delete(w.members, "m2")
	w.host.Remove(clusters, v1beta1.DefaultNamespace, "m2")
	w.restart()
	w.pass(settled)
	w.remove(name)
	w.pass(settled)
	w.stop()
	w.members["m2"] = away
	w.traces(name, "none", "1 managed marked")
}

// TestWhatIsOlderThanItsTypeKeepsOurLabel: a type that is made anew may name another federated kind, which has no
// objects.
func TestWhatIsOlderThanItsTypeKeepsOurLabel(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.orphan("a")
		types := v1beta1.SchemeGroupVersion.WithResource("federatedtypeconfigs")
		config := w.host.Object(types, v1beta1.DefaultNamespace, "configmaps")
		w.host.Remove(types, v1beta1.DefaultNamespace, "configmaps")
		if err := w.host.Put(types, config); err != nil {
			t.Fatal(err)
		}
		w.join("m2")
		w.start()
		defer w.stop()
		w.pass(settled)
		before := w.members["m2"].Counts().Requests["get"]
		w.pass(time.Hour)
		w.traces("a", "none", "1 managed marked")
		if asked := w.members["m2"].Counts().Requests["get"] - before; asked > 0 {
			t.Errorf("the member was asked %d more times for what is older", asked)
		}
	})
}

// TestAnOrphanInANamespaceOfSomebodyElseIsAskedForEveryTenMinutes: it would take the turns of others.
func TestAnOrphanInANamespaceOfSomebodyElseIsAskedForEveryTenMinutes(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.orphan("a")
		m2 := w.members["m2"]
		if _, err := m2.Change(simulation.Namespaces, "", "shop", func(namespace map[string]any) {
			namespace["metadata"].(map[string]any)["annotations"] = map[string]any{federationv1alpha1.FederationAnnotation: "another"}
		}); err != nil {
			t.Fatal(err)
		}
		w.join("m2")
		w.start()
		defer w.stop()
		w.pass(settled)
		before := m2.Counts().Requests["get"]
		w.pass(time.Hour)
		w.traces("a", "none", "1 managed marked")
		if asked := m2.Counts().Requests["get"] - before; asked < 4 || asked > 8 {
			t.Errorf("the member was asked %d times in an hour", asked)
		}
	})
}

func TestOrphansAreNotReleasedWhileItIsNotKnownThatTheyAreSome(t *testing.T) {
	inWorld(t, 1, func(w *world) {
		w.start()
		defer w.stop()
		w.write(placed("a", "1", nil, nil))
		w.pass(settled)
		w.host.SetServed(simulation.FederatedConfigMaps, false)
		w.restart()
		w.pass(time.Hour)
		w.traces("a", "1 managed marked")
	})
}
