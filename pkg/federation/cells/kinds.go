package cells

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	edgeclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/edge/v1alpha1"
	federationclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/federation/v1alpha1"
)

// Indexes of units. The values of byPlace are made by place.
const (
	byNamespace = cache.NamespaceIndex
	byMember    = "member"
	byPlace     = "place"
)

// place is a namespace of a member, as byPlace knows it. No name holds a slash.
func place(member, memberNamespace string) string { return member + "/" + memberNamespace }

// Units is the Kind of the units that an informer caches.
type Units struct {
	topologyType string
	resource     schema.GroupResource
	indexer      cache.Indexer
	// unit reads what the informer holds.
	unit  func(object any) Unit
	get   func(ctx context.Context, namespace, name string) error
	patch func(ctx context.Context, namespace, name string, patch []byte, subresources ...string) (metav1.Object, error)
}

var _ Kind = &Units{}

// NewCells is the Kind of Cell. The informer is one that a generated factory made; indexes
// are added to it, which costs least before it is started.
func NewCells(informer cache.SharedIndexInformer, client federationclient.CellsGetter) (*Units, error) {
	return newUnits(informer, Units{
		topologyType: v1beta2.TopologyCell,
		resource:     federationv1alpha1.Resource("cells"),
		unit:         func(object any) Unit { return fromCell(object.(*federationv1alpha1.Cell)) },
		get: func(ctx context.Context, namespace, name string) error {
			_, err := client.Cells(namespace).Get(ctx, name, metav1.GetOptions{})
			return err
		},
		patch: func(ctx context.Context, namespace, name string, patch []byte, subresources ...string) (metav1.Object, error) {
			return client.Cells(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, subresources...)
		},
	})
}

// NewEdgeUnits is the Kind of EdgeUnit: see NewCells.
func NewEdgeUnits(informer cache.SharedIndexInformer, client edgeclient.EdgeUnitsGetter) (*Units, error) {
	return newUnits(informer, Units{
		topologyType: v1beta2.TopologyEdgeUnit,
		resource:     edgev1alpha1.Resource("edgeunits"),
		unit:         func(object any) Unit { return fromEdgeUnit(object.(*edgev1alpha1.EdgeUnit)) },
		get: func(ctx context.Context, namespace, name string) error {
			_, err := client.EdgeUnits(namespace).Get(ctx, name, metav1.GetOptions{})
			return err
		},
		patch: func(ctx context.Context, namespace, name string, patch []byte, subresources ...string) (metav1.Object, error) {
			return client.EdgeUnits(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, subresources...)
		},
	})
}

func newUnits(informer cache.SharedIndexInformer, units Units) (*Units, error) {
	units.indexer = informer.GetIndexer()
	indexed := func(value func(Unit) string) cache.IndexFunc {
		return func(object any) ([]string, error) { return []string{value(units.unit(object))}, nil }
	}
	err := informer.AddIndexers(cache.Indexers{
		byMember: indexed(func(u Unit) string { return u.Member }),
		byPlace:  indexed(func(u Unit) string { return place(u.Member, u.memberNamespace()) }),
	})
	if err != nil {
		return nil, fmt.Errorf("index units of topology %s: %w", units.topologyType, err)
	}
	return &units, nil
}

// TopologyType is cell or edgeunit.
func (u *Units) TopologyType() string { return u.topologyType }

// List reads the cache.
func (u *Units) List() []Unit {
	objects := u.indexer.List()
	units := make([]Unit, 0, len(objects))
	for _, object := range objects {
		units = append(units, u.unit(object))
	}
	return units
}

// Indexed reads the cache.
func (u *Units) Indexed(index, value string) ([]cache.ObjectName, error) {
	keys, err := u.indexer.IndexKeys(index, value)
	if err != nil {
		return nil, fmt.Errorf("look for units of topology %s: %w", u.topologyType, err)
	}
	names := make([]cache.ObjectName, 0, len(keys))
	for _, key := range keys {
		name, err := cache.ParseObjectName(key)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// Get reads the cache.
func (u *Units) Get(namespace, name string) (*Unit, error) {
	object, found, err := u.indexer.GetByKey(cache.NewObjectName(namespace, name).String())
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, apierrors.NewNotFound(u.resource, name)
	}
	unit := u.unit(object)
	return &unit, nil
}

// Known reads the cache.
func (u *Units) Known(namespace, name string) bool {
	_, found, err := u.indexer.GetByKey(cache.NewObjectName(namespace, name).String())
	return err == nil && found
}

// Exists asks the API.
func (u *Units) Exists(ctx context.Context, namespace, name string) (bool, error) {
	err := u.get(ctx, namespace, name)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Patch patches the unit, or a subresource of it.
func (u *Units) Patch(ctx context.Context, namespace, name string, patch []byte, subresources ...string) (resourceVersion string, err error) {
	stored, err := u.patch(ctx, namespace, name, patch, subresources...)
	if err != nil {
		return "", err
	}
	return stored.GetResourceVersion(), nil
}

func fromCell(cell *federationv1alpha1.Cell) Unit {
	u := fromMeta(v1beta2.TopologyCell, &cell.ObjectMeta)
	u.Member, u.MemberNamespace = cell.Spec.ClusterName, cell.Spec.MemberNamespace
	u.Conditions, u.Observed, u.Cluster = cell.Status.Conditions, cell.Status.ObservedGeneration, cell.Status.KubeFedCluster
	u.Objects = cell.Status.Objects
	return u
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
