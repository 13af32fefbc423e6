// Package replicaschedulingpreference is the REST storage of
// ReplicaSchedulingPreferences.
package replicaschedulingpreference

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/scheduling/validation"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// strategy is for all writes: the status is an empty object.
type strategy struct {
	objectstore.Base
	// otherEngine says whether another engine than ours propagates; nil says no.
	otherEngine func(context.Context) bool
}

func newStrategy(scheme *runtime.Scheme, otherEngine func(context.Context) bool) strategy {
	return strategy{objectstore.NewBase(scheme, objectstore.Namespaced, v1alpha1.SchemeGroupVersion), otherEngine}
}

// WarningsOnCreate tells that nobody divides the replicas: our engine does not, KubeFed's does.
func (s strategy) WarningsOnCreate(ctx context.Context, _ runtime.Object) []string {
	if s.otherEngine != nil && s.otherEngine(ctx) {
		return nil
	}
	return []string{"spec: is kept and has no effect: this release does not divide replicas; write them into spec.overrides of the federated object"}
}

// WarningsOnUpdate tells the same when the spec changes.
func (s strategy) WarningsOnUpdate(ctx context.Context, obj, old runtime.Object) []string {
	if obj.(*v1alpha1.ReplicaSchedulingPreference).Generation == old.(*v1alpha1.ReplicaSchedulingPreference).Generation {
		return nil
	}
	return s.WarningsOnCreate(ctx, obj)
}

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	obj.(*v1alpha1.ReplicaSchedulingPreference).Generation = 1
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	preference := obj.(*v1alpha1.ReplicaSchedulingPreference)
	if !apiequality.Semantic.DeepEqual(preference.Spec, old.(*v1alpha1.ReplicaSchedulingPreference).Spec) {
		preference.Generation++
	}
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.ReplicaSchedulingPreference(obj.(*v1alpha1.ReplicaSchedulingPreference))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ReplicaSchedulingPreferenceUpdate(obj.(*v1alpha1.ReplicaSchedulingPreference), old.(*v1alpha1.ReplicaSchedulingPreference))
}
