package cell

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/seats"
)

type column = objectstore.Column[*v1alpha1.Cell]

// NewREST returns the storage of Cells and of their status. The cells take
// their seats in the book.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, book *seats.Book) (*seats.REST, *objectstore.StatusREST, error) {
	object, status, err := objectstore.New(objectstore.Config{
		Group:          v1alpha1.GroupName,
		Plural:         "cells",
		Singular:       "cell",
		New:            func() runtime.Object { return &v1alpha1.Cell{} },
		NewList:        func() runtime.Object { return &v1alpha1.CellList{} },
		Strategy:       newStrategy(scheme, book),
		StatusStrategy: newStatusStrategy(scheme),
		Table: objectstore.Table(
			column{Name: "Cluster", Description: "The member that the cell is in.",
				Value: func(c *v1alpha1.Cell) any { return c.Spec.ClusterName }},
			column{Name: "Member-Namespace", Description: "The cell's namespace in the member.",
				Value: func(c *v1alpha1.Cell) any { return c.Spec.MemberNamespace }},
			column{Name: "Ready", Description: "Whether the member is there and ready.",
				Value: func(c *v1alpha1.Cell) any {
					return objectstore.ConditionStatus(c.Status.Conditions, v1alpha1.CellReady)
				}},
			objectstore.Age[*v1alpha1.Cell](),
			column{Name: "KubeFedCluster", Description: "The cluster that the cell appears as.", Wide: true,
				Value: func(c *v1alpha1.Cell) any { return c.Status.KubeFedCluster }},
		),
	}, optsGetter)
	if err != nil {
		return nil, nil, err
	}
	return seats.NewREST(object, book, v1alpha1.SchemeGroupVersion.WithKind("Cell").GroupKind(), holder), status, nil
}
