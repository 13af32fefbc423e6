package edgeunit

import (
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/seats"
)

type column = objectstore.Column[*v1alpha1.EdgeUnit]

// NewREST returns the storage of EdgeUnits and of their status. The edge units take
// their seats in the book.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, book *seats.Book) (*seats.REST, *objectstore.StatusREST, error) {
	object, status, err := objectstore.New(objectstore.Config{
		Group:          v1alpha1.GroupName,
		Plural:         "edgeunits",
		Singular:       "edgeunit",
		ShortNames:     []string{"eu"},
		New:            func() runtime.Object { return &v1alpha1.EdgeUnit{} },
		NewList:        func() runtime.Object { return &v1alpha1.EdgeUnitList{} },
		Strategy:       newStrategy(scheme, book),
		StatusStrategy: newStatusStrategy(scheme),
		Table: objectstore.Table(
			column{Name: "Cluster", Description: "The member that the edge unit is in.",
				Value: func(u *v1alpha1.EdgeUnit) any { return u.Spec.ClusterName }},
			column{Name: "Member-Namespace", Description: "The edge unit's namespace in the member.",
				Value: func(u *v1alpha1.EdgeUnit) any { return u.Spec.MemberNamespace }},
			column{Name: "Ready", Description: "Whether the member is there and ready.",
				Value: func(u *v1alpha1.EdgeUnit) any {
					return objectstore.ConditionStatus(u.Status.Conditions, federationv1alpha1.CellReady)
				}},
			objectstore.Age[*v1alpha1.EdgeUnit](),
			column{Name: "Nodes", Description: "The labels of the edge unit's nodes.", Wide: true,
				Value: func(u *v1alpha1.EdgeUnit) any { return labels.FormatLabels(u.Spec.NodeSelector) }},
			column{Name: "KubeFedCluster", Description: "The cluster that the edge unit appears as.", Wide: true,
				Value: func(u *v1alpha1.EdgeUnit) any { return u.Status.KubeFedCluster }},
		),
	}, optsGetter)
	if err != nil {
		return nil, nil, err
	}
	return seats.NewREST(object, book, v1alpha1.SchemeGroupVersion.WithKind("EdgeUnit").GroupKind(), holder), status, nil
}
