package placement

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func named(names ...string) *v1beta2.Placement {
	p := &v1beta2.Placement{Topologies: []v1beta2.TopologyReference{}}
	for _, n := range names {
		p.Topologies = append(p.Topologies, v1beta2.TopologyReference{Name: n})
	}
	return p
}

func selected(kv ...string) *v1beta2.Placement {
	s := &metav1.LabelSelector{}
	for i := 0; i < len(kv); i += 2 {
		s = metav1.AddLabelToSelector(s, kv[i], kv[i+1])
	}
	return &v1beta2.Placement{TopologySelector: s}
}

func TestResolve(t *testing.T) {
	candidates := []Candidate{
		{Name: "m2", Member: "m2", Labels: map[string]string{"zone": "b"}},
		{Name: "m1", Member: "m1", Labels: map[string]string{"zone": "a"}},
		{Name: "rz00a.shop", Member: "m1", Namespace: "shop-rz00a", ByNameOnly: true},
		{Name: "m3", Member: "m3", Refusal: `cluster "m3" is not one of no tenant`},
	}
	withNamesAndSelector := selected()
	withNamesAndSelector.Topologies = []v1beta2.TopologyReference{}
	for name, test := range map[string]struct {
		placement, mask *v1beta2.Placement
		want            map[string]Disposition
	}{
		"no placement places nowhere":                          {nil, nil, map[string]Disposition{}},
		"an empty placement places nowhere":                    {&v1beta2.Placement{}, nil, map[string]Disposition{}},
		"an empty list wins over a selector":                   {withNamesAndSelector, nil, map[string]Disposition{}},
		"an empty selector takes all but cells and foreigners": {selected(), nil, map[string]Disposition{"m1": Placed, "m2": Placed}},
		"a selector takes those with the label":                {selected("zone", "a"), nil, map[string]Disposition{"m1": Placed}},
		"a name may be a cell's cluster":                       {named("rz00a.shop"), nil, map[string]Disposition{"rz00a.shop": Placed}},
		"a name given twice is one target":                     {named("m1", "m1"), nil, map[string]Disposition{"m1": Placed}},
		"a name that leads nowhere is not found":               {named("m9", "m1"), nil, map[string]Disposition{"m1": Placed, "m9": NotFound}},
		"a foreign cluster is not found by name":               {named("m3"), nil, map[string]Disposition{"m3": NotFound}},
		"a mask holds back the others":                         {selected(), named("m1"), map[string]Disposition{"m1": Placed, "m2": Masked}},
		"a mask with a selector holds back the others":         {selected(), selected("zone", "b"), map[string]Disposition{"m1": Masked, "m2": Placed}},
		"a mask that names nobody freezes":                     {selected(), named(), map[string]Disposition{"m1": Masked, "m2": Masked}},
		"an empty mask freezes":                                {selected(), &v1beta2.Placement{}, map[string]Disposition{"m1": Masked, "m2": Masked}},
		"a mask does not place":                                {named("m1"), named("m1", "m2"), map[string]Disposition{"m1": Placed}},
		"a missing target stays not found under a mask":        {named("m9"), named(), map[string]Disposition{"m9": NotFound}},
	} {
		t.Run(name, func(t *testing.T) {
			targets, err := Resolve("cluster", test.placement, test.mask, candidates)
			if err != nil {
				t.Fatal(err)
			}
			got, order := map[string]Disposition{}, ""
			for _, target := range targets {
				got[target.Name] = target.Disposition
				if target.Name <= order {
					t.Errorf("got %q after %q, want them sorted", target.Name, order)
				}
				order = target.Name
				if target.Disposition == NotFound && target.Message == "" {
					t.Errorf("target %q is not found and does not say why", target.Name)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResolveRefusesABrokenSelector(t *testing.T) {
	broken := &v1beta2.Placement{TopologySelector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "zone", Operator: "Near"}},
	}}
	if _, err := Resolve("cell", broken, nil, nil); err == nil {
		t.Error("a broken selector in the placement gave no error")
	}
	if _, err := Resolve("cell", selected(), broken, nil); err == nil {
		t.Error("a broken selector in the mask gave no error")
	}
}

func TestMaskOfATargetThatIsGone(t *testing.T) {
	for name, test := range map[string]struct {
		mask *v1beta2.Placement
		want bool
	}{
		"no mask lets it go":            {nil, true},
		"a mask that names it does too": {named("old"), true},
		"a selector cannot pick it":     {selected(), false},
		"a frozen object keeps it":      {named(), false},
	} {
		t.Run(name, func(t *testing.T) {
			mask, err := NewMask("cell", test.mask)
			if err != nil {
				t.Fatal(err)
			}
			if got := mask.Allows("old", nil); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
