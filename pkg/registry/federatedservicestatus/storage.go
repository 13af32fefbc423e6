package federatedservicestatus

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/computed"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

// NewREST returns the storage of FederatedServiceStatuses.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, view computed.View) (*computed.REST[*v1alpha1.FederatedServiceStatus], error) {
	stored, _, err := objectstore.New(objectstore.Config{
		Group:    v1alpha1.GroupName,
		Plural:   "federatedservicestatuses",
		Singular: "federatedservicestatus",
		New:      func() runtime.Object { return &v1alpha1.FederatedServiceStatus{} },
		NewList:  func() runtime.Object { return &v1alpha1.FederatedServiceStatusList{} },
		Strategy: newStrategy(scheme),
		Table: objectstore.Table(
			objectstore.Column[*v1alpha1.FederatedServiceStatus]{Name: "Clusters", Type: "integer", Description: "How many clusters have a status.",
				Value: func(s *v1alpha1.FederatedServiceStatus) any { return int64(len(s.ClusterStatus)) }},
			objectstore.Age[*v1alpha1.FederatedServiceStatus](),
		),
	}, optsGetter)
	if err != nil {
		return nil, err
	}
	return computed.New(stored, computed.Kind[*v1alpha1.FederatedServiceStatus]{
		New: func() *v1alpha1.FederatedServiceStatus { return &v1alpha1.FederatedServiceStatus{} }, Scope: objectstore.Namespaced,
		Covers:   isService,
		NameOf:   sameName,
		ObjectOf: sameName,
		Has:      hasStatus,
		Of:       statusOf,
	}, view), nil
}
