package propagation

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// recordedIn is an object that was written to a member, as its status says.
func recordedIn(uid types.UID, member string) *v1beta2.FederatedObject {
	return &v1beta2.FederatedObject{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: uid},
		Status:     &v1beta2.FederatedObjectStatus{Targets: []v1beta2.TargetStatus{{Name: "rz00a", Cluster: member, Namespace: "shop", Hash: "h"}}},
	}
}

func TestWhereAnObjectIsRecordedIsKnownBeforeItIsDecidedOn(t *testing.T) {
	e := &Engine{memories: map[objectKey]*memory{}, holders: map[string]map[objectKey]bool{}}
	key := objectKey{"deployments.apps", "shop", "web"}
	m := e.remember(key, recordedIn("u1", "m1"))
	if !e.Written("m1", "shop") || e.Written("m1", "other") || e.Written("m2", "shop") {
		t.Error("the record is not where it is")
	}
	e.list(key, m, map[string]bool{"m1": true, "m2": true})
	if got := e.heldIn("m2"); !slices.Equal(got, []objectKey{key}) {
		t.Errorf("a change of m2 concerns %v, want %v", got, key)
	}
	e.remember(key, recordedIn("u2", "m3")) // the name is another object's by now
	if e.Written("m1", "shop") || len(e.heldIn("m2")) > 0 || !e.Written("m3", "shop") {
		t.Errorf("the object before is still listed: %v", e.holders)
	}
	e.forget(key)
	if len(e.holders) > 0 {
		t.Errorf("an object that is gone is still listed: %v", e.holders)
	}
}

func TestWhatSomebodyElseHasGuardedMayBeInMembers(t *testing.T) {
	for name, test := range map[string]struct {
		finalizers []string
		hash       string
		state      v1beta2.TargetState
		want       bool
	}{
		"an object of KubeFed":                 {[]string{"kubefed.io/sync-controller"}, "", "", true},
		"one that we have a record of":         {[]string{"kubefed.io/sync-controller"}, "h", "", false},
		"one that we have given up":            {[]string{"kubefed.io/sync-controller"}, "", v1beta2.TargetAbandoned, false},
		"one that nobody has written anywhere": {nil, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Engine{memories: map[objectKey]*memory{}, holders: map[string]map[objectKey]bool{}}
			object := recordedIn("u1", "m1")
			object.Finalizers, object.Status.Targets[0].Hash, object.Status.Targets[0].State = test.finalizers, test.hash, test.state
			if got := e.remember(objectKey{name: "web"}, object).inherited; got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestAStatusIsNotWithheldForever: there may be something to be done each time an object is looked at.
func TestAStatusIsNotWithheldForever(t *testing.T) {
	m, now := &memory{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	written := 0
	for range 100 { // ten seconds
		if !m.mayWithhold(now) {
			written++
		}
		now = now.Add(100 * time.Millisecond)
	}
	if written < 8 || written > 10 {
		t.Errorf("the status was written %d times in ten seconds", written)
	}
	m.nothingBegun()
	if !m.mayWithhold(now) {
		t.Error("what is begun after a rest is not waited for")
	}
}

// What a target that has left has of the object is told, once the status has it no more.
func TestWhatStaysInATargetThatHasLeftIsRemembered(t *testing.T) {
	e := &Engine{memories: map[objectKey]*memory{}, holders: map[string]map[objectKey]bool{}}
	key := objectKey{"deployments.apps", "shop", "web"}
	for sentence, test := range map[string]struct {
		d    decision
		want bool
	}{
		"its member was unjoined":  {*leftBehind(observation{}), true},
		"the object was not there": {*neverWritten(observation{}), false},
		"it was given up":          {decision{forget: true, stays: true, left: "given up"}, true},
		"it is a target after all": {decision{status: v1beta2.TargetStatus{Name: "rz00a", Hash: "h"}}, false},
	} {
		m := e.remember(key, recordedIn("u1", "m1"))
		m.settle("rz00a", "", test.d)
		nowhere := test.d
		nowhere.left = ""
		m.settle("rz01a", "", nowhere) // nothing was ever written there
		v := &view{memory: m, federated: recordedIn("u1", "m1")}
		if v.orphans("rz00a") != test.want || v.orphans("rz01a") {
			t.Errorf("%s: got %v and %v", sentence, v.orphans("rz00a"), v.orphans("rz01a"))
		}
		e.forget(key)
	}
}

func TestWhatWasReleasedStaysAndWhatWasDeletedDoesNot(t *testing.T) {
	e := &Engine{memories: map[objectKey]*memory{}, holders: map[string]map[objectKey]bool{}}
	object := recordedIn("u1", "m1")
	m := e.remember(objectKey{name: "web"}, object)
	v := &view{memory: m, federated: object}
	m.end(viewTarget{Candidate: placement.Candidate{Name: "rz00a", Member: "m1"}}, "shop", result{gone: true, stays: true})
	if !v.orphans("rz00a") {
		t.Error("what was released is told to be gone")
	}
	m.end(viewTarget{Candidate: placement.Candidate{Name: "rz00a", Member: "m1"}}, "shop", result{gone: true})
	if v.orphans("rz00a") {
		t.Error("what was deleted is told to stay")
	}
}
