package replicaschedulingpreference

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
)

func TestWhatCannotBeMetIsWarnedAboutWhenTheSpecChanges(t *testing.T) {
	old := &v1alpha1.ReplicaSchedulingPreference{Spec: v1alpha1.ReplicaSchedulingPreferenceSpec{
		TotalReplicas: 3, Clusters: map[string]v1alpha1.ClusterPreferences{"m1": {MinReplicas: 5, Weight: 1}},
	}}
	labelled := old.DeepCopy()
	labelled.Labels = map[string]string{"a": "b"}
	changed := old.DeepCopy()
	changed.Generation++
	strategy := newStrategy(runtime.NewScheme())
	for when, got := range map[string][]string{
		"create": strategy.WarningsOnCreate(t.Context(), old), "update": strategy.WarningsOnUpdate(t.Context(), changed, old),
	} {
		if len(got) != 1 || !strings.HasPrefix(got[0], "spec.totalReplicas: 3 is less than the minReplicas") {
			t.Errorf("%s: got %q", when, got)
		}
	}
	if got := strategy.WarningsOnUpdate(t.Context(), labelled, old); len(got) > 0 {
		t.Errorf("the spec does not change: got %q", got)
	}
}

func TestAChangeOfTheStatusIsNoneOfTheSpec(t *testing.T) {
	old := &v1alpha1.ReplicaSchedulingPreference{}
	old.Generation = 4
	updated := old.DeepCopy()
	updated.Status.Conditions = append(updated.Status.Conditions, scheduled(old))
	newStrategy(runtime.NewScheme()).PrepareForUpdate(t.Context(), updated, old)
	if updated.Generation != 4 {
		t.Errorf("got generation %d, want 4", updated.Generation)
	}
}
