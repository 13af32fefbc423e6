package propagation

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/render"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

// running is an observation of a target where all is well: generation 7 of shop/web, in
// m1, as it was recorded.
func running() observation {
	return observation{
		intent: run, source: "shop/web", federation: "f1", unmarkedIsOurs: true, generation: 7, reruns: true,
		record: v1beta2.TargetStatus{
			Name: "m1", Cluster: "m1", Namespace: "shop", Hash: "h7", Version: "gen:3", Generation: 7,
		},
		member:   &membership.Member{Name: "m1", Health: membership.Ready},
		cache:    memberclient.Synced,
		live:     ourObject(),
		manifest: &render.Manifest{Hash: "h7", Labels: map[string]string{v1beta1.ManagedLabel: "true"}},
	}
}

func ourObject() *memberclient.Live {
	return &memberclient.Live{ObjectMeta: metav1.ObjectMeta{
		Name: "web", Namespace: "shop", UID: "u1", Generation: 3,
		Labels:      map[string]string{v1beta1.ManagedLabel: "true"},
		Annotations: map[string]string{render.SourceAnnotation: "shop/web", federationv1alpha1.FederationAnnotation: "f1"},
	}}
}

// unwritten takes away what a first write leaves.
func unwritten(o *observation) {
	o.record.Hash, o.record.Version, o.record.Generation = "", "", 0
	o.live = nil
}

// inForeignHome is what observe makes of a target in somebody else's namespace: nothing is
// read there.
func inForeignHome(o *observation) {
	unwritten(o)
	o.homeRefusal = "theirs"
}

func inherited(o *observation) { o.inherited = true }

func ended(o *observation) { o.live, o.record.Ended = nil, true }

func fought(o *observation) {
	o.fight = standing{on: true, held: true, against: "they do", until: time.Minute}
}

// inVain: what was done again and again has changed nothing.
func inVain(o *observation) { o.fight = standing{held: true, until: time.Minute} }

func unready(health membership.Health, problem string) func(*observation) {
	return func(o *observation) { o.member = &membership.Member{Health: health, Problem: problem} }
}

// verdict is what tests look at in a decision.
type verdict struct {
	Action  action
	State   v1beta2.TargetState
	Message string
	Forget  bool
}

func TestDecideOnATargetThatRuns(t *testing.T) {
	for name, test := range map[string]struct {
		changes []func(*observation)
		want    verdict
	}{
		"nothing is sent if all is as recorded": {nil, verdict{}},
		"an object that is not there is made": {
			[]func(*observation){unwritten}, verdict{Action: applyManifest, State: v1beta2.TargetPending},
		},
		"an object that was deleted is made again": {
			[]func(*observation){func(o *observation) { o.live = nil }}, verdict{Action: applyManifest, State: v1beta2.TargetPending},
		},
		"another manifest is sent": {
			[]func(*observation){func(o *observation) { o.manifest.Hash = "h8" }}, verdict{Action: applyManifest, State: v1beta2.TargetPending},
		},
		"a spec that changed in the member is sent again": {
			[]func(*observation){func(o *observation) { o.live.Generation = 4 }}, verdict{Action: applyManifest, State: v1beta2.TargetPending},
		},
		"a kind without generation is compared by resource version": {
			[]func(*observation){func(o *observation) {
				o.live.Generation, o.live.ResourceVersion, o.record.Version = 0, "9", "rv:9"
			}}, verdict{},
		},
		"a label that is missing is sent again": {
			[]func(*observation){func(o *observation) { o.manifest.Labels["app"] = "web" }}, verdict{Action: applyManifest, State: v1beta2.TargetPending},
		},
		"labels of the member's own are no drift": {
			[]func(*observation){func(o *observation) { o.live.Labels["theirs"] = "x" }}, verdict{},
		},
		"an object of KubeFed is taken over": {
			[]func(*observation){func(o *observation) { o.live.Annotations, o.record.Hash = nil, "" }}, verdict{Action: applyManifest, State: v1beta2.TargetPending},
		},
		"an object of another federated object is not": {
			[]func(*observation){func(o *observation) { o.live.Annotations[render.SourceAnnotation] = "shop/other" }},
			verdict{State: v1beta2.TargetAlreadyExists, Message: `the object there comes from the federated object "shop/other"`},
		},
		"an object that is being deleted is waited for": {
			[]func(*observation){func(o *observation) { o.live.DeletionTimestamp = &metav1.Time{} }},
			verdict{State: v1beta2.TargetWaitingForRemoval, Message: "the object there is being deleted; it is made anew once it is gone"},
		},
		"a member that does not exist is not found": {
			[]func(*observation){func(o *observation) { o.member = nil }},
			verdict{State: v1beta2.TargetNotFound, Message: `there is no member "m1"`},
		},
		"a member that is not set up yet leaves the record as it is": {
			[]func(*observation){func(o *observation) { o.member, o.live, o.unchecked = nil, nil, true }}, verdict{},
		},
		"an object that has ended and is gone is not run again": {
			[]func(*observation){ended}, verdict{State: v1beta2.TargetEnded, Message: "the object ran to its end, and is gone; it is not run again"},
		},
		"what went while nobody watched is not said to have ended": {
			[]func(*observation){ended, func(o *observation) { o.endUnseen = true }},
			verdict{State: v1beta2.TargetEnded, Message: "the object is gone, and nobody saw whether it ran to its end; it is taken to have, and not run again"},
		},
		"nor is it later": {
			[]func(*observation){ended, func(o *observation) { o.record.State, o.record.Message = v1beta2.TargetEnded, "gone" }},
			verdict{State: v1beta2.TargetEnded, Message: "gone"},
		},
		"another manifest is another run": {
			[]func(*observation){ended, func(o *observation) { o.manifest.Hash = "h8" }}, verdict{Action: applyManifest, State: v1beta2.TargetPending},
		},
		"another manifest is none if the type says so": {
			[]func(*observation){ended, func(o *observation) { o.manifest.Hash, o.reruns = "h8", false }},
			verdict{State: v1beta2.TargetEnded, Message: "the object ran to its end, and is gone; it is not run again"},
		},
		"who writes against us is answered later, and named": {
			[]func(*observation){fought, func(o *observation) { o.live.Generation = 4 }}, verdict{State: v1beta2.TargetContested, Message: "they do"},
		},
		"what somebody removes each time is made later": {
			[]func(*observation){fought, func(o *observation) { o.live = nil }}, verdict{State: v1beta2.TargetContested, Message: "they do"},
		},
		"another manifest is sent at once in a fight, too": {
			[]func(*observation){fought, func(o *observation) { o.manifest.Hash = "h8" }}, verdict{Action: applyManifest, State: v1beta2.TargetPending},
		},
		"a fight is told of while the object is as it was sent": {
			[]func(*observation){fought}, verdict{State: v1beta2.TargetContested, Message: "they do"},
		},
		"what lists do not show is not written all the time": {
			[]func(*observation){inVain, func(o *observation) { o.live = nil }}, verdict{nothing, v1beta2.TargetContested, notShown, false}},
		"what does not stay is not sent all the time": {
			[]func(*observation){inVain, func(o *observation) { delete(o.live.Labels, v1beta1.ManagedLabel) }}, verdict{nothing, v1beta2.TargetContested, marksTaken, false}},
		"what somebody writes all the time, and leaves as it was sent, is as it was": {
			[]func(*observation){inVain, func(o *observation) { o.live.Generation = 4 }}, verdict{nothing, v1beta2.TargetOK, "", false}},
		"an object is not marked all the time": {
			[]func(*observation){inVain, func(o *observation) { delete(o.live.Annotations, federationv1alpha1.FederationAnnotation) }}, verdict{nothing, v1beta2.TargetOK, "", false}},
		"another manifest is sent at once although the last one was sent in vain": {
			[]func(*observation){inVain, func(o *observation) { o.record.Hash = "h6" }}, verdict{applyManifest, v1beta2.TargetPending, "", false}},
		"a fight that rested long enough goes on": {
			[]func(*observation){fought, func(o *observation) { o.fight.held, o.live.Generation = false, 4 }},
			verdict{Action: applyManifest, State: v1beta2.TargetPending},
		},
		"what the member dropped is told as long as the manifest is the same": {
			[]func(*observation){func(o *observation) { o.record.Message = "the member warns: x" }}, verdict{Message: "the member warns: x"},
		},
		"an object of an earlier release gets the federation's name": {
			[]func(*observation){func(o *observation) { delete(o.live.Annotations, federationv1alpha1.FederationAnnotation) }},
			verdict{Action: markObject},
		},
		"an object of another federation is not taken over": {
			[]func(*observation){func(o *observation) { o.live.Annotations[federationv1alpha1.FederationAnnotation] = "f2" }},
			verdict{State: v1beta2.TargetAlreadyExists,
				Message: `the object there comes from the federated object "shop/web" of another federation, "f2"; this one is "f1"`},
		},
		"a member of another tenant is not found": {
			[]func(*observation){func(o *observation) { o.memberRefusal = "foreign" }},
			verdict{State: v1beta2.TargetNotFound, Message: "foreign"},
		},
		"a namespace of the member that is somebody else's is left alone": {
			[]func(*observation){inForeignHome}, verdict{State: v1beta2.TargetNamespaceForbidden, Message: "theirs"},
		},
		"even if all was well there": {
			[]func(*observation){func(o *observation) { o.homeRefusal = "theirs" }},
			verdict{State: v1beta2.TargetNamespaceForbidden, Message: "theirs"},
		},
		"a namespace that lacks our marks gets them, and nothing is sent": {
			[]func(*observation){func(o *observation) { o.unmarked = true }}, verdict{Action: markNamespace},
		},
		"a namespace that lacks our marks gets them with what is sent": {
			[]func(*observation){func(o *observation) { o.unmarked, o.manifest.Hash = true, "h8" }},
			verdict{Action: applyManifest, State: v1beta2.TargetPending},
		},
		"a template that cannot be rendered": {
			[]func(*observation){func(o *observation) { o.renderErr = &render.TemplateError{Problem: "bad"} }},
			verdict{State: v1beta2.TargetComputeFailed, Message: "spec.template: bad"},
		},
		"an override that cannot be applied": {
			[]func(*observation){func(o *observation) {
				o.renderErr = &render.OverrideError{Override: 1, Patch: 2, Path: "/x", Problem: "bad"}
			}},
			verdict{State: v1beta2.TargetOverridesFailed, Message: `spec.overrides[1].topologyOverrides[2] (path "/x"): bad`},
		},
		"a member that is offline, even if all was well": {
			[]func(*observation){unready(membership.Offline, "no answer")},
			verdict{State: v1beta2.TargetClusterNotReady, Message: "no answer"},
		},
		"a member that was not checked yet leaves the record as it is": {
			[]func(*observation){unready(membership.Unknown, "")}, verdict{},
		},
		"a change for a member that was not checked yet is pending": {
			[]func(*observation){unready(membership.Unknown, ""), func(o *observation) { o.manifest.Hash = "h8" }},
			verdict{State: v1beta2.TargetPending, Message: "the member was not checked yet"},
		},
		"a member that lacks the type": {
			[]func(*observation){func(o *observation) { o.cache, o.live = memberclient.NotServed, nil }},
			verdict{State: v1beta2.TargetTypeNotServed, Message: "the member does not serve this type"},
		},
		"a cache that is filling leaves the record as it is": {
			[]func(*observation){func(o *observation) { o.cache, o.live = memberclient.Filling, nil }}, verdict{},
		},
		"a cache that cannot be filled": {
			[]func(*observation){func(o *observation) {
				o.cache, o.cacheErr, o.live = memberclient.Filling, errors.New("forbidden"), nil
			}},
			verdict{State: v1beta2.TargetCachedRetrievalError, Message: "the member's objects cannot be listed: forbidden"},
		},
	} {
		t.Run(name, func(t *testing.T) { check(t, running(), test.changes, test.want) })
	}
}

func TestDecideOnATargetThatStays(t *testing.T) {
	for name, test := range map[string]struct {
		changes []func(*observation)
		want    verdict
	}{
		"a masked target is left as it is, whatever changed": {
			[]func(*observation){func(o *observation) { o.live.Generation = 9 }}, verdict{State: v1beta2.TargetMasked},
		},
		"a masked target that has nothing says so": {
			[]func(*observation){unwritten},
			verdict{State: v1beta2.TargetMasked, Message: "the mask holds the first write back"},
		},
		"a masked target of a member that is gone is masked": {
			[]func(*observation){func(o *observation) { o.member = nil }}, verdict{State: v1beta2.TargetMasked},
		},
		"a target that does not exist": {
			[]func(*observation){unwritten, func(o *observation) { o.intent, o.reason = absent, `there is no cell "x"` }},
			verdict{State: v1beta2.TargetNotFound, Message: `there is no cell "x"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := running()
			o.intent = keep
			check(t, o, test.changes, test.want)
		})
	}
}

func TestDecideOnATargetThatIsLeft(t *testing.T) {
	gone := verdict{Forget: true}
	for name, test := range map[string]struct {
		intent  intent
		changes []func(*observation)
		want    verdict
	}{
		"the object is deleted":  {remove, nil, verdict{Action: deleteObject, State: v1beta2.TargetWaitingForRemoval}},
		"the object is released": {release, nil, verdict{Action: releaseObject, State: v1beta2.TargetWaitingForRemoval}},
		"one that the cache does not show is looked for": {
			remove, []func(*observation){func(o *observation) { o.live = nil }},
			verdict{Action: deleteObject, State: v1beta2.TargetWaitingForRemoval},
		},
		"one that no record knows is deleted too": {
			remove, []func(*observation){func(o *observation) { o.record.Hash = "" }},
			verdict{Action: deleteObject, State: v1beta2.TargetWaitingForRemoval},
		},
		"a target that was never written to is forgotten": {remove, []func(*observation){unwritten}, gone},
		"a target that was never written to blocks nothing while offline": {
			remove, []func(*observation){unwritten, unready(membership.Offline, "no answer")}, gone,
		},
		"a member that holds the object is waited for while offline": {
			remove, []func(*observation){unready(membership.Offline, "no answer")},
			verdict{State: v1beta2.TargetWaitingForRemoval, Message: "the member may still hold the object: no answer"},
		},
		"a member that has left keeps what it has": {
			remove, []func(*observation){func(o *observation) { o.member = nil }}, gone,
		},
		"what is in somebody else's namespace is not deleted, and not forgotten": {
			remove, []func(*observation){func(o *observation) { o.live, o.homeRefusal = nil, "theirs" }},
			verdict{State: v1beta2.TargetWaitingForRemoval, Message: "the object there may not be deleted: theirs; the annotation federation.koinon.io/abandon=m1 on the federated object gives it up, and leaves it there"},
		},
		"what is in somebody else's namespace is left there if the federated object says so": {
			release, []func(*observation){func(o *observation) { o.live, o.homeRefusal = nil, "theirs" }},
			verdict{Forget: true},
		},
		"what was never written to somebody else's namespace is forgotten": {
			remove, []func(*observation){inForeignHome}, verdict{Forget: true},
		},
		"a member of another tenant is not touched": {
			remove, []func(*observation){func(o *observation) { o.memberRefusal = "foreign" }}, gone,
		},
		"a type that is not served any more may have its objects still": {
			remove, []func(*observation){func(o *observation) { o.cache, o.live = memberclient.NotServed, nil }},
			verdict{Action: deleteObject, State: v1beta2.TargetWaitingForRemoval},
		},
		"a type that is not served any more holds up nobody who leaves objects there": {
			release, []func(*observation){func(o *observation) { o.cache, o.live = memberclient.NotServed, nil }}, gone,
		},
		"a member that is not set up yet is not one that has left": {
			remove, []func(*observation){func(o *observation) { o.member, o.unchecked = nil, true }},
			verdict{State: v1beta2.TargetWaitingForRemoval, Message: "the member may still hold the object: the member was not checked yet"},
		},
		"what an earlier engine may have written is waited for": {
			remove, []func(*observation){unwritten, inherited, func(o *observation) { o.cache = memberclient.Filling }},
			verdict{State: v1beta2.TargetWaitingForRemoval, Message: mayStillHold + "its objects are being listed"},
		},
		"what an earlier engine may have written is waited for while offline": {
			remove, []func(*observation){unwritten, inherited, func(o *observation) { o.cache = memberclient.Filling }, unready(membership.Offline, "no answer")},
			verdict{State: v1beta2.TargetWaitingForRemoval, Message: "the member may still hold the object: no answer"},
		},
		"what an earlier engine has not written, as a cache shows, is forgotten": {remove, []func(*observation){unwritten, inherited}, gone},
		"the object of the same name in another federation stays": {
			remove, []func(*observation){func(o *observation) { o.live.Annotations[federationv1alpha1.FederationAnnotation] = "f2" }}, gone,
		},
		"an object of an earlier release, which names no federation, is ours": {
			remove, []func(*observation){func(o *observation) { delete(o.live.Annotations, federationv1alpha1.FederationAnnotation) }},
			verdict{Action: deleteObject, State: v1beta2.TargetWaitingForRemoval},
		},
		"an object of KubeFed is deleted where KubeFed would have put it": {
			remove, []func(*observation){func(o *observation) { o.live.Annotations = nil }},
			verdict{Action: deleteObject, State: v1beta2.TargetWaitingForRemoval},
		},
		"an object of KubeFed stays anywhere else": {
			remove, []func(*observation){func(o *observation) { o.live.Annotations, o.unmarkedIsOurs = nil, false }}, gone,
		},
		"the object of another federated object stays": {
			remove, []func(*observation){func(o *observation) { o.live.Annotations[render.SourceAnnotation] = "shop/other" }}, gone,
		},
		"a namespace that objects needed stays": {
			remove, []func(*observation){func(o *observation) { o.live.Annotations[render.SourceAnnotation] = render.NoSource }}, gone,
		},
		"what another target has, in a cluster that goes by two names, stays": {
			remove, []func(*observation){func(o *observation) { o.twin = "one cluster" }},
			verdict{State: v1beta2.TargetWaitingForRemoval, Message: "one cluster"},
		},
		"and is not given up either": {
			release, []func(*observation){func(o *observation) { o.twin = "one cluster" }},
			verdict{State: v1beta2.TargetWaitingForRemoval, Message: "one cluster"},
		},
		"an object that is being deleted is waited for": {
			remove, []func(*observation){func(o *observation) { o.live.DeletionTimestamp = &metav1.Time{} }},
			verdict{State: v1beta2.TargetWaitingForRemoval, Message: "the object there is being deleted"},
		},
		"and who holds it is told": {
			remove, []func(*observation){func(o *observation) {
				o.live.DeletionTimestamp, o.live.Finalizers = &metav1.Time{}, []string{"example.org/a", "example.org/b"}
			}},
			verdict{State: v1beta2.TargetWaitingForRemoval,
				Message: "the object there is being deleted, and stays until these finalizers are taken off it: example.org/a, example.org/b"},
		},
		"a cache that is filling is waited for": {
			remove, []func(*observation){func(o *observation) { o.cache, o.live = memberclient.Filling, nil }},
			verdict{State: v1beta2.TargetWaitingForRemoval, Message: mayStillHold + "its objects are being listed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := running()
			o.intent, o.manifest = test.intent, nil
			check(t, o, test.changes, test.want)
		})
	}
}

func check(t *testing.T, o observation, changes []func(*observation), want verdict) {
	t.Helper()
	for _, change := range changes {
		change(&o)
	}
	d := decide(o)
	got := verdict{d.action, d.status.State, d.status.Message, d.forget}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
	if !d.forget && (d.status.Hash != o.record.Hash || d.status.Version != o.record.Version) {
		t.Errorf("a decision changed what is recorded: %+v", d.status)
	}
}

func TestUpToDateSpeaksOfTheLatestGeneration(t *testing.T) {
	o := running()
	o.generation = 8 // a change that renders to the same manifest
	if got := decide(o).status.Generation; got != 8 {
		t.Errorf("got generation %d, want 8", got)
	}
}

// What keeps an object from going says so in other words than what keeps one from running: who waits for an object to be healthy
// does not wait for what it has left.
func TestATargetThatTheObjectLeavesDoesNotCountForItsHealth(t *testing.T) {
	for name, change := range map[string]func(*observation){
		"nothing is in the way":         func(*observation) {},
		"its member is away":            unready(membership.Offline, "it does not answer"),
		"its member was not checked":    func(o *observation) { o.member, o.unchecked = nil, true },
		"its objects are being listed":  filling,
		"its objects cannot be listed":  func(o *observation) { filling(o); o.cacheErr = errors.New("forbidden") },
		"the type is not served":        unserved,
		"its namespace is another's":    func(o *observation) { o.homeRefusal = "theirs" },
		"another target has the object": func(o *observation) { o.twin = "one cluster" },
	} {
		for what, i := range map[string]intent{"removed": remove, "released": release} {
			o := running()
			o.intent = i
			change(&o)
			o.observeHealth(nil)
			d := decide(o)
			said := []v1beta2.TargetStatus{withHealth(o.record, d.status), withHealth(o.record, o.failed(v1beta2.TargetDeletionFailed, "no").record)}
			if d.forget {
				said = said[1:]
			}
			for _, condition := range status.Fold(nil, 7, said, "", v1beta2.MaxStatusBytes, time.Now()).Conditions {
				if condition.Type == v1beta2.ConditionHealthy && condition.Status != metav1.ConditionTrue {
					t.Errorf("%s, %s: state %s: %s", what, name, d.status.State, condition.Message)
				}
			}
		}
	}
}
