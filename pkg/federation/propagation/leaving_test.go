package propagation

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/compose"
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

func TestDecideOnATargetThatIsAbandoned(t *testing.T) {
	const left = `target "m1" was given up, as the annotation federation.koinon.io/abandon asks for: the member may still hold the object: it does not answer; what is there stays, without our label, once the member is back`
	offline := unready(membership.Offline, "it does not answer")
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
		"it is said once":                                          {[]func(*observation){deleting, abandoned, offline, func(o *observation) { o.record.Hash = "" }}, forgotten, ""},
		"one that is no longer placed says so as long as it lasts": {[]func(*observation){abandoned, offline}, verdict{State: v1beta2.TargetAbandoned, Message: left}, ""},

		"what was given up is not asked for while it is away":       {[]func(*observation){givenUpBefore, offline, filling}, stays, ""},
		"nor while it is not checked":                               {[]func(*observation){givenUpBefore, unready(membership.Unknown, ""), filling}, stays, ""},
		"nor while its objects are listed":                          {[]func(*observation){givenUpBefore, filling}, stays, ""},
		"what was given up is released and not deleted":             {[]func(*observation){givenUpBefore}, verdict{Action: releaseObject, State: v1beta2.TargetAbandoned}, ""},
		"a mask keeps it from being deleted later, too":             {[]func(*observation){givenUpBefore, func(o *observation) { o.intent, o.reason = keep, "masked" }}, stays, ""},
		"it is forgotten if it is not there":                        {[]func(*observation){givenUpBefore, func(o *observation) { o.live = nil }}, forgotten, ""},
		"it is forgotten if the member is unjoined":                 {[]func(*observation){givenUpBefore, func(o *observation) { o.member = nil }}, forgotten, ""},
		"it is forgotten if its place is somebody else's":           {[]func(*observation){givenUpBefore, func(o *observation) { o.homeRefusal = "theirs" }}, forgotten, ""},
		"it holds up no deletion":                                   {[]func(*observation){givenUpBefore, deleting, offline}, forgotten, ""},
		"it holds up no deletion while its objects are listed":      {[]func(*observation){givenUpBefore, deleting, filling}, forgotten, ""},
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
