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

// TargetKinds are the federated kinds that a preference may name.
func TargetKinds() []string { return slices.Clone(targetKinds) }

// ReplicaSchedulingPreference checks a whole ReplicaSchedulingPreference.
func ReplicaSchedulingPreference(preference *v1alpha1.ReplicaSchedulingPreference) field.ErrorList {
	return ReplicaSchedulingPreferenceUpdate(preference, &v1alpha1.ReplicaSchedulingPreference{})
}

// maxClusters is how many entries clusters may have: one for each of 1,000 members, and "*".
const maxClusters = 1001

// maxConditions is how many the status may have; controllers write one.
const maxConditions = 16

// ReplicaSchedulingPreferenceUpdate checks the new state of a ReplicaSchedulingPreference.
func ReplicaSchedulingPreferenceUpdate(preference, old *v1alpha1.ReplicaSchedulingPreference) (errs field.ErrorList) {
	path := field.NewPath("spec")
	spec := &preference.Spec
	if !slices.Contains(targetKinds, spec.TargetKind) {
		errs = append(errs, field.NotSupported(path.Child("targetKind"), spec.TargetKind, targetKinds))
	}
	errs = append(errs, notNegative(int64(spec.TotalReplicas), path.Child("totalReplicas"))...)
	errs = append(errs, mistakes.TooMany(len(preference.Status.Conditions), len(old.Status.Conditions), maxConditions, field.NewPath("status", "conditions"))...)
	if long := mistakes.TooMany(len(spec.Clusters), len(old.Spec.Clusters), maxClusters, path.Child("clusters")); long != nil {
		return append(errs, long...)
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Clusters)) {
		errs = append(errs, clusterPreferences(spec.Clusters[name], path.Child("clusters").Key(name))...)
	}
	return errs
}

// Warnings returns what of a preference that validates cannot be met, one sentence each.
func Warnings(preference *v1alpha1.ReplicaSchedulingPreference) (warnings []string) {
	spec := &preference.Spec
	total, least, most := int64(spec.TotalReplicas), int64(0), int64(0)
	_, bounded := spec.Clusters["*"]
	bounded = !bounded && len(spec.Clusters) > 0
	for name, c := range spec.Clusters {
		if name != "*" { // nobody knows here for how many that is
			least += min(c.MinReplicas, total+1)
		}
		if c.MaxReplicas != nil {
			most += min(*c.MaxReplicas, total)
		} else {
			bounded = bounded && c.Weight == 0
			most += min(c.MinReplicas, total)
		}
	}
	if least > total {
		warnings = append(warnings, fmt.Sprintf("spec.totalReplicas: %d is less than the minReplicas of spec.clusters together: the clusters with the largest weight get theirs first, and others less", total))
	}
	if bounded && most < total {
		warnings = append(warnings, fmt.Sprintf("spec.clusters: has room for %d of %d replicas: a cluster gets no more than its maxReplicas or, without a weight, its minReplicas", most, total))
	}
	return warnings
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
