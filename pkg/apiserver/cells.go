package apiserver

import (
	"context"
	"fmt"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/proxy"
)

// cells says where cells are, for their endpoints. The guard is asked at every request: what a cell
// may not have is not shown either.
type cells struct {
	targets
	// tenantOf returns the tenant of a namespace of the host.
	tenantOf func(namespace string) (tenancy.Tenant, error)
	*cellTokens
	// federated returns the federated objects, once there are requests.
	federated func() federatedObjects
}

var (
	_ proxy.Cells       = cells{}
	_ proxy.CellLookups = cells{}
)

// Cell implements proxy.Cells.
func (c cells) Cell(ctx context.Context, namespace, name string) (*proxy.Cell, error) {
	return proxy.Locate(ctx, c, namespace, name)
}

// Tenant implements proxy.CellLookups.
func (c cells) Tenant(namespace string) (tenancy.Tenant, error) { return c.tenantOf(namespace) }

// StoredCell implements proxy.CellLookups.
func (c cells) StoredCell(ctx context.Context, namespace, name string) (*federationv1alpha1.Cell, error) {
	obj, err := c.registry.Cells.Get(genericapirequest.WithNamespace(ctx, namespace), name, fromCache)
	if err != nil {
		return nil, err
	}
	cell, ok := obj.(*federationv1alpha1.Cell)
	if !ok {
		return nil, fmt.Errorf("get cell %s/%s: got a %T", namespace, name, obj)
	}
	return cell, nil
}
