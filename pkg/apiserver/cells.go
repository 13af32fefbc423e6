package apiserver

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/federation/units"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
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

var _ proxy.Cells = cells{}

// Cell implements proxy.Cells.
func (c cells) Cell(ctx context.Context, namespace, name string) (*proxy.Cell, error) {
	obj, err := c.registry.Cells.Get(genericapirequest.WithNamespace(ctx, namespace), name, fromCache)
	if err != nil {
		return nil, err
	}
	cell, ok := obj.(*federationv1alpha1.Cell)
	if !ok {
		return nil, fmt.Errorf("get cell %s/%s: got a %T", namespace, name, obj)
	}
	tenant, err := c.tenantOf(namespace)
	if err != nil {
		return nil, err
	}
	place := units.Place{
		TopologyType: typesv1beta2.TopologyCell, Namespace: namespace, Tenant: tenant, Labels: cell.Labels,
		MemberName: cell.Spec.ClusterName, MemberNamespace: ownership.MemberNamespaceOf(cell.Spec.MemberNamespace, namespace, name),
	}
	if place.Member, err = c.Cluster(ctx, place.MemberName); err != nil {
		return nil, err
	}
	page, err := c.Page(ctx, place.MemberNamespace)
	if err != nil {
		return nil, err
	}
	owner := ownership.UnitOwner(typesv1beta2.TopologyCell, namespace, name)
	holder, held := ownership.Holder(page, place.MemberName)
	if held && holder != owner {
		place.Holder = &holder
	}
	if _, message := place.Refusal(); message != "" {
		return nil, apierrors.NewForbidden(federationv1alpha1.Resource("cells/proxy"), name, fmt.Errorf("the cell may not be where it is: %s", message))
	}
	if !held {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("cell %q of namespace %q has no place yet: namespace %q of member %q is not in the book of namespaces as its own", name, namespace, place.MemberNamespace, place.MemberName))
	}
	return &proxy.Cell{Member: place.MemberName, MemberNamespace: place.MemberNamespace}, nil
}
