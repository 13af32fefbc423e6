package proxy

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/federation/units"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// CellLookups is what has to be known to say where a cell is. Answers may be some milliseconds old.
type CellLookups interface {
	// StoredCell returns a cell, or an error of the API: NotFound if there is none.
	StoredCell(ctx context.Context, namespace, name string) (*v1alpha1.Cell, error)
	// Tenant returns the tenant of a namespace of the host, or an error while it is not known.
	Tenant(namespace string) (tenancy.Tenant, error)
	// Cluster returns a KubeFedCluster, nil if there is none.
	Cluster(ctx context.Context, name string) (*corev1beta1.KubeFedCluster, error)
	// Page returns who owns the namespaces of that name in members, nil if nobody does.
	Page(ctx context.Context, namespace string) (*v1alpha1.MemberNamespace, error)
}

// Locate returns where a cell is, as Cells.Cell does: only if it may be there by now, whatever was true
// when it was made.
func Locate(ctx context.Context, lookups CellLookups, namespace, name string) (*Cell, error) {
	cell, err := lookups.StoredCell(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	tenant, err := lookups.Tenant(namespace)
	if err != nil {
		return nil, err
	}
	place := units.Place{
		TopologyType: typesv1beta2.TopologyCell, Namespace: namespace, Tenant: tenant, Labels: cell.Labels,
		MemberName: cell.Spec.ClusterName, MemberNamespace: ownership.MemberNamespaceOf(cell.Spec.MemberNamespace, namespace, name),
	}
	if place.Member, err = lookups.Cluster(ctx, place.MemberName); err != nil {
		return nil, err
	}
	page, err := lookups.Page(ctx, place.MemberNamespace)
	if err != nil {
		return nil, err
	}
	owner := ownership.UnitOwner(typesv1beta2.TopologyCell, namespace, name)
	holder, held := ownership.Holder(page, place.MemberName)
	if held && holder != owner {
		place.Holder = &holder
	}
	if _, message := place.Refusal(); message != "" {
		return nil, apierrors.NewForbidden(v1alpha1.Resource("cells/proxy"), name, fmt.Errorf("the cell may not be where it is: %s", message))
	}
	if !held {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("cell %q of namespace %q has no place yet: namespace %q of member %q is not in the book of namespaces as its own", name, namespace, place.MemberNamespace, place.MemberName))
	}
	return &Cell{Member: place.MemberName, MemberNamespace: place.MemberNamespace}, nil
}
