package cell

import (
	"context"
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
	"github.com/koinon-io/koinon/pkg/registry/seats"
)

// objects are FederatedConfigMaps; the namespace ending is being deleted, and nobody knows of broken.
type objects []*v1beta2.FederatedObject

func (o objects) Kinds() []federated.Kind {
	return []federated.Kind{{Resource: "federatedconfigmaps", Namespaced: true}, {Resource: "federatedclusterroles"}}
}

func (o objects) Objects(_ context.Context, kind federated.Kind, _ string, visit func(*v1beta2.FederatedObject) error) error {
	if !kind.Namespaced {
		return errors.New("what lies in no namespace is in no cell")
	}
	for _, object := range o {
		if err := visit(object); err != nil {
			return err
		}
	}
	return nil
}

func (o objects) IsEnding(_ context.Context, name string) (bool, error) {
	if name == "broken" {
		return false, errors.New("no answer")
	}
	return name == "ending", nil
}

func in(name, topologyType string, target v1beta2.TargetStatus) *v1beta2.FederatedObject {
	return &v1beta2.FederatedObject{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: v1beta2.FederatedObjectSpec{TopologyType: topologyType},
		Status: &v1beta2.FederatedObjectStatus{Targets: []v1beta2.TargetStatus{target}},
	}
}

func TestACellIsDeletedOnlyIfNothingIsInIt(t *testing.T) {
	written := v1beta2.TargetStatus{Name: "rz00a", Hash: "h", State: v1beta2.TargetMasked}
	many := objects{}
	for i := range 12 {
		many = append(many, in(fmt.Sprintf("o%02d", i), v1beta2.TopologyCell, written))
	}
	const wayOut = ` in it: take the cell out of their placement, or set spec.deletionPolicy to Drain, which has them removed from member "m1" first`
	for name, test := range map[string]struct {
		objects objects
		cell    func(*v1alpha1.Cell)
		other   bool
		want    string
	}{
		"one object": {objects: objects{in("web", v1beta2.TopologyCell, written)}, want: "the federated object federatedconfigmaps/web is" + wayOut},
		"many": {objects: many, want: "12 federated objects (federatedconfigmaps/o00, federatedconfigmaps/o01, federatedconfigmaps/o02, federatedconfigmaps/o03, federatedconfigmaps/o04, " +
			"federatedconfigmaps/o05, federatedconfigmaps/o06, federatedconfigmaps/o07, federatedconfigmaps/o08, federatedconfigmaps/o09 and 2 more) are" + wayOut},
		"one that has moved, and left something": {
			objects: objects{in("web", v1beta2.TopologyCell, v1beta2.TargetStatus{Name: "rz00a", State: v1beta2.TargetPending, Former: []v1beta2.FormerPlace{{Hash: "h"}}})},
			want:    "the federated object federatedconfigmaps/web is" + wayOut},
		"one that names the cluster of the cell": {
			objects: objects{in("web", "", v1beta2.TargetStatus{Name: "rz00a.shop", Hash: "h"})}, want: "the federated object federatedconfigmaps/web is" + wayOut},
		"one that is placed by groups of cells": {
			objects: objects{in("web", "cell:zone", written)}, want: "the federated object federatedconfigmaps/web is" + wayOut},
		"a cluster of that name":                 {objects: objects{in("web", "", written)}},
		"the cell of another namespace":          {objects: objects{in("web", "", v1beta2.TargetStatus{Name: "rz00a.bank", Hash: "h"})}},
		"another cell":                           {objects: objects{in("web", v1beta2.TopologyCell, v1beta2.TargetStatus{Name: "rz01a", Hash: "h"})}},
		"nothing was written yet":                {objects: objects{in("web", v1beta2.TopologyCell, v1beta2.TargetStatus{Name: "rz00a", State: v1beta2.TargetPending})}},
		"it is to be drained":                    {objects: many, cell: func(c *v1alpha1.Cell) { c.Spec.DeletionPolicy = v1alpha1.DeletionDrains }},
		"it is being deleted already":            {objects: many, cell: func(c *v1alpha1.Cell) { c.DeletionTimestamp = &metav1.Time{} }},
		"its namespace is being deleted":         {objects: many, cell: func(c *v1alpha1.Cell) { c.Namespace = "ending" }},
		"another engine propagates":              {objects: many, other: true},
		"nobody knows what becomes of namespace": {objects: many, cell: func(c *v1alpha1.Cell) { c.Namespace = "broken" }, want: `Internal error occurred: look for federated objects in cell "rz00a": no answer`},
	} {
		t.Run(name, func(t *testing.T) {
			cell := stored()
			if test.cell != nil {
				test.cell(cell)
			}
			store := &objectstore.REST{Store: &genericregistry.Store{DefaultQualifiedResource: v1alpha1.Resource("cells")}}
			r := &REST{&seats.REST{REST: store}, Deletions{test.objects, test.objects, func(context.Context) bool { return test.other }}}
			err := r.empty(func(context.Context, runtime.Object) error { return nil })(t.Context(), cell)
			if test.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			want := test.want
			if cell.Namespace != "broken" {
				want = `Operation cannot be fulfilled on cells.federation.koinon.io "rz00a": ` + want
			}
			if err == nil || err.Error() != want || cell.Namespace != "broken" && !apierrors.IsConflict(err) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}
