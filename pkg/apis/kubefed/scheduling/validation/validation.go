// Package validation checks the kinds of scheduling.kubefed.io. It is pure, and returns
// one error per wrong field: its path, its value and what is allowed.
package validation

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
)

// targetKinds are the federated kinds that have replicas to divide.
var targetKinds = []string{"FederatedDeployment", "FederatedReplicaSet"}

// ReplicaSchedulingPreference checks a whole ReplicaSchedulingPreference.
func ReplicaSchedulingPreference(preference *v1alpha1.ReplicaSchedulingPreference) field.ErrorList {
	return ReplicaSchedulingPreferenceUpdate(preference, &v1alpha1.ReplicaSchedulingPreference{})
}

// maxClusters is how many entries clusters may have: one for each of 1,000 members, and "*".
const maxClusters = 1001

// ReplicaSchedulingPreferenceUpdate checks the new state of a ReplicaSchedulingPreference.
func ReplicaSchedulingPreferenceUpdate(preference, old *v1alpha1.ReplicaSchedulingPreference) (errs field.ErrorList) {
	path := field.NewPath("spec")
	spec := &preference.Spec
	if !slices.Contains(targetKinds, spec.TargetKind) {
		errs = append(errs, field.NotSupported(path.Child("targetKind"), spec.TargetKind, targetKinds))
	}
	errs = append(errs, notNegative(int64(spec.TotalReplicas), path.Child("totalReplicas"))...)
	if long := mistakes.TooMany(len(spec.Clusters), len(old.Spec.Clusters), maxClusters, path.Child("clusters")); long != nil {
		return append(errs, long...)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Clusters)) {
		errs = append(errs, clusterPreferences(spec.Clusters[name], path.Child("clusters").Key(name))...)
	}
	return errs
}

func clusterPreferences(preferences v1alpha1.ClusterPreferences, path *field.Path) field.ErrorList {
	errs := notNegative(preferences.MinReplicas, path.Child("minReplicas"))
	errs = append(errs, notNegative(preferences.Weight, path.Child("weight"))...)
	if maximum := preferences.MaxReplicas; maximum != nil && *maximum < preferences.MinReplicas {
		errs = append(errs, field.Invalid(path.Child("maxReplicas"), *maximum,
			fmt.Sprintf("must not be less than minReplicas, which is %d", preferences.MinReplicas)))
	}
	return errs
}

func notNegative(value int64, path *field.Path) field.ErrorList {
	if value >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, "must be 0 or greater")}
}
