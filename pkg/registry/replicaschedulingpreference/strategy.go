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

// strategy is for all writes: there is no status subresource, as in KubeFed.
type strategy struct {
	objectstore.Base
}

func newStrategy(scheme *runtime.Scheme) strategy {
	return strategy{objectstore.NewBase(scheme, objectstore.Namespaced, v1alpha1.SchemeGroupVersion)}
}

// WarningsOnCreate tells what cannot be met.
func (strategy) WarningsOnCreate(_ context.Context, obj runtime.Object) []string {
	return validation.Warnings(obj.(*v1alpha1.ReplicaSchedulingPreference))
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
