package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

var (
	then = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now  = then.Add(time.Hour)
)

func targets(nameState ...string) []v1beta2.TargetStatus {
	var out []v1beta2.TargetStatus
	for i := 0; i < len(nameState); i += 2 {
		out = append(out, v1beta2.TargetStatus{Name: nameState[i], State: v1beta2.TargetState(nameState[i+1])})
	}
	return out
}

func TestCondition(t *testing.T) {
	for name, test := range map[string]struct {
		targets []v1beta2.TargetStatus
		problem string
		want    v1beta2.Condition
	}{
		"nothing placed is true": {
			want: v1beta2.Condition{Status: "True", Message: "no target is placed"},
		},
		"all up to date is true": {
			targets: targets("m1", "", "m2", ""),
			want:    v1beta2.Condition{Status: "True", Message: "2 of 2 targets are up to date"},
		},
		"masked targets do not count": {
			targets: targets("m1", "", "m2", "Masked"),
			want:    v1beta2.Condition{Status: "True", Message: "1 of 1 targets are up to date, 1 masked"},
		},
		"what ran to its end is up to date": {
			targets: targets("m1", "Ended", "m2", ""),
			want:    v1beta2.Condition{Status: "True", Message: "2 of 2 targets are up to date"},
		},
		"what somebody writes against is behind": {
			targets: targets("m1", "Contested", "m2", ""),
			want:    v1beta2.Condition{Status: "False", Reason: "CheckClusters", Message: "1 of 2 targets are up to date; m1: Contested"},
		},
		"what was given up, and is not placed any more, keeps nobody waiting": {
			targets: targets("m1", "", "m2", "Abandoned"),
			want:    v1beta2.Condition{Status: "True", Message: "1 of 1 targets are up to date; given up: m2"},
		},
		"what was given up and is placed again is behind": {
			targets: []v1beta2.TargetStatus{{Name: "m2", State: v1beta2.TargetAbandoned, Health: v1beta2.HealthUnknown}},
			want:    v1beta2.Condition{Status: "False", Reason: "CheckClusters", Message: "0 of 1 targets are up to date; m2: Abandoned"},
		},
		"a frozen object is true": {
			targets: targets("m2", "Masked"),
			want:    v1beta2.Condition{Status: "True", Message: "0 of 0 targets are up to date, 1 masked"},
		},
		"one that is behind is named": {
			targets: targets("m2", "ClusterNotReady", "m1", "", "m3", ""),
			want:    v1beta2.Condition{Status: "False", Reason: "CheckClusters", Message: "2 of 3 targets are up to date; m2: ClusterNotReady"},
		},
		"many that are behind are counted": {
			targets: targets("a", "X", "b", "X", "c", "X", "d", "X", "e", "X", "f", "X", "g", "X"),
			want:    v1beta2.Condition{Status: "False", Reason: "CheckClusters", Message: "0 of 7 targets are up to date; a: X, b: X, c: X, d: X, e: X and 2 more"},
		},
		"a placement that makes no sense is false": {
			targets: targets("m1", ""), problem: "spec.topologyType: no",
			want: v1beta2.Condition{Status: "False", Reason: "ComputePlacementFailed", Message: "spec.topologyType: no"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Type = v1beta2.ConditionPropagation
			test.want.LastUpdateTime, test.want.LastTransitionTime = "2026-01-01T01:00:00Z", "2026-01-01T01:00:00Z"
			got := Fold(nil, 3, test.targets, test.problem, v1beta2.MaxStatusBytes, now)
			if diff := cmp.Diff(test.want, got.Conditions[0]); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if got.ObservedGeneration != 3 {
				t.Errorf("got observedGeneration %d, want 3", got.ObservedGeneration)
			}
			again := Fold(got, 3, test.targets, test.problem, v1beta2.MaxStatusBytes, now.Add(time.Hour))
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("folding again says something new (-first +second):\n%s", diff)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	for name, test := range map[string]struct {
		before, after          []v1beta2.TargetStatus
		wantUpdate, transition time.Time
	}{
		"nothing new keeps both times":       {targets("a", ""), targets("a", ""), then, then},
		"a new message is an update":         {targets("a", ""), targets("a", "", "b", ""), now, then},
		"a new status is a transition too":   {targets("a", ""), targets("a", "X"), now, now},
		"another target behind is an update": {targets("a", "X"), targets("b", "X"), now, then},
	} {
		t.Run(name, func(t *testing.T) {
			old := Fold(nil, 1, test.before, "", v1beta2.MaxStatusBytes, then)
			got := Fold(old, 2, test.after, "", v1beta2.MaxStatusBytes, now).Conditions[0]
			if want := test.wantUpdate.Format(time.RFC3339); got.LastUpdateTime != want {
				t.Errorf("got lastUpdateTime %s, want %s", got.LastUpdateTime, want)
			}
			if want := test.transition.Format(time.RFC3339); got.LastTransitionTime != want {
				t.Errorf("got lastTransitionTime %s, want %s", got.LastTransitionTime, want)
			}
		})
	}
}

func TestFoldKeepsForeignConditionsAndSortsTargets(t *testing.T) {
	old := &v1beta2.FederatedObjectStatus{Conditions: []v1beta2.Condition{{Type: "Other", Status: metav1.ConditionTrue}}}
	got := Fold(old, 1, targets("b", "", "a", ""), "", v1beta2.MaxStatusBytes, now)
	if len(got.Conditions) != 3 || got.Conditions[0].Type != "Other" {
		t.Errorf("got conditions %+v, want the foreign one kept", got.Conditions)
	}
	if diff := cmp.Diff(targets("a", "", "b", ""), got.Targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	if len(old.Conditions) != 1 {
		t.Error("the old status was modified")
	}
}
