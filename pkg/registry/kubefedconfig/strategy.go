// Package kubefedconfig is the REST storage of KubeFedConfigs.
package kubefedconfig

import (
	"context"
	"fmt"

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
	// systemNamespace is where controllers look for the KubeFedConfig.
	systemNamespace string
}

func newStrategy(scheme *runtime.Scheme, systemNamespace string) strategy {
	return strategy{objectstore.NewBase(scheme, objectstore.Namespaced, v1beta1.SchemeGroupVersion), systemNamespace}
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

// WarningsOnCreate tells about a KubeFedConfig that nobody looks at.
func (s strategy) WarningsOnCreate(_ context.Context, obj runtime.Object) []string {
	config := obj.(*v1beta1.KubeFedConfig)
	if config.Namespace == s.systemNamespace && config.Name == v1beta1.KubeFedConfigName {
		return nil
	}
	return []string{fmt.Sprintf("metadata.name: only the KubeFedConfig %s of namespace %s is used; this one is kept and not used",
		v1beta1.KubeFedConfigName, s.systemNamespace)}
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.KubeFedConfigUpdate(obj.(*v1beta1.KubeFedConfig), old.(*v1beta1.KubeFedConfig))
}
