package kubefedcluster

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/stranding"
)

// NewREST returns the storage of KubeFedClusters and of their status. Clusters outside
// of systemNamespace are stored with a warning. agents are counted in tables; nil if this server has no tunnel.
// guard refuses changes of their tenants; nil refuses none.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, systemNamespace string, rules authorizer.Authorizer, agents Agents, guard *stranding.Guard) (*REST, *objectstore.StatusREST, error) {
	strategy := newStrategy(scheme, systemNamespace)
	clusters, status, err := objectstore.New(objectstore.Config{
		Group:          v1beta1.GroupName,
		Plural:         "kubefedclusters",
		Singular:       "kubefedcluster",
		ShortNames:     []string{"kfc"},
		New:            func() runtime.Object { return &v1beta1.KubeFedCluster{} },
		NewList:        func() runtime.Object { return &v1beta1.KubeFedClusterList{} },
		Strategy:       strategy,
		StatusStrategy: newStatusStrategy(strategy, scheme),
		Table: objectstore.Table(
			objectstore.Age[*v1beta1.KubeFedCluster](),
			objectstore.Column[*v1beta1.KubeFedCluster]{Name: "Ready", Description: "Whether the cluster answers.",
				Value: func(c *v1beta1.KubeFedCluster) any { return Ready(&c.Status) }},
			objectstore.Column[*v1beta1.KubeFedCluster]{Name: "Kubernetes-Version", Description: "What the cluster's API server reports.",
				Value: func(c *v1beta1.KubeFedCluster) any { return c.Status.KubernetesVersion }},
			agentsColumn(agents),
			objectstore.Column[*v1beta1.KubeFedCluster]{Name: "Endpoint", Description: "The cluster's API server.", Wide: true,
				Value: func(c *v1beta1.KubeFedCluster) any { return c.Spec.APIEndpoint }},
			objectstore.Column[*v1beta1.KubeFedCluster]{Name: "Topology", Description: "What the cluster stands for, if it is not a member: cell or edgeunit.", Wide: true,
				Value: func(c *v1beta1.KubeFedCluster) any { return c.Labels[federationv1alpha1.TopologyLabel] }},
		),
	}, optsGetter)
	return &REST{clusters, rules, guard}, status, err
}

// Ready returns the status of the Ready condition. A cluster that is Offline or whose
// configuration is malformed has none, and is not ready.
func Ready(status *v1beta1.KubeFedClusterStatus) string {
	ready := ""
	for _, condition := range status.Conditions {
		switch {
		case condition.Type == v1beta1.ClusterReady:
			return string(condition.Status)
		case condition.Status == "True" && condition.Type != v1beta1.ClusterCredentialsExpiring:
			ready = "False"
		}
	}
	return ready
}

// Members answers questions about the members in one namespace.
type Members struct {
	// Getter is the storage of KubeFedClusters.
	Getter rest.Getter
	// Namespace that members are in.
	Namespace string
}

// Member returns a member. The error for one that does not exist is a NotFound.
func (m Members) Member(ctx context.Context, name string) (*v1beta1.KubeFedCluster, error) {
	obj, err := m.Getter.Get(genericapirequest.WithNamespace(ctx, m.Namespace), name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	cluster, ok := obj.(*v1beta1.KubeFedCluster)
	if !ok {
		return nil, fmt.Errorf("get member %q: got a %T", name, obj)
	}
	return cluster, nil
}
