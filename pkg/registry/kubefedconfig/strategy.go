// Package kubefedconfig is the REST storage of KubeFedConfigs.
package kubefedconfig

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/validation"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// strategy is for all writes: there is no status. Defaults were applied by decoding, on
// creates and on updates alike.
type strategy struct {
	objectstore.Base
}

func newStrategy(scheme *runtime.Scheme) strategy {
	return strategy{objectstore.NewBase(scheme, objectstore.Namespaced, v1beta1.SchemeGroupVersion)}
}

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	obj.(*v1beta1.KubeFedConfig).Generation = 1
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	config := obj.(*v1beta1.KubeFedConfig)
	if !apiequality.Semantic.DeepEqual(config.Spec, old.(*v1beta1.KubeFedConfig).Spec) {
		config.Generation++
	}
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.KubeFedConfig(obj.(*v1beta1.KubeFedConfig))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.KubeFedConfigUpdate(obj.(*v1beta1.KubeFedConfig), old.(*v1beta1.KubeFedConfig))
}
