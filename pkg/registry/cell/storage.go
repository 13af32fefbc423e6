package cell

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/seats"
)

type column = objectstore.Column[*v1alpha1.Cell]

// NewREST returns the storage of Cells and of their status. The cells take
// their seats in the book.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, book *seats.Book, deletions Deletions) (*REST, *objectstore.StatusREST, error) {
	object, status, err := objectstore.New(objectstore.Config{
		Group:          v1alpha1.GroupName,
		Plural:         "cells",
		Singular:       "cell",
		New:            func() runtime.Object { return &v1alpha1.Cell{} },
		NewList:        func() runtime.Object { return &v1alpha1.CellList{} },
		Strategy:       newStrategy(scheme, book),
		StatusStrategy: newStatusStrategy(scheme),
		Table: objectstore.Table(
			column{Name: "Member", Description: "The member that the cell is in.",
				Value: func(c *v1alpha1.Cell) any { return c.Spec.ClusterName }},
			column{Name: "Namespace", Description: "The cell's namespace in the member.",
				Value: func(c *v1alpha1.Cell) any { return c.Spec.MemberNamespace }},
			column{Name: "Health", Description: "Why the cell is not ready, else how the worst of its objects is.",
				Value: func(c *v1alpha1.Cell) any { return healthOf(c) }},
			column{Name: "Objects", Description: "How many federated objects are in the cell, or are to be.",
				Value: counted(func(o *v1alpha1.CellObjects) int32 { return o.Total })},
			column{Name: "Out-Of-Date", Description: "Of how many of them the cell does not run what the spec says, or has copies in a place that it left.",
				Value: counted(func(o *v1alpha1.CellObjects) int32 { return o.OutOfDate })},
			column{Name: "Ready", Description: "Whether the member is there and ready.", Wide: true,
				Value: func(c *v1alpha1.Cell) any {
					return objectstore.ConditionStatus(c.Status.Conditions, v1alpha1.CellReady)
				}},
			objectstore.Age[*v1alpha1.Cell](),
			column{Name: "Moving", Description: "Whether objects are in a place that the cell has left, and why they are still there: see the condition Moving.", Wide: true,
				Value: func(c *v1alpha1.Cell) any { return movingOf(c) }},
			column{Name: "KubeFedCluster", Description: "The cluster that the cell appears as.", Wide: true,
				Value: func(c *v1alpha1.Cell) any { return c.Status.KubeFedCluster }},
		),
	}, optsGetter)
	if err != nil {
		return nil, nil, err
	}
	seated := seats.NewREST(object, book, v1alpha1.SchemeGroupVersion.WithKind("Cell").GroupKind(), holder)
	return &REST{seated, deletions}, status, nil
}

// movingOf is why objects are in a place still that a cell has left, in a word; empty if none are.
func movingOf(c *v1alpha1.Cell) string {
	if moving := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.CellMoving); moving != nil && moving.Status == metav1.ConditionTrue {
		return moving.Reason
	}
	return ""
}

// healthOf is why a cell is not ready, in a word, else how the worst of its objects is.
func healthOf(c *v1alpha1.Cell) string {
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.CellReady)
	switch {
	case ready == nil:
		return string(v1beta2.HealthUnknown)
	case ready.Status != metav1.ConditionTrue:
		return ready.Reason
	case c.Status.Objects == nil || c.Status.Objects.Health == "":
		return string(v1beta2.HealthHealthy) // nothing in it is not well
	}
	return c.Status.Objects.Health
}

// counted is a number of the objects of a cell, if they were counted.
func counted(number func(*v1alpha1.CellObjects) int32) func(*v1alpha1.Cell) any {
	return func(c *v1alpha1.Cell) any {
		if c.Status.Objects == nil {
			return "<unknown>"
		}
		return fmt.Sprint(number(c.Status.Objects))
	}
}
