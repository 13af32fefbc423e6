package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestARefusalComesBeforeWhatIsSaidOfTargets(t *testing.T) {
	const reason, why = v1beta2.ReasonNamespaceNotFederated, "namespace \"shop\" is not federated"
	first := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	fold := func(old *v1beta2.FederatedObjectStatus, why string, now time.Time) *v1beta2.FederatedObjectStatus {
		folded := Fold(old, 1, []v1beta2.TargetStatus{{Name: "m1"}}, "", 1<<20, now)
		if why != "" {
			Refuse(folded, old, reason, why, now)
		}
		return folded
	}
	refused := fold(nil, why, first)
	want := v1beta2.Condition{
		Type: v1beta2.ConditionPropagation, Status: metav1.ConditionFalse, Reason: reason, Message: why + "; 1 of 1 targets are up to date",
		LastUpdateTime: "2026-12-01T00:00:00Z", LastTransitionTime: "2026-12-01T00:00:00Z",
	}
	if diff := cmp.Diff(want, refused.Conditions[0]); diff != "" {
		t.Errorf("condition (-want +got):\n%s", diff)
	}
	before := refused.DeepCopy()
	if diff := cmp.Diff(before, fold(refused, why, first.Add(time.Hour))); diff != "" {
		t.Errorf("the same refusal an hour later says something new (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, refused); diff != "" {
		t.Errorf("the old status was changed (-want +got):\n%s", diff)
	}
	lifted := fold(refused, "", first.Add(time.Hour)).Conditions[0]
	if lifted.Status != metav1.ConditionTrue || lifted.Reason != "" || lifted.LastTransitionTime != "2026-12-01T01:00:00Z" {
		t.Errorf("once it is lifted the condition is %+v", lifted)
	}
}
