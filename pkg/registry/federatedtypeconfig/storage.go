package federatedtypeconfig

import (
	"context"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

type column = objectstore.Column[*v1beta1.FederatedTypeConfig]

// REST serves FederatedTypeConfigs, with the condition Served as it is now.
type REST struct {
	*objectstore.REST
	served *Served
}

// Watch sends an event too when the condition Served of an object changes.
func (r *REST) Watch(ctx context.Context, options *metainternalversion.ListOptions) (watch.Interface, error) {
	stored, err := r.Store.Watch(ctx, options)
	if err != nil {
		return nil, err
	}
	list := func(ctx context.Context) (*v1beta1.FederatedTypeConfigList, error) {
		all := &metainternalversion.ListOptions{}
		if options != nil {
			all.LabelSelector, all.FieldSelector = options.LabelSelector, options.FieldSelector
		}
		items, err := r.List(ctx, all)
		if err != nil {
			return nil, err
		}
		return items.(*v1beta1.FederatedTypeConfigList), nil
	}
	return watchServed(ctx, stored, r.served, from(options), list), nil
}

// NewREST returns the storage of FederatedTypeConfigs and of their status. Those outside
// of the system namespace are stored with a warning.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, served *Served) (*REST, *objectstore.StatusREST, error) {
	strategy := newStrategy(scheme, served.systemNamespace)
	object, status, err := objectstore.New(objectstore.Config{
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
		Decorator: served.decorate,
	}, optsGetter)
	if err != nil {
		return nil, nil, err
	}
	return &REST{object, served}, status, nil
}
