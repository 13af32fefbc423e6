package propagation

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/fedclient"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

func abandoned(o *observation) { o.abandoned = true }

func deleting(o *observation) { o.deleting = true }

// givenUpBefore is what the record of an abandoned target says; observeLeaving releases it.
func givenUpBefore(o *observation) {
	o.intent = release
	o.record = v1beta2.TargetStatus{Name: "m1", Cluster: "m1", Namespace: "shop", State: v1beta2.TargetAbandoned, Message: "given up"}
}

func filling(o *observation) { o.live, o.cache = nil, memberclient.Filling }

func unjoined(o *observation) { o.member, o.live, o.cache = nil, nil, memberclient.Unwatched }

func unserved(o *observation) { o.live, o.cache = nil, memberclient.NotServed }

// again: the target is placed again.
func again(o *observation) { o.intent = run }

// What only an executor finds out keeps an object from being removed, too.
func TestWhatCannotBeRemovedIsGivenUp(t *testing.T) {
	foreign := &memberclient.ForeignNamespaceError{Namespace: "shop", Problem: "theirs"}
	left := `target "m1" was given up, as the annotation federation.koinon.io/abandon asks for: ` + mayNotDelete + foreign.Error() + "; what is there stays, without our label, once it may be changed there"
	for name, test := range map[string]struct {
		change func(*observation)
		want   result
	}{
		"it is waited for": {func(*observation) {}, result{failed: true, record: v1beta2.TargetStatus{
			State: v1beta2.TargetWaitingForRemoval, Hash: "h1",
			Message: mayNotDelete + foreign.Error() + "; the annotation federation.koinon.io/abandon=m1 on the federated object gives it up, and leaves it there"}}},
		"unless it is given up": {abandoned, result{record: v1beta2.TargetStatus{
			State: v1beta2.TargetAbandoned, Message: left}}},
		"a deletion then goes on": {func(o *observation) { o.abandoned, o.deleting = true, true }, result{gone: true, stays: true, left: left}},
		"of a former place it is told": {func(o *observation) { o.abandoned, o.former = true, true }, result{
			record: v1beta2.TargetStatus{State: v1beta2.TargetAbandoned, Message: left}, left: left}},
	} {
		o := observation{intent: remove, record: v1beta2.TargetStatus{Name: "m1", Hash: "h1"}}
		test.change(&o)
		if test.want.record.State != "" {
			test.want.record.Name = "m1"
		}
		if diff := cmp.Diff(&test.want, o.refusedHome(foreign), cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDecideOnATargetThatIsAbandoned(t *testing.T) {
	const left = `target "m1" was given up, as the annotation federation.koinon.io/abandon asks for: the member may still hold the object: it does not answer; what is there stays, without our label, once the member is back`
	const leftTheirs = `target "m1" was given up, as the annotation federation.koinon.io/abandon asks for: the object there may not be deleted: theirs; what is there stays, without our label, once it may be changed there`
	offline, theirs := unready(membership.Offline, "it does not answer"), func(o *observation) { o.homeRefusal = "theirs" }
	waits := verdict{State: v1beta2.TargetWaitingForRemoval, Message: mayStillHold + "it does not answer"}
	stays := verdict{State: v1beta2.TargetAbandoned, Message: "given up"}
	forgotten := verdict{Forget: true}
	for name, test := range map[string]struct {
		changes []func(*observation)
		want    verdict
		left    string
	}{
		"a deletion waits for a member that does not answer":       {[]func(*observation){deleting, offline}, waits, ""},
		"it does not wait for one that is given up":                {[]func(*observation){deleting, abandoned, offline}, forgotten, left},
		"also if the member is not well":                           {[]func(*observation){deleting, abandoned, unready(membership.NotReady, "it does not answer")}, forgotten, left},
		"or is malformed":                                          {[]func(*observation){deleting, abandoned, unready(membership.Malformed, "it does not answer")}, forgotten, left},
		"it waits for one that was not checked yet":                {[]func(*observation){deleting, abandoned, unready(membership.Unknown, "")}, verdict{State: v1beta2.TargetWaitingForRemoval, Message: mayStillHold + notChecked}, ""},
		"it waits for one that is not set up yet":                  {[]func(*observation){deleting, abandoned, func(o *observation) { o.member, o.unchecked = nil, true }}, verdict{State: v1beta2.TargetWaitingForRemoval, Message: mayStillHold + notChecked}, ""},
		"one that can be reached is cleaned up":                    {[]func(*observation){deleting, abandoned}, verdict{Action: deleteObject, State: v1beta2.TargetWaitingForRemoval}, ""},
		"also if only a cache knows of the object there":           {[]func(*observation){deleting, abandoned, offline, func(o *observation) { o.record.Hash = "" }}, forgotten, left},
		"one that is no longer placed says so as long as it lasts": {[]func(*observation){abandoned, offline}, verdict{State: v1beta2.TargetAbandoned, Message: left}, ""},

		"what is in a place that is somebody else's is waited for": {[]func(*observation){theirs},
			verdict{State: v1beta2.TargetWaitingForRemoval, Message: mayNotDelete + "theirs; the annotation federation.koinon.io/abandon=m1 on the federated object gives it up, and leaves it there"}, ""},
		"it is not if it is given up": {[]func(*observation){abandoned, theirs}, verdict{State: v1beta2.TargetAbandoned, Message: leftTheirs}, ""},
		"nor by a deletion":           {[]func(*observation){deleting, abandoned, theirs}, forgotten, leftTheirs},

		"what was given up is not asked for while it is away":       {[]func(*observation){givenUpBefore, offline, filling}, stays, ""},
		"nor while it is not checked":                               {[]func(*observation){givenUpBefore, unready(membership.Unknown, ""), filling}, stays, ""},
		"nor while its objects are listed":                          {[]func(*observation){givenUpBefore, filling}, stays, ""},
		"what was given up is released and not deleted":             {[]func(*observation){givenUpBefore}, verdict{Action: releaseObject, State: v1beta2.TargetAbandoned}, ""},
		"a mask keeps it from being deleted later, too":             {[]func(*observation){givenUpBefore, func(o *observation) { o.intent, o.reason = keep, "masked" }}, stays, ""},
		"it is forgotten if it is not there":                        {[]func(*observation){givenUpBefore, func(o *observation) { o.live = nil }}, forgotten, ""},
		"it is remembered while the member is unjoined":             {[]func(*observation){givenUpBefore, unjoined}, stays, ""},
		"it is remembered while the member is another tenant's":     {[]func(*observation){givenUpBefore, filling, func(o *observation) { o.memberRefusal = "theirs" }}, stays, ""},
		"it is remembered while its place is somebody else's":       {[]func(*observation){givenUpBefore, filling, func(o *observation) { o.homeRefusal = "theirs" }}, stays, ""},
		"it is remembered while the member does not serve the type": {[]func(*observation){givenUpBefore, unserved}, stays, ""},
		"it holds up no deletion":                                   {[]func(*observation){givenUpBefore, deleting, abandoned, offline, filling}, forgotten, ""},
		"it holds up no deletion while its objects are listed":      {[]func(*observation){givenUpBefore, deleting, abandoned, filling}, forgotten, ""},
		"it holds up no deletion if the member is unjoined":         {[]func(*observation){givenUpBefore, deleting, unjoined}, forgotten, ""},
		"nor if the type is not served any more":                    {[]func(*observation){givenUpBefore, deleting, unserved}, forgotten, ""},
		"a deletion waits for it once it is not given up any more": {[]func(*observation){givenUpBefore, deleting, offline, filling},
			verdict{State: v1beta2.TargetAbandoned, Message: mayStillHold + "it does not answer"}, ""},
		"also if the cache has lost it since": {[]func(*observation){givenUpBefore, deleting, offline, func(o *observation) { o.live = nil }},
			verdict{State: v1beta2.TargetAbandoned, Message: mayStillHold + "it does not answer"}, ""},
		"also while its objects are listed": {[]func(*observation){givenUpBefore, deleting, filling},
			verdict{State: v1beta2.TargetAbandoned, Message: mayStillHold + "its objects are being listed"}, ""},

		"one that is placed again is given up while its member is away": {[]func(*observation){givenUpBefore, again, offline, filling},
			verdict{State: v1beta2.TargetAbandoned, Message: placedAgain + "it does not answer"}, ""},
		"and while its objects are listed": {[]func(*observation){givenUpBefore, again, filling},
			verdict{State: v1beta2.TargetAbandoned, Message: placedAgain + "the member's objects are being listed"}, ""},
		"and while the member is unjoined": {[]func(*observation){givenUpBefore, again, unjoined},
			verdict{State: v1beta2.TargetAbandoned, Message: placedAgain + `there is no member "m1"`}, ""},
		"it is written to once the member is back":                                   {[]func(*observation){givenUpBefore, again}, verdict{Action: applyManifest, State: v1beta2.TargetPending}, ""},
		"one that is placed again, and masked, is given up while its member is away": {[]func(*observation){givenUpBefore, offline, filling, func(o *observation) { o.intent = keep }}, stays, ""},
		"one whose namespace is not federated is given up while its member is away":  {[]func(*observation){givenUpBefore, offline, filling, func(o *observation) { o.intent = unfederated }}, stays, ""},
		"and as long as the object is there":                                         {[]func(*observation){givenUpBefore, func(o *observation) { o.intent = unfederated }}, stays, ""},
		"it is forgotten there, too, if the object is not there":                     {[]func(*observation){givenUpBefore, func(o *observation) { o.intent, o.live = unfederated, nil }}, forgotten, ""},

		"it is released with a deletion if its member is back then": {[]func(*observation){givenUpBefore, deleting}, verdict{Action: releaseObject, State: v1beta2.TargetAbandoned}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := running()
			o.intent = remove
			for _, change := range test.changes {
				change(&o)
			}
			d := decide(o)
			got := verdict{d.action, d.status.State, d.status.Message, d.forget}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.left, d.left); diff != "" {
				t.Errorf("what is left behind (-want +got):\n%s", diff)
			}
			if d.forget && o.deleting && !d.stays && !o.isKnown() {
				t.Error("nothing is said to be left there, and nobody knows")
			}
			if d.status.State == v1beta2.TargetAbandoned && d.status.Hash != "" {
				t.Error("what is given up holds the finalizer")
			}
		})
	}
}

func TestWhatIsGivenUpIsAbandonedUntilItIsReleased(t *testing.T) {
	o := running()
	givenUpBefore(&o)
	if got := o.failed(v1beta2.TargetLabelRemovalFailed, "no").record; got.State != v1beta2.TargetAbandoned || got.Message != "no" {
		t.Errorf("after a failure the record is %+v: it would be deleted", got)
	}
	o.intent = run // it is placed again
	if got := o.failed(v1beta2.TargetUpdateFailed, "no").record.State; got != v1beta2.TargetUpdateFailed {
		t.Errorf("a target that is placed again says %s", got)
	}
}

func TestAHomeThatIsNotOursKeepsWhatIsGivenUpFromBeingForgotten(t *testing.T) {
	refused := func(changes ...func(*observation)) result {
		o := running()
		o.intent = release
		for _, change := range changes {
			change(&o)
		}
		return *o.refusedHome(&memberclient.ForeignNamespaceError{})
	}
	if got := refused(givenUpBefore); got.gone || got.record.State != v1beta2.TargetAbandoned {
		t.Errorf("got %+v: it would be deleted once the namespace is ours again", got)
	}
	if got := refused(givenUpBefore, deleting); !got.gone || !got.stays {
		t.Errorf("with its federated object: got %+v", got)
	}
	if got := refused(); got.gone || got.failed || got.record.State != v1beta2.TargetAbandoned || got.record.Hash != "" {
		t.Errorf("what is left on request: got %+v, want that it is remembered, and not waited for", got)
	}
	if got := refused(deleting); !got.gone || !got.stays {
		t.Errorf("what is left on request, with its federated object: got %+v, want that it stays", got)
	}
	if got := refused(func(o *observation) { o.intent = remove }); got.gone || got.stays {
		t.Errorf("what is to be deleted: got %+v, want that it is waited for", got)
	}
}

// A target to which somebody else may have written is given up anew at every look.
func TestWhatIsGivenUpIsToldOnce(t *testing.T) {
	var told []events.Event
	e := &Engine{memories: map[objectKey]*memory{}, holders: map[string]map[objectKey]bool{}}
	e.Record = func(_ *corev1.ObjectReference, happened ...events.Event) { told = append(told, happened...) }
	factory, err := fedclient.New(&rest.Config{}, "types.kubefed.io")
	if err != nil {
		t.Fatal(err)
	}
	key, object := objectKey{"configmaps", "shop", "web"}, recordedIn("u1", "m1")
	v := &view{key: key, kind: &kind{feed: &feed{factory: factory}}, federated: object, memory: e.remember(key, object)}
	for range 3 {
		d := decision{forget: true, stays: true, left: "given up"}
		e.tellLeft(v, "rz01a", d.left)
		v.memory.settle("rz01a", "", d)
	}
	if len(told) != 1 || !v.orphans("rz01a") {
		t.Errorf("told %v, want it once, and that it stays", told)
	}
}

func TestWhatIsAdopted(t *testing.T) {
	ours := ourObject().Annotations
	managed := map[string]string{v1beta1.ManagedLabel: "true"}
	for name, test := range map[string]struct {
		labels, annotations map[string]string
		want                bool
	}{
		"an object that nobody manages":                           {nil, nil, true},
		"none that KubeFed manages":                               {managed, nil, false},
		"none of ours":                                            {managed, ours, false},
		"none of ours whose label somebody took away":             {nil, ours, false},
		"what another federation has left":                        {nil, map[string]string{render.SourceAnnotation: "shop/web", federationv1alpha1.FederationAnnotation: "f2"}, true},
		"what another federated object has left without a label":  {nil, map[string]string{render.SourceAnnotation: "shop/other", federationv1alpha1.FederationAnnotation: "f1"}, true},
		"what was made for others and says so, without our label": {nil, map[string]string{render.SourceAnnotation: render.NoSource}, true},
	} {
		existing := &unstructured.Unstructured{Object: map[string]any{}}
		existing.SetLabels(test.labels)
		existing.SetAnnotations(test.annotations)
		if got := running().adopts(existing); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// What adopts an object is told by no record in it: it stays whatever is sent later.
func TestTheMarkOfAnAdoptedObjectStays(t *testing.T) {
	kind := v1beta1.SchemeGroupVersion.WithKind("ConfigMap")
	for name, annotations := range map[string]map[string]any{
		"with the record of what was sent": {v1beta1.AdoptedAnnotation: "true", "federation.koinon.io/manifest-metadata": "{}"},
		"if somebody took that away":       {v1beta1.AdoptedAnnotation: "true"},
	} {
		live := map[string]any{"metadata": map[string]any{
			"annotations": annotations,
			"managedFields": []any{map[string]any{
				"manager": memberclient.FieldManager, "operation": "Update", "fieldsType": "FieldsV1",
				"fieldsV1": map[string]any{"f:metadata": map[string]any{"f:annotations": map[string]any{"f:" + v1beta1.AdoptedAnnotation: map[string]any{}}}},
			}},
		}}
		sent := unstructured.Unstructured{Object: compose.ForUpdate(map[string]any{"metadata": map[string]any{}}, live, kind, compose.Rules{})}
		if sent.GetAnnotations()[v1beta1.AdoptedAnnotation] != "true" {
			t.Errorf("%s: got annotations %v", name, sent.GetAnnotations())
		}
	}
}
