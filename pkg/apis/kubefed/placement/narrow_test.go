package placement

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// federatedNamespace is the FederatedNamespace of shop.
func federatedNamespace(topologyType string, placement, mask *v1beta2.Placement) *v1beta2.FederatedObject {
	return &v1beta2.FederatedObject{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"},
		Spec:       v1beta2.FederatedObjectSpec{TopologyType: topologyType, Placement: placement, PlacementMask: mask},
	}
}

func beingDeleted(f *v1beta2.FederatedObject) *v1beta2.FederatedObject {
	f.DeletionTimestamp = &metav1.Time{}
	return f
}

func TestNarrow(t *testing.T) {
	candidates := []Candidate{
		{Name: "m1", Member: "m1", Labels: map[string]string{"zone": "a"}},
		{Name: "m2", Member: "m2", Labels: map[string]string{"zone": "b"}},
		{Name: "rz00a.shop", Member: "m1", Namespace: "shop-rz00a", ByNameOnly: true},
		{Name: "m3", Member: "m3", Refusal: `cluster "m3" is not one of no tenant`},
	}
	everywhere, both := selected(), map[string]Disposition{"m1": Placed, "m2": Placed}
	neither := map[string]Disposition{"m1": Outside, "m2": Outside}
	nobodySays := map[string]Disposition{"m1": Unfederated, "m2": Unfederated}
	emptyAndSelector := selected()
	emptyAndSelector.Topologies = []v1beta2.TopologyReference{}
	for name, test := range map[string]struct {
		topologyType    string // default: cluster
		placement, mask *v1beta2.Placement
		namespace       Namespace
		want            map[string]Disposition
		says            string
	}{
		"a namespace that is everywhere narrows nothing":      {namespace: Namespace{Federated: federatedNamespace("", selected(), nil)}, want: both},
		"a namespace that is in some clusters is in no other": {namespace: Namespace{Federated: federatedNamespace("cluster", selected("zone", "a"), nil)}, want: map[string]Disposition{"m1": Placed, "m2": Outside}, says: `the FederatedNamespace of namespace "shop" is not placed in cluster "m2"`},
		"by name too": {namespace: Namespace{Federated: federatedNamespace("", named("m2"), nil)}, want: map[string]Disposition{"m1": Outside, "m2": Placed}},
		"a namespace without placement is nowhere":          {namespace: Namespace{Federated: federatedNamespace("", nil, nil)}, want: neither},
		"so is one with an empty placement":                 {namespace: Namespace{Federated: federatedNamespace("", &v1beta2.Placement{}, nil)}, want: neither},
		"so is one with an empty list":                      {namespace: Namespace{Federated: federatedNamespace("", named(), nil)}, want: neither},
		"so is one with an empty list, whatever it selects": {namespace: Namespace{Federated: federatedNamespace("", emptyAndSelector, nil)}, want: neither},
		"a name that is in the namespace's placement alone is not placed": {
			placement: named("m1"), namespace: Namespace{Federated: federatedNamespace("", named("m1", "m2"), nil)}, want: map[string]Disposition{"m1": Placed}},
		"a namespace that is masked is placed": {namespace: Namespace{Federated: federatedNamespace("", selected(), named())}, want: both},
		"a masked target stays masked where the namespace is": {
			mask: named("m1"), namespace: Namespace{Federated: federatedNamespace("", selected(), nil)}, want: map[string]Disposition{"m1": Placed, "m2": Masked}},
		"a masked target leaves with the namespace, as far as the mask lets it": {
			mask: named("m1"), namespace: Namespace{Federated: federatedNamespace("", named("m1"), nil)}, want: map[string]Disposition{"m1": Placed, "m2": Outside}},
		"what does not exist is not found": {
			placement: named("m1", "m3", "m9"), namespace: Namespace{Federated: federatedNamespace("", named(), nil)},
			want: map[string]Disposition{"m1": Outside, "m3": NotFound, "m9": NotFound}},
		"without a FederatedNamespace nobody says anything": {want: nobodySays, says: `namespace "shop" is not federated: create a FederatedNamespace "shop" in namespace "shop"`},
		"a masked target stays as it is without one":        {mask: named("m1"), want: map[string]Disposition{"m1": Unfederated, "m2": Masked}},
		"one that is being deleted says nothing any more":   {namespace: Namespace{Federated: beingDeleted(federatedNamespace("", selected(), nil))}, want: nobodySays, says: "is being deleted"},
		"one that is placed in cells says nothing of clusters": {
			namespace: Namespace{Federated: federatedNamespace("cell", selected(), nil)}, want: nobodySays, says: `topology type "cell", which says nothing of clusters`},
		"where they are not propagated, that is why": {namespace: Namespace{Off: true}, want: nobodySays, says: `enable the FederatedTypeConfig "namespaces"`},
		"the cluster of a cell is the cell's": {
			placement: named("m1", "rz00a.shop"), namespace: Namespace{Federated: federatedNamespace("", named(), nil)}, want: map[string]Disposition{"m1": Outside, "rz00a.shop": Placed}},
		"the cluster of a cell is the cell's without one too": {
			placement: named("m1", "rz00a.shop"), want: map[string]Disposition{"m1": Unfederated, "rz00a.shop": Placed}},
		"cells are not narrowed without one":           {topologyType: "cell", want: both},
		"cells are not narrowed by clusters":           {topologyType: "cell", namespace: Namespace{Federated: federatedNamespace("cluster", named(), nil)}, want: both},
		"cells are not narrowed by edge units":         {topologyType: "cell", namespace: Namespace{Federated: federatedNamespace("edgeunit", named(), nil)}, want: both},
		"cells are narrowed by cells":                  {topologyType: "cell", namespace: Namespace{Federated: federatedNamespace("cell", named("m2"), nil)}, want: map[string]Disposition{"m1": Outside, "m2": Placed}, says: `is not placed in cell "m1"`},
		"edge units are narrowed by edge units":        {topologyType: "edgeunit", namespace: Namespace{Federated: federatedNamespace("edgeunit", named("m2"), nil)}, want: map[string]Disposition{"m1": Outside, "m2": Placed}},
		"where it is optional, none narrows nothing":   {namespace: Namespace{Optional: true}, want: both},
		"where it is optional, one narrows":            {namespace: Namespace{Optional: true, Federated: federatedNamespace("", named("m2"), nil)}, want: map[string]Disposition{"m1": Outside, "m2": Placed}},
		"where it is optional, one of cells is no one": {namespace: Namespace{Optional: true, Federated: federatedNamespace("cell", named(), nil)}, want: both},
	} {
		t.Run(name, func(t *testing.T) {
			if test.topologyType == "" {
				test.topologyType = v1beta2.TopologyCluster
			}
			if test.placement == nil {
				test.placement = everywhere
			}
			test.namespace.Name = "shop"
			targets, err := Resolve(test.topologyType, test.placement, test.mask, candidates)
			if err != nil {
				t.Fatal(err)
			}
			before := append([]Target(nil), targets...)
			narrowed, err := Narrow(test.topologyType, targets, test.namespace)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, targets); diff != "" {
				t.Errorf("the targets that were given were changed (-want +got):\n%s", diff)
			}
			got, said := map[string]Disposition{}, []string{}
			for _, target := range narrowed {
				got[target.Name] = target.Disposition
				said = append(said, target.Message)
				if left := target.Disposition == Outside || target.Disposition == Unfederated; left && target.Message == "" {
					t.Errorf("target %q is left out and does not say why", target.Name)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
			if all := strings.Join(said, "\n"); !strings.Contains(all, test.says) {
				t.Errorf("got %s, want it to say %s", all, test.says)
			}
		})
	}
}

func TestNarrowDoesNotGuess(t *testing.T) {
	targets := []Target{{Candidate: Candidate{Name: "m1"}}}
	federated := federatedNamespace("", selected(), nil)
	if _, err := Narrow("cluster", targets, Namespace{Name: "shop", Unknown: true, Federated: federated}); !errors.Is(err, ErrNamespaceUnknown) {
		t.Errorf("got %v while the namespace is not known, want %v", err, ErrNamespaceUnknown)
	}
	federated.Spec.Placement = &v1beta2.Placement{TopologySelector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "zone", Operator: "Near"}},
	}}
	if _, err := Narrow("cluster", targets, Namespace{Name: "shop", Federated: federated}); err == nil || !strings.Contains(err.Error(), `FederatedNamespace "shop": spec.placement.topologySelector`) {
		t.Errorf("got %v for a selector that does not parse, want an error that names it", err)
	}
}

func TestResolveSaysWhatIsNamed(t *testing.T) {
	candidates := []Candidate{{Name: "m1"}, {Name: "m2"}}
	for name, test := range map[string]struct {
		placement *v1beta2.Placement
		want      map[string]bool
	}{
		"a list names, even what does not exist": {named("m1", "m9"), map[string]bool{"m1": true, "m9": true}},
		"a selector does not":                    {selected(), map[string]bool{"m1": false, "m2": false}},
	} {
		t.Run(name, func(t *testing.T) {
			targets, err := Resolve("cluster", test.placement, nil, candidates)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, target := range targets {
				got[target.Name] = target.Named
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("what is named (-want +got):\n%s", diff)
			}
		})
	}
}
