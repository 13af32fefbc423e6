package validation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/validation"
)

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
