package propagation

import (
	"fmt"

	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// Indexes of KubeFedClusters.
const (
	byTenant        = "tenant"
	byUnitNamespace = "unit-namespace"
)

// Clusters are the KubeFedClusters that an informer caches, found by whose they are: there may be
// thousands of other tenants, and one for each cell.
type Clusters struct {
	namespace string
	indexer   cache.Indexer
}

// NewClusters reads the KubeFedClusters of the system namespace. Indexes are added to the
// informer, which costs least before it is started.
func NewClusters(informer cache.SharedIndexInformer, systemNamespace string) (*Clusters, error) {
	err := informer.AddIndexers(cache.Indexers{
		byTenant: func(object any) ([]string, error) {
			if cluster := object.(*v1beta1.KubeFedCluster); !isUnit(cluster) {
				return []string{tenancy.Of(cluster.Labels).String()}, nil
			}
			return nil, nil
		},
		byUnitNamespace: func(object any) ([]string, error) {
			if cluster := object.(*v1beta1.KubeFedCluster); isUnit(cluster) {
				return []string{cluster.Labels[federationv1alpha1.TopologyNamespaceLabel]}, nil
			}
			return nil, nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("index clusters: %w", err)
	}
	return &Clusters{namespace: systemNamespace, indexer: informer.GetIndexer()}, nil
}

// Get returns nil if there is no KubeFedCluster of that name.
func (c *Clusters) Get(name string) (*v1beta1.KubeFedCluster, error) {
	object, exists, err := c.indexer.GetByKey(cache.NewObjectName(c.namespace, name).String())
	if err != nil || !exists {
		return nil, err
	}
	return object.(*v1beta1.KubeFedCluster), nil
}

// ofTenant lists the whole clusters of a tenant.
func (c *Clusters) ofTenant(tenant tenancy.Tenant) ([]*v1beta1.KubeFedCluster, error) {
	return c.indexed(byTenant, tenant.String())
}

// ofUnits lists the clusters that cells and edge units of a namespace appear as.
func (c *Clusters) ofUnits(namespace string) ([]*v1beta1.KubeFedCluster, error) {
	return c.indexed(byUnitNamespace, namespace)
}

func (c *Clusters) indexed(index, value string) ([]*v1beta1.KubeFedCluster, error) {
	objects, err := c.indexer.ByIndex(index, value)
	if err != nil {
		return nil, fmt.Errorf("look for clusters: %w", err)
	}
	clusters := make([]*v1beta1.KubeFedCluster, len(objects))
	for i, object := range objects {
		clusters[i] = object.(*v1beta1.KubeFedCluster)
	}
	return clusters, nil
}

// isUnit reports whether a cell or an edge unit appears as the cluster.
func isUnit(cluster *v1beta1.KubeFedCluster) bool {
	return reach.IsUnit(cluster)
}
