// Package federatedtypeconfig is the REST storage of FederatedTypeConfigs. Serving the
// kinds that they name is not its business.
package federatedtypeconfig

import (
	"context"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/validation"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// strategy is for writes of the object: they leave the status as it is.
type strategy struct {
	objectstore.Base
	// systemNamespace is where controllers look for FederatedTypeConfigs.
	systemNamespace string
}

func newStrategy(scheme *runtime.Scheme, systemNamespace string) strategy {
	return strategy{
		Base:            objectstore.NewBase(scheme, objectstore.Namespaced, v1beta1.SchemeGroupVersion, "status"),
		systemNamespace: systemNamespace,
	}
}

// PrepareForCreate applies the defaults again: some follow from the object's name, which
// may have been generated after decoding.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	config := obj.(*v1beta1.FederatedTypeConfig)
	config.Status = v1beta1.FederatedTypeConfigStatus{}
	config.Generation = 1
	v1beta1.SetDefaults_FederatedTypeConfig(config)
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	config, oldConfig := obj.(*v1beta1.FederatedTypeConfig), old.(*v1beta1.FederatedTypeConfig)
	config.Status = oldConfig.Status
	config.Status.Conditions = withoutServed(config.Status.Conditions) // older versions stored it
	if !apiequality.Semantic.DeepEqual(config.Spec, oldConfig.Spec) {
		config.Generation++
	}
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.NewFederatedTypeConfig(obj.(*v1beta1.FederatedTypeConfig))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.FederatedTypeConfigUpdate(obj.(*v1beta1.FederatedTypeConfig), old.(*v1beta1.FederatedTypeConfig))
}

// WarningsOnCreate tells about a FederatedTypeConfig that serves nothing, and of one that can
// propagate nothing.
func (s strategy) WarningsOnCreate(_ context.Context, obj runtime.Object) []string {
	config := obj.(*v1beta1.FederatedTypeConfig)
	warnings := targetProblems(config)
	if config.Namespace != s.systemNamespace {
		warnings = append(warnings, fmt.Sprintf("metadata.namespace: a FederatedTypeConfig outside of namespace %q is kept and not used", s.systemNamespace))
	}
	return warnings
}

// WarningsOnUpdate tells of one that can propagate nothing.
func (strategy) WarningsOnUpdate(_ context.Context, obj, old runtime.Object) []string {
	config, oldConfig := obj.(*v1beta1.FederatedTypeConfig), old.(*v1beta1.FederatedTypeConfig)
	if config.Spec.TargetType == oldConfig.Spec.TargetType {
		return nil
	}
	return targetProblems(config)
}

// statusStrategy is for writes of the status: they leave all else as it is.
type statusStrategy struct {
	strategy
}

// WarningsOnUpdate has nothing to say.
func (statusStrategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

func newStatusStrategy(s strategy, scheme *runtime.Scheme) statusStrategy {
	s.Base = objectstore.NewBase(scheme, objectstore.Namespaced, v1beta1.SchemeGroupVersion, "metadata", "spec")
	return statusStrategy{s}
}

// PrepareForUpdate stores no condition Served, which clients send back as they read it.
func (statusStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	config, oldConfig := obj.(*v1beta1.FederatedTypeConfig), old.(*v1beta1.FederatedTypeConfig)
	config.Spec = oldConfig.Spec
	config.Status.Conditions = withoutServed(config.Status.Conditions)
	metav1.ResetObjectMetaForStatus(config, oldConfig)
}

func (statusStrategy) ValidateUpdate(_ context.Context, obj, _ runtime.Object) field.ErrorList {
	return validation.FederatedTypeConfigStatus(obj.(*v1beta1.FederatedTypeConfig))
}
