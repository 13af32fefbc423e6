package status

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// inHealth makes targets of triples of name, state and health.
func inHealth(triples ...string) []v1beta2.TargetStatus {
	var out []v1beta2.TargetStatus
	for i := 0; i < len(triples); i += 3 {
		out = append(out, v1beta2.TargetStatus{Name: triples[i], State: v1beta2.TargetState(triples[i+1]), Health: v1beta2.Health(triples[i+2])})
	}
	return out
}

func TestHealthOfAnObject(t *testing.T) {
	for name, test := range map[string]struct {
		targets []v1beta2.TargetStatus
		problem string
		want    v1beta2.Condition
	}{
		"all healthy is true": {
			targets: inHealth("m1", "", "Healthy", "m2", "", "Healthy"),
			want:    v1beta2.Condition{Status: "True", Message: "2 of 2 targets are healthy"},
		},
		"what waits since its spec says so is well": {
			targets: inHealth("m1", "", "Suspended"),
			want:    v1beta2.Condition{Status: "True", Message: "1 of 1 targets are healthy"},
		},
		"one that progresses is false": {
			targets: inHealth("m1", "", "Healthy", "m2", "", "Progressing"),
			want:    v1beta2.Condition{Status: "False", Reason: "TargetsProgressing", Message: "1 of 2 targets are healthy; m2: Progressing"},
		},
		"the worst are named first": {
			targets: inHealth("a", "Pending", "", "b", "", "Progressing", "c", "ClusterNotReady", "Unknown", "d", "", "Degraded"),
			want:    v1beta2.Condition{Status: "False", Reason: "TargetsDegraded", Message: "0 of 4 targets are healthy; d: Degraded, b: Progressing, a: Pending, c: Unknown"},
		},
		"many are counted": {
			targets: inHealth("a", "", "Degraded", "b", "", "Degraded", "c", "", "Degraded", "d", "", "Degraded", "e", "", "Degraded", "f", "", "Degraded", "g", "", "Degraded"),
			want: v1beta2.Condition{Status: "False", Reason: "TargetsDegraded",
				Message: "0 of 7 targets are healthy; a: Degraded, b: Degraded, c: Degraded, d: Degraded, e: Degraded and 2 more"},
		},
		"a target that was not written to yet is not known": {
			targets: inHealth("m1", "", "Healthy", "m2", "Pending", ""),
			want:    v1beta2.Condition{Status: "Unknown", Reason: "TargetsProgressing", Message: "1 of 2 targets are healthy; m2: Pending"},
		},
		"what is healthy and runs an earlier spec is not known": {
			targets: inHealth("m1", "UpdateFailed", "Healthy"),
			want:    v1beta2.Condition{Status: "Unknown", Reason: "TargetsProgressing", Message: "0 of 1 targets are healthy; m1: UpdateFailed"},
		},
		"an offline member is not known": {
			targets: inHealth("m1", "ClusterNotReady", "Unknown", "m2", "", "Healthy"),
			want:    v1beta2.Condition{Status: "Unknown", Reason: "TargetsUnknown", Message: "1 of 2 targets are healthy; m1: Unknown"},
		},
		"a masked target that is well is well": {
			targets: inHealth("m1", "Masked", "Healthy", "m2", "", "Healthy"),
			want:    v1beta2.Condition{Status: "True", Message: "2 of 2 targets are healthy"},
		},
		"a target that was given up does not count": {
			targets: inHealth("m1", "Abandoned", "", "m2", "", "Healthy"),
			want:    v1beta2.Condition{Status: "True", Message: "1 of 1 targets are healthy"},
		},
		"nor one that the object cannot leave": {
			targets: inHealth("m1", "DeletionFailed", "", "m2", "", "Healthy", "m3", "LabelRemovalFailed", ""),
			want:    v1beta2.Condition{Status: "True", Message: "1 of 1 targets are healthy"},
		},
		"one that was given up, and is placed again, is not known": {
			targets: inHealth("m1", "Abandoned", "Unknown", "m2", "", "Healthy"),
			want:    v1beta2.Condition{Status: "Unknown", Reason: "TargetsUnknown", Message: "1 of 2 targets are healthy; m1: Unknown"},
		},
		"a masked target without an object does not count": {
			targets: inHealth("m1", "Masked", "", "m2", "", "Healthy"),
			want:    v1beta2.Condition{Status: "True", Message: "1 of 1 targets are healthy"},
		},
		"a masked target that is not well is false": {
			targets: inHealth("m1", "Masked", "Degraded", "m2", "", "Healthy"),
			want:    v1beta2.Condition{Status: "False", Reason: "TargetsDegraded", Message: "1 of 2 targets are healthy; m1: Degraded"},
		},
		"a target that the object leaves does not count": {
			targets: inHealth("m1", "WaitingForRemoval", "", "m2", "", "Healthy"),
			want:    v1beta2.Condition{Status: "True", Message: "1 of 1 targets are healthy"},
		},
		"a job that ended well, and is gone, is well": {
			targets: inHealth("m1", "Ended", "Healthy", "m2", "Ended", ""),
			want:    v1beta2.Condition{Status: "True", Message: "1 of 1 targets are healthy"},
		},
		"one that failed is not": {
			targets: inHealth("m1", "Ended", "Degraded"),
			want:    v1beta2.Condition{Status: "False", Reason: "TargetsDegraded", Message: "0 of 1 targets are healthy; m1: Degraded"},
		},
		"a placement that makes no sense leaves it unknown": {
			targets: inHealth("m1", "", "Healthy"), problem: "spec.topologyType: no",
			want: v1beta2.Condition{Status: "Unknown", Reason: "ComputePlacementFailed", Message: "spec.topologyType: no"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Type = v1beta2.ConditionHealthy
			test.want.LastUpdateTime, test.want.LastTransitionTime = "2026-01-01T01:00:00Z", "2026-01-01T01:00:00Z"
			got := Fold(nil, 3, test.targets, test.problem, v1beta2.MaxStatusBytes, now)
			if diff := cmp.Diff(test.want, got.Conditions[1]); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(got, Fold(got, 3, test.targets, test.problem, v1beta2.MaxStatusBytes, now.Add(1))); diff != "" {
				t.Errorf("folding again says something new (-first +second):\n%s", diff)
			}
		})
	}
}

// A thousand of them are in an object that everybody watches: with health and numbers a record
// has some 40 bytes more, whatever the status in the member is.
func TestTheSummaryOfATargetIsSmall(t *testing.T) {
	bare := v1beta2.TargetStatus{
		Name: "rz0042", Cluster: "m1", Namespace: "shop-rz0042", Hash: strings.Repeat("a", 16), Version: "gen:7", Generation: 7,
	}
	config, workload := bare, bare
	config.Health = v1beta2.HealthHealthy
	workload.Health, workload.Replicas, workload.Ready = v1beta2.HealthHealthy, 3, 3
	for name, test := range map[string]struct {
		record v1beta2.TargetStatus
		most   int
	}{"a ConfigMap": {config, 20}, "a Deployment": {workload, 42}} {
		without, err := json.Marshal(bare)
		if err != nil {
			t.Fatal(err)
		}
		with, err := json.Marshal(test.record)
		if err != nil {
			t.Fatal(err)
		}
		if more := len(with) - len(without); more > test.most {
			t.Errorf("%s: the summary takes %d bytes, want at most %d: %s", name, more, test.most, with)
		}
	}
}
