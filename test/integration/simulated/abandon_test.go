package simulated_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/propagation"
	"github.com/koinon-io/koinon/test/simulation"
)

// becomesTheirs has a namespace of a member be another federation's. It was there before us, and does not carry
// our label: no cache shows it, and only an executor finds out.
func (w *world) becomesTheirs(member, namespace string) {
	w.Helper()
	w.marks(member, namespace, map[string]any{federationv1alpha1.FederationAnnotation: "another"})
	w.restart() // whose a namespace is is remembered for a moment
	w.pass(settled)
}

// marks are those of a namespace of a member; nil: nobody's.
func (w *world) marks(member, namespace string, annotations map[string]any) {
	w.Helper()
	found, err := w.members[member].Change(simulation.Namespaces, "", namespace, func(object map[string]any) {
		metadata := object["metadata"].(map[string]any)
		metadata["annotations"] = annotations
		delete(metadata, "labels")
	})
	if err != nil || !found {
		w.Fatalf("change namespace %s: found %v, error %v", namespace, found, err)
	}
}

// restsIn wants a member to be asked for little in ten minutes.
func (w *world) restsIn(member string) {
	w.Helper()
	before := w.members[member].Counts().Requests["get"]
	w.pass(10 * time.Minute)
	if asked := w.members[member].Counts().Requests["get"] - before; asked > 20 {
		w.Errorf("%s was asked %d times in ten minutes", member, asked)
	}
}

// givenUp are the events on what was given up.
func (l *listener) givenUp() (told []string) {
	for _, event := range l.take() {
		if event.Reason == propagation.ReasonAbandoned {
			told = append(told, event.Message)
		}
	}
	return told
}

// cellIn has cell c1 be in a member.
func (w *world) cellIn(member string) {
	w.Helper()
	w.putCell(member)
	w.pass(time.Second)
	w.engine.NamespaceChanged("shop")
	w.pass(settled)
}

func TestACellLeavesWhatIsGivenUpInANamespaceThatIsSomebodyElsesByNow(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		listens := &listener{}
		w.record = listens.record
		w.start()
		defer func() { w.stop() }()
		if err := w.members["m1"].Put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": "shop-c1"}}); err != nil {
			t.Fatal(err)
		}
		w.cellIn("m1")
		w.write(inCell("a", "1"))
		w.pass(settled)
		w.becomesTheirs("m1", "shop-c1")
		w.cellIn("m2")
		w.targetStates("a", map[string]v1beta2.TargetState{"c1": v1beta2.TargetWaitingForRemoval})
		w.annotate("a", map[string]string{v1beta1.AbandonAnnotation: "c1"})
		w.pass(settled)
		w.targetStates("a", map[string]v1beta2.TargetState{"c1": v1beta2.TargetOK})
		if targets := w.federated("a").Status.Targets; len(targets) != 1 || len(targets[0].Former) != 1 || targets[0].Former[0].State != v1beta2.TargetAbandoned {
			t.Errorf("the status says %+v", targets)
		}
		w.restsIn("m1")
		if told := listens.givenUp(); len(told) != 1 || !strings.Contains(told[0], "belongs to another federation") {
			t.Errorf("told %q", told)
		}
		w.marks("m1", "shop-c1", nil)
		w.pass(time.Hour)
		if left := w.members["m1"].Object(simulation.ConfigMaps, "shop-c1", "a"); left == nil || strings.Contains(fmt.Sprint(left), v1beta1.ManagedLabel) {
			t.Errorf("what was given up is %v", left)
		}
		if targets := w.federated("a").Status.Targets; len(targets) != 1 || len(targets[0].Former) > 0 {
			t.Errorf("the status says %+v", targets)
		}
	})
}

// What stays is shown by the cache of its member still, and is nothing that a deletion waits for.
func TestADeletionEndsWithoutWhatStaysInANamespaceThatIsSomebodyElsesByNow(t *testing.T) {
	for name, annotations := range map[string]map[string]string{
		"given up": {v1beta1.AbandonAnnotation: "m1"},
		"left":     {v1beta1.OrphanAnnotation: "true"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 2, func(w *world) {
				listens := &listener{}
				w.record = listens.record
				w.start()
				defer func() { w.stop() }()
				w.write(placed("a", "1", nil, nil))
				w.pass(settled)
				w.becomesTheirs("m1", "shop")
				w.annotate("a", annotations)
				w.health("m2", membership.Offline, "it does not answer") // the deletion waits for it
				w.remove("a")
				w.pass(settled)
				w.restsIn("m1")
				w.health("m2", membership.Ready, "")
				w.pass(settled)
				if states, there := w.states("a"); there {
					t.Errorf("the deletion waits: %v", states)
				}
				if got := w.trace("m1", "a"); got != "1 managed marked" {
					t.Errorf("what stays is %s", got)
				}
				if told := listens.givenUp(); (name == "given up") != (len(told) == 1) {
					t.Errorf("told %q", told)
				}
			})
		})
	}
}

func TestWhatADeletionHasGivenUpIsNotDeletedWhileItWaitsForOthers(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.start()
		defer w.stop()
		w.write(placed("a", "1", nil, nil))
		w.pass(settled)
		for _, member := range []string{"m1", "m2"} {
			w.health(member, membership.Offline, "it does not answer")
		}
		w.annotate("a", map[string]string{v1beta1.AbandonAnnotation: "m1"})
		w.remove("a")
		w.pass(settled)
		w.health("m1", membership.Ready, "")
		w.pass(settled)
		if _, there := w.states("a"); !there {
			t.Error("the deletion does not wait for m2")
		}
		w.traces("a", "1 managed marked", "1 managed marked")
		w.health("m2", membership.Ready, "")
		w.pass(15 * time.Minute) // orphans are looked for every ten
		w.traces("a", "1", "none")
	})
}

// A target that is left with what was adopted there is left once, whosever the namespace is.
func TestWhatWasAdoptedIsLeftInANamespaceThatIsSomebodyElsesByNow(t *testing.T) {
	inWorld(t, 2, func(w *world) {
		w.had("m1", "a", nil)
		w.start()
		defer func() { w.stop() }()
		w.write(placed("a", "1", nil, nil))
		w.pass(settled)
		w.becomesTheirs("m1", "shop")
		w.annotate("a", map[string]string{v1beta1.OrphanPolicyAnnotation: "Adopted"})
		w.write(placed("a", "1", []string{"m2"}, nil))
		w.pass(settled)
		w.restsIn("m1")
		w.targetStates("a", map[string]v1beta2.TargetState{"m1": v1beta2.TargetAbandoned, "m2": v1beta2.TargetOK})
		w.marks("m1", "shop", nil)
		w.pass(15 * time.Minute)
		w.traces("a", "1", "1 managed marked")
		w.targetStates("a", map[string]v1beta2.TargetState{"m2": v1beta2.TargetOK})
	})
}
