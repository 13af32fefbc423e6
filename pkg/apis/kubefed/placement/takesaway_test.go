package placement

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestWhatAnotherFederatedNamespaceTakesAway(t *testing.T) {
	holders := []Candidate{
		{Name: "m1", Labels: map[string]string{"zone": "a"}},
		{Name: "m2", Labels: map[string]string{"zone": "b"}},
		{Name: "other", Refusal: "is another tenant's"},
		{Name: "c1.shop", ByNameOnly: true},
	}
	in := func(topologyType string, names ...string) Namespace {
		o := &v1beta2.FederatedObject{Spec: v1beta2.FederatedObjectSpec{TopologyType: topologyType, Placement: &v1beta2.Placement{Topologies: []v1beta2.TopologyReference{}}}}
		for _, name := range names {
			o.Spec.Placement.Topologies = append(o.Spec.Placement.Topologies, v1beta2.TopologyReference{Name: name})
		}
		return Namespace{Name: "shop", Federated: o}
	}
	selected := in("cluster")
	selected.Federated.Spec.Placement = &v1beta2.Placement{TopologySelector: &metav1.LabelSelector{MatchLabels: map[string]string{"zone": "a"}}}
	deleted := in("cluster", "m1", "m2")
	deleted.Federated.DeletionTimestamp = &metav1.Time{}
	none := Namespace{Name: "shop"}
	for name, c := range map[string]struct {
		topologyType  string
		before, after Namespace
		want          []string
	}{
		"a first one, where it does not go":      {"cluster", none, in("cluster", "m1"), []string{"m2"}},
		"a first one that goes nowhere":          {"cluster", none, in("cluster"), []string{"m1", "m2"}},
		"a first one by labels":                  {"cluster", none, selected, []string{"m2"}},
		"one that is narrowed":                   {"cluster", in("", "m1", "m2"), in("", "m2"), []string{"m1"}},
		"one that goes elsewhere":                {"cluster", in("cluster", "m1"), in("cluster", "m2"), []string{"m1"}},
		"one that did not go there before":       {"cluster", in("cluster", "m1"), in("cluster", "m1"), nil},
		"one that is widened":                    {"cluster", in("cluster", "m1"), in("cluster", "m1", "m2"), nil},
		"of objects that are placed by zones":    {"cluster:zone", none, in("cluster", "m1"), []string{"m2"}},
		"one in zones":                           {"cluster", none, in("cluster:zone", "b"), []string{"m1"}},
		"one in cells says nothing of clusters":  {"cluster", none, in("cell"), nil},
		"one in clusters says nothing of cells":  {"cell", none, in("cluster"), nil},
		"one in cells, of cells":                 {"cell", none, in("cell", "m1"), []string{"m2"}},
		"one that is gone narrows no more":       {"cluster", in("cluster", "m1"), none, nil},
		"one that is being deleted says nothing": {"cluster", deleted, in("cluster", "m1"), []string{"m2"}},
	} {
		t.Run(name, func(t *testing.T) {
			left, err := TakesAway(c.topologyType, holders, c.before, c.after)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, l := range left {
				names = append(names, l.Name)
			}
			if diff := cmp.Diff(c.want, names); diff != "" {
				t.Errorf("taken away from (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := TakesAway("cluster", holders, none, Namespace{Unknown: true}); !errors.Is(err, ErrNamespaceUnknown) {
		t.Errorf("where it is not known: got %v", err)
	}
}

func TestWhereAnObjectIsHeld(t *testing.T) {
	o := &v1beta2.FederatedObject{Spec: v1beta2.FederatedObjectSpec{TopologyType: "cell:zone"}, Status: &v1beta2.FederatedObjectStatus{Targets: []v1beta2.TargetStatus{
		{Name: "written", Hash: "h"}, {Name: "under way", State: v1beta2.TargetPending}, {Name: "refused", State: v1beta2.TargetNotFound},
		{Name: "moved", State: v1beta2.TargetNotFound, Former: []v1beta2.FormerPlace{{Cluster: "m1", Hash: "h"}}},
		{Name: "gone", Former: []v1beta2.FormerPlace{{Cluster: "m1"}}},
	}}}
	if got, want := HeldIn(o, "cell"), []string{"written", "under way", "moved"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := HeldIn(o, "cluster"); got != nil {
		t.Errorf("as an object of clusters: got %q, want none", got)
	}
	o.DeletionTimestamp = &metav1.Time{}
	if got := HeldIn(o, "cell"); got != nil {
		t.Errorf("being deleted: got %q, want none", got)
	}
}
