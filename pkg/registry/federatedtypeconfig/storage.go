package federatedtypeconfig

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

type column = objectstore.Column[*v1beta1.FederatedTypeConfig]

// NewREST returns the storage of FederatedTypeConfigs and of their status. Those outside
// of systemNamespace are stored with a warning.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, systemNamespace string) (*objectstore.REST, *objectstore.StatusREST, error) {
	strategy := newStrategy(scheme, systemNamespace)
	return objectstore.New(objectstore.Config{
		Group:          v1beta1.GroupName,
		Plural:         "federatedtypeconfigs",
		Singular:       "federatedtypeconfig",
		ShortNames:     []string{"ftc"},
		New:            func() runtime.Object { return &v1beta1.FederatedTypeConfig{} },
		NewList:        func() runtime.Object { return &v1beta1.FederatedTypeConfigList{} },
		Strategy:       strategy,
		StatusStrategy: newStatusStrategy(strategy, scheme),
		Table: objectstore.Table(
			column{Name: "Federated-Kind", Description: "The kind that is served.",
				Value: func(c *v1beta1.FederatedTypeConfig) any { return c.Spec.FederatedType.Kind }},
			column{Name: "Propagation", Description: "Whether objects are written to members.",
				Value: func(c *v1beta1.FederatedTypeConfig) any { return string(c.Spec.Propagation) }},
			column{Name: "Served", Description: "Whether the kind is served.",
				Value: func(c *v1beta1.FederatedTypeConfig) any {
					return objectstore.ConditionStatus(c.Status.Conditions, v1beta1.TypeServed)
				}},
			objectstore.Age[*v1beta1.FederatedTypeConfig](),
			column{Name: "Target-Version", Description: "The version of the target kind.", Wide: true,
				Value: func(c *v1beta1.FederatedTypeConfig) any { return c.Spec.TargetType.Version }},
			column{Name: "Scope", Description: "The scope of the federated kind.", Wide: true,
				Value: func(c *v1beta1.FederatedTypeConfig) any { return string(c.Spec.FederatedType.Scope) }},
			column{Name: "Controller", Description: "Whether KubeFed's propagation controller runs for the kind.", Wide: true,
				Value: func(c *v1beta1.FederatedTypeConfig) any { return string(c.Status.PropagationController) }},
		),
	}, optsGetter)
}
