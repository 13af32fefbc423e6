package cells

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	edgeclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/edge/v1alpha1"
	federationclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/federation/v1alpha1"
	edgelisters "github.com/koinon-io/koinon/pkg/generated/listers/edge/v1alpha1"
	federationlisters "github.com/koinon-io/koinon/pkg/generated/listers/federation/v1alpha1"
)

// Cells is the Kind of Cell.
type Cells struct {
	Lister federationlisters.CellLister
	Client federationclient.CellsGetter
}

var _ Kind = Cells{}

// TopologyType is cell.
func (Cells) TopologyType() string { return v1beta2.TopologyCell }

// List reads the cache.
func (c Cells) List(namespace string) ([]Unit, error) {
	cells, err := c.list(namespace)
	units := make([]Unit, 0, len(cells))
	for _, cell := range cells {
		units = append(units, fromCell(cell))
	}
	return units, err
}

func (c Cells) list(namespace string) ([]*federationv1alpha1.Cell, error) {
	if namespace == "" {
		return c.Lister.List(labels.Everything())
	}
	return c.Lister.Cells(namespace).List(labels.Everything())
}

// Get reads the cache.
func (c Cells) Get(namespace, name string) (*Unit, error) {
	cell, err := c.Lister.Cells(namespace).Get(name)
	if err != nil {
		return nil, err
	}
	unit := fromCell(cell)
	return &unit, nil
}

// PatchMeta patches the Cell.
func (c Cells) PatchMeta(ctx context.Context, namespace, name string, patch []byte) error {
	_, err := c.Client.Cells(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// PatchStatus patches the Cell's status.
func (c Cells) PatchStatus(ctx context.Context, namespace, name string, patch []byte) error {
	_, err := c.Client.Cells(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

func fromCell(cell *federationv1alpha1.Cell) Unit {
	u := fromMeta(v1beta2.TopologyCell, &cell.ObjectMeta)
	u.Member, u.MemberNamespace = cell.Spec.ClusterName, cell.Spec.MemberNamespace
	u.Conditions, u.Observed, u.Cluster = cell.Status.Conditions, cell.Status.ObservedGeneration, cell.Status.KubeFedCluster
	return u
}

// EdgeUnits is the Kind of EdgeUnit.
type EdgeUnits struct {
	Lister edgelisters.EdgeUnitLister
	Client edgeclient.EdgeUnitsGetter
}

var _ Kind = EdgeUnits{}

// TopologyType is edgeunit.
func (EdgeUnits) TopologyType() string { return v1beta2.TopologyEdgeUnit }

// List reads the cache.
func (e EdgeUnits) List(namespace string) ([]Unit, error) {
	list, err := e.list(namespace)
	units := make([]Unit, 0, len(list))
	for _, unit := range list {
		units = append(units, fromEdgeUnit(unit))
	}
	return units, err
}

func (e EdgeUnits) list(namespace string) ([]*edgev1alpha1.EdgeUnit, error) {
	if namespace == "" {
		return e.Lister.List(labels.Everything())
	}
	return e.Lister.EdgeUnits(namespace).List(labels.Everything())
}

// Get reads the cache.
func (e EdgeUnits) Get(namespace, name string) (*Unit, error) {
	edgeUnit, err := e.Lister.EdgeUnits(namespace).Get(name)
	if err != nil {
		return nil, err
	}
	unit := fromEdgeUnit(edgeUnit)
	return &unit, nil
}

// PatchMeta patches the EdgeUnit.
func (e EdgeUnits) PatchMeta(ctx context.Context, namespace, name string, patch []byte) error {
	_, err := e.Client.EdgeUnits(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// PatchStatus patches the EdgeUnit's status.
func (e EdgeUnits) PatchStatus(ctx context.Context, namespace, name string, patch []byte) error {
	_, err := e.Client.EdgeUnits(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

func fromEdgeUnit(unit *edgev1alpha1.EdgeUnit) Unit {
	u := fromMeta(v1beta2.TopologyEdgeUnit, &unit.ObjectMeta)
	u.Member, u.MemberNamespace = unit.Spec.ClusterName, unit.Spec.MemberNamespace
	u.Conditions, u.Observed, u.Cluster = unit.Status.Conditions, unit.Status.ObservedGeneration, unit.Status.KubeFedCluster
	return u
}

func fromMeta(topologyType string, m *metav1.ObjectMeta) Unit {
	return Unit{
		TopologyType:    topologyType,
		Namespace:       m.Namespace,
		Name:            m.Name,
		ResourceVersion: m.ResourceVersion,
		Generation:      m.Generation,
		Deleting:        m.DeletionTimestamp != nil,
		Finalizers:      m.Finalizers,
		Labels:          m.Labels,
		Created:         m.CreationTimestamp.Time,
	}
}
