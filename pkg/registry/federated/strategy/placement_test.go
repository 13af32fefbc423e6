package strategy

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// fleet has the clusters m1 and m2, and m3 of tenant a.
type fleet struct{ asked int }

func (*fleet) ClusterLabels(_ context.Context, name string) (map[string]string, bool, error) {
	switch name {
	case "m1", "m2":
		return nil, true, nil
	case "m3":
		return map[string]string{federationv1alpha1.TenantLabel: "a"}, true, nil
	}
	return nil, false, nil
}

func (*fleet) Exists(context.Context, string, string, string) (bool, error) { return true, nil }

func (f *fleet) NamespaceLabels(_ context.Context, name string) (map[string]string, error) {
	f.asked++
	if name == "" {
		return nil, errors.New("resource name may not be empty")
	}
	return nil, nil
}

func placed(namespace string, names ...string) *typesv1beta2.FederatedObject {
	o := newOf(federated.Kind{Kind: "FederatedThing"})
	o.Namespace = namespace
	o.Spec.TopologyType = typesv1beta2.TopologyCluster
	o.Spec.Placement = &typesv1beta2.Placement{}
	for _, name := range names {
		o.Spec.Placement.Topologies = append(o.Spec.Placement.Topologies, typesv1beta2.TopologyReference{Name: name})
	}
	return o
}

func TestObjectsWithoutNamespaceArePlacedInClustersWithoutTenant(t *testing.T) {
	checker := NewPlacementChecker(&fleet{})
	if errs, _ := checker.CheckPlacement(t.Context(), placed("", "m1", "m2"), "v1beta2"); len(errs) > 0 {
		t.Errorf("got %v, want none", errs)
	}
	errs, _ := checker.CheckPlacement(t.Context(), placed("", "m1", "m3"), "v1beta2")
	var paths []string
	for _, e := range errs {
		paths = append(paths, e.Field)
	}
	if diff := cmp.Diff([]string{"spec.placement.topologies[1].name"}, paths); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

func TestTheHostIsAskedOncePerPlacement(t *testing.T) {
	f := &fleet{}
	NewPlacementChecker(f).CheckPlacement(t.Context(), placed("shop", "m1", "m2", "m1"), "v1beta2")
	if f.asked != 1 {
		t.Errorf("the labels of the namespace were asked for %d times, want once", f.asked)
	}
}
