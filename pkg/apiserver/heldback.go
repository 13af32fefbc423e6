package apiserver

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// federatedObjects are those that this server has.
type federatedObjects interface {
	Kinds() []federated.Kind
	Object(ctx context.Context, kind federated.Kind, namespace, name string) (*typesv1beta2.FederatedObject, error)
}

// HeldBack implements proxy.Cells: it looks at the federated object of that name, as it is stored now.
// The controller has read no newer one.
func (c cells) HeldBack(ctx context.Context, namespace, name string, of schema.GroupKind, object string) error {
	if object == "" {
		object = namespace // it lies in itself
	}
	for _, kind := range c.federated().Kinds() {
		if kind.Target.GroupKind() != of || !kind.Namespaced {
			continue
		}
		stored, err := c.federated().Object(ctx, kind, namespace, object)
		if err != nil {
			return err
		}
		if stored == nil {
			continue
		}
		cell, err := c.registry.Cells.Get(genericapirequest.WithNamespace(ctx, namespace), name, fromCache)
		if err != nil {
			return err
		}
		masked, err := isMasked(stored, cell.(*federationv1alpha1.Cell))
		if err != nil || masked {
			why := fmt.Errorf("%s %s/%s does not let cell %q change now: spec.placementMask leaves it out, and it stays as it is", kind.Kind, namespace, object, name)
			if err != nil {
				why = fmt.Errorf("%s %s/%s does not say which cells may change: %w", kind.Kind, namespace, object, err)
			}
			return apierrors.NewForbidden(kind.GroupResource(), object, why)
		}
	}
	return nil
}

// isMasked reports whether what an object has in a cell stays as it is. Its deletion is not masked.
func isMasked(object *typesv1beta2.FederatedObject, cell *federationv1alpha1.Cell) (bool, error) {
	if object.Spec.PlacementMask == nil || object.DeletionTimestamp != nil {
		return false, nil
	}
	mask, err := placement.NewMask(object.Spec.TopologyType, object.Spec.PlacementMask)
	if err != nil {
		return false, err
	}
	candidate := placement.Candidate{Name: cell.Name, Labels: cell.Labels}
	if topology.Base(object.Spec.TopologyType) != typesv1beta2.TopologyCell {
		candidate = placement.Candidate{Name: topology.ClusterName(typesv1beta2.TopologyCell, cell.Namespace, cell.Name), ByNameOnly: true}
	}
	return !mask.Allows(candidate.Name, &candidate), nil
}
