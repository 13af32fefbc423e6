package validation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/validation"
)

func TestWhatCannotBeMetIsAWarning(t *testing.T) {
	for name, test := range map[string]struct {
		total    int32
		clusters map[string]v1alpha1.ClusterPreferences
		want     string
	}{
		"no preferences":          {total: 5},
		"minimums that fit":       {5, map[string]v1alpha1.ClusterPreferences{"m1": {MinReplicas: 2}, "m2": {MinReplicas: 3, Weight: 1}}, ""},
		"minimums that do not":    {5, map[string]v1alpha1.ClusterPreferences{"m1": {MinReplicas: 3}, "m2": {MinReplicas: 3, Weight: 1}}, "spec.totalReplicas: 5 is less than the minReplicas of spec.clusters together"},
		"a minimum for everybody": {5, map[string]v1alpha1.ClusterPreferences{"*": {MinReplicas: 30}}, ""},
		"maximums that fit":       {5, map[string]v1alpha1.ClusterPreferences{"m1": {MaxReplicas: new(int64(2)), Weight: 1}, "m2": {MaxReplicas: new(int64(3)), Weight: 1}}, ""},
		"maximums that do not":    {5, map[string]v1alpha1.ClusterPreferences{"m1": {MaxReplicas: new(int64(2)), Weight: 1}, "m2": {MinReplicas: 1}}, "spec.clusters: has room for 3 of 5 replicas"},
		"a place for the rest":    {5, map[string]v1alpha1.ClusterPreferences{"m1": {MaxReplicas: new(int64(2)), Weight: 1}, "*": {Weight: 1}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := validation.Warnings(&v1alpha1.ReplicaSchedulingPreference{
				Spec: v1alpha1.ReplicaSchedulingPreferenceSpec{TotalReplicas: test.total, Clusters: test.clusters}})
			if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], test.want)) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestReplicaSchedulingPreference(t *testing.T) {
	for name, test := range map[string]struct {
		spec v1alpha1.ReplicaSchedulingPreferenceSpec
		want []string
	}{
		"preferences for all clusters and for one are fine": {
			spec: v1alpha1.ReplicaSchedulingPreferenceSpec{
				TargetKind: "FederatedDeployment", TotalReplicas: 9,
				Clusters: map[string]v1alpha1.ClusterPreferences{
					"*":  {Weight: 1},
					"m1": {MinReplicas: 2, MaxReplicas: new(int64(4)), Weight: 2},
				},
			}},
		"another kind": {
			spec: v1alpha1.ReplicaSchedulingPreferenceSpec{TargetKind: "FederatedJob"},
			want: []string{`spec.targetKind: Unsupported value: "FederatedJob": supported values: "FederatedDeployment", "FederatedReplicaSet"`}},
		"less than no replicas": {
			spec: v1alpha1.ReplicaSchedulingPreferenceSpec{TargetKind: "FederatedReplicaSet", TotalReplicas: -1},
			want: []string{`spec.totalReplicas: Invalid value: -1: must be 0 or greater`}},
		"a limit below nothing": {
			spec: v1alpha1.ReplicaSchedulingPreferenceSpec{
				TargetKind: "FederatedReplicaSet", Clusters: map[string]v1alpha1.ClusterPreferences{"m1": {MaxReplicas: new(int64(-1))}}},
			want: []string{`spec.clusters[m1].maxReplicas: Invalid value: -1: must not be less than minReplicas, which is 0`}},
		"preferences that nothing can meet, in the order of names": {
			spec: v1alpha1.ReplicaSchedulingPreferenceSpec{
				TargetKind: "FederatedReplicaSet",
				Clusters: map[string]v1alpha1.ClusterPreferences{
					"m2": {MinReplicas: 3, MaxReplicas: new(int64(2))},
					"m1": {MinReplicas: -1, Weight: -2},
				},
			},
			want: []string{
				`spec.clusters[m1].minReplicas: Invalid value: -1: must be 0 or greater`,
				`spec.clusters[m1].weight: Invalid value: -2: must be 0 or greater`,
				`spec.clusters[m2].maxReplicas: Invalid value: 2: must not be less than minReplicas, which is 3`}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, err := range validation.ReplicaSchedulingPreference(&v1alpha1.ReplicaSchedulingPreference{Spec: test.spec}) {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(strings.Join(test.want, "\n"), strings.Join(got, "\n")); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}
