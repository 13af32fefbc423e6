package book

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	edgelisters "github.com/koinon-io/koinon/pkg/generated/listers/edge/v1alpha1"
	federationlisters "github.com/koinon-io/koinon/pkg/generated/listers/federation/v1alpha1"
)

// HostOwners are the owners in the host.
type HostOwners struct {
	Namespaces corev1listers.NamespaceLister
	Cells      federationlisters.CellLister
	EdgeUnits  edgelisters.EdgeUnitLister
	Kube       kubernetes.Interface
	Koinon     versioned.Interface
}

var _ Owners = HostOwners{}

// Known asks the caches.
func (o HostOwners) Known(owner ownership.Owner, namespace, member string) bool {
	switch owner.Kind {
	case v1alpha1.OwnerNamespace:
		_, err := o.Namespaces.Get(owner.Namespace)
		return err == nil
	case v1alpha1.OwnerCell:
		cell, err := o.Cells.Cells(owner.Namespace).Get(owner.Name)
		return err == nil && sits(owner, namespace, member, cell.Spec.ClusterName, cell.Spec.MemberNamespace)
	default:
		unit, err := o.EdgeUnits.EdgeUnits(owner.Namespace).Get(owner.Name)
		return err == nil && sits(owner, namespace, member, unit.Spec.ClusterName, unit.Spec.MemberNamespace)
	}
}

// Exists asks the API.
func (o HostOwners) Exists(ctx context.Context, owner ownership.Owner, namespace, member string) (exists bool, err error) {
	switch owner.Kind {
	case v1alpha1.OwnerNamespace:
		_, err = o.Kube.CoreV1().Namespaces().Get(ctx, owner.Namespace, metav1.GetOptions{})
		exists = err == nil
	case v1alpha1.OwnerCell:
		cell, getErr := o.Koinon.FederationV1alpha1().Cells(owner.Namespace).Get(ctx, owner.Name, metav1.GetOptions{})
		err = getErr
		exists = err == nil && sits(owner, namespace, member, cell.Spec.ClusterName, cell.Spec.MemberNamespace)
	default:
		unit, getErr := o.Koinon.EdgeV1alpha1().EdgeUnits(owner.Namespace).Get(ctx, owner.Name, metav1.GetOptions{})
		err = getErr
		exists = err == nil && sits(owner, namespace, member, unit.Spec.ClusterName, unit.Spec.MemberNamespace)
	}
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return exists, err
}

// sits reports whether a cell or an edge unit of that spec is where the claim is.
func sits(owner ownership.Owner, namespace, member, clusterName, memberNamespace string) bool {
	return clusterName == member && ownership.MemberNamespaceOf(memberNamespace, owner.Namespace, owner.Name) == namespace
}
