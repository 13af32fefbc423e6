package guard

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

const ours = v1beta1.SyncFinalizer

func object(target v1beta2.TargetStatus, finalizers ...string) *v1beta2.FederatedObject {
	o := &v1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Finalizers: finalizers}}
	o.Status = &v1beta2.FederatedObjectStatus{Targets: []v1beta2.TargetStatus{{Name: "m0", State: v1beta2.TargetPending}, target}}
	return o
}

func deleting(o *v1beta2.FederatedObject) *v1beta2.FederatedObject {
	o.DeletionTimestamp = &metav1.Time{}
	return o
}

var written = v1beta2.TargetStatus{Name: "m1", State: v1beta2.TargetUpdateFailed, Hash: "abc"}

func TestWhichFinalizersAnUpdateLeaves(t *testing.T) {
	for sentence, test := range map[string]struct {
		old        *v1beta2.FederatedObject
		sent, want []string
	}{
		"one that is taken away is put back":         {object(written, ours), nil, []string{ours}},
		"it is put back where it was":                {object(written, "a/a", ours, "b/b"), []string{"a/a", "b/b"}, []string{"a/a", ours, "b/b"}},
		"it goes first if it was first":              {object(written, ours, "b/b"), []string{"b/b"}, []string{ours, "b/b"}},
		"it follows what is left of those before it": {object(written, "a/a", "b/b", ours, "c/c"), []string{"c/c", "a/a"}, []string{"c/c", "a/a", ours}},
		"others go":                                   {object(written, "a/a", ours), nil, []string{ours}},
		"one that stays is left where it is put":      {object(written, "a/a", ours), []string{ours, "a/a"}, []string{ours, "a/a"}},
		"a stock controller's record counts":          {object(v1beta2.TargetStatus{Name: "m1"}, ours), nil, []string{ours}},
		"it goes where nothing was written":           {object(v1beta2.TargetStatus{Name: "m1", State: v1beta2.TargetMasked}, ours), nil, nil},
		"it goes from an object without a status":     {&v1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{Finalizers: []string{ours}}}, nil, nil},
		"it goes while the object is deleted":         {deleting(object(written, ours)), nil, nil},
		"nothing is added to an object that lacks it": {object(written, "a/a"), []string{"a/a"}, []string{"a/a"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			before := test.old.DeepCopy()
			got, restored := OnUpdate(test.sent, test.old)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if want := len(test.want) > len(test.sent); restored != want {
				t.Errorf("got restored %t, want %t", restored, want)
			}
			if diff := cmp.Diff(before, test.old); diff != "" {
				t.Errorf("the old object was modified:\n%s", diff)
			}
		})
	}
}

func TestADeletionPutsTheFinalizerOnWhatMembersHold(t *testing.T) {
	for sentence, test := range map[string]struct {
		object *v1beta2.FederatedObject
		want   []string
	}{
		"an object that lost it":               {object(written, "a/a"), []string{"a/a", ours}},
		"an object that has it":                {object(written, ours), []string{ours}},
		"an object that was written nowhere":   {object(v1beta2.TargetStatus{Name: "m1", State: v1beta2.TargetPending}), nil},
		"an object that is being deleted":      {deleting(object(written, "a/a")), []string{"a/a"}},
		"an object without a status is let go": {&v1beta2.FederatedObject{}, nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, _ := OnDeletion(test.object)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
