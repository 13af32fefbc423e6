package placement

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// inZones are cells of zones a and b, one of none, one of another tenant, and one that is called
// like a zone.
func inZones() []Candidate {
	return []Candidate{
		{Name: "rz00a", Member: "m1", Labels: map[string]string{"zone": "a", "tier": "gray"}},
		{Name: "rz01a", Member: "m1", Labels: map[string]string{"zone": "a"}},
		{Name: "rz02b", Member: "m2", Labels: map[string]string{"zone": "b", "tier": "gray"}},
		{Name: "a", Member: "m2", Labels: map[string]string{"zone": "c"}},
		{Name: "nowhere", Member: "m2"},
		{Name: "foreign", Member: "m3", Labels: map[string]string{"zone": "d"}, Refusal: `cell "foreign" is another tenant's`},
		{Name: "rz09.shop", Member: "m3", Labels: map[string]string{"zone": "a"}, ByNameOnly: true},
	}
}

func TestNamesOfAUserDefinedTypeAreThoseOfGroups(t *testing.T) {
	for sentence, test := range map[string]struct {
		placement, mask *v1beta2.Placement
		want            map[string]Disposition
	}{
		"a group is all that carries its label":             {named("a"), nil, map[string]Disposition{"rz00a": Placed, "rz01a": Placed}},
		"groups add up":                                     {named("b", "a"), nil, map[string]Disposition{"rz00a": Placed, "rz01a": Placed, "rz02b": Placed}},
		"an empty group is not found":                       {named("a", "x"), nil, map[string]Disposition{"rz00a": Placed, "rz01a": Placed, "zone=x": NotFound}},
		"a group of what may not be used is as empty":       {named("d"), nil, map[string]Disposition{"zone=d": NotFound}},
		"the name of a target is no group":                  {named("rz00a"), nil, map[string]Disposition{"zone=rz00a": NotFound}},
		"an empty list places nothing":                      {named(), nil, map[string]Disposition{}},
		"an empty selector takes all that carry the label":  {selected(), nil, map[string]Disposition{"rz00a": Placed, "rz01a": Placed, "rz02b": Placed, "a": Placed}},
		"a selector takes those with its labels":            {selected("tier", "gray"), nil, map[string]Disposition{"rz00a": Placed, "rz02b": Placed}},
		"a mask names groups":                               {named("a", "b"), named("b"), map[string]Disposition{"rz00a": Masked, "rz01a": Masked, "rz02b": Placed}},
		"a mask with a selector picks within groups":        {named("a"), selected("tier", "gray"), map[string]Disposition{"rz00a": Placed, "rz01a": Masked}},
		"a mask that names nobody freezes":                  {named("a"), named(), map[string]Disposition{"rz00a": Masked, "rz01a": Masked}},
		"a mask by the name of a target lets nobody change": {named("a"), named("rz00a"), map[string]Disposition{"rz00a": Masked, "rz01a": Masked}},
	} {
		t.Run(sentence, func(t *testing.T) {
			targets, err := Resolve("cell:zone", test.placement, test.mask, inZones())
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]Disposition{}
			for _, target := range targets {
				got[target.Name] = target.Disposition
				if want := target.Disposition == NotFound; target.Named != want || (target.Message != "") != want {
					t.Errorf("%s: named %t with message %q", target.Name, target.Named, target.Message)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
		})
	}
}

// A cell called a that is gone was in some zone, and that need not be zone a.
func TestAMaskOfGroupsKeepsWhatIsGone(t *testing.T) {
	mask, err := NewMask("cell:zone", named("a"))
	if err != nil {
		t.Fatal(err)
	}
	if mask.Allows("a", nil) {
		t.Error("the mask lets a target change whose group nobody knows")
	}
	if candidate := (Candidate{Name: "rz00a", Labels: map[string]string{"zone": "c"}}); mask.Allows("rz00a", &candidate) {
		t.Error("the mask lets a target of another group change")
	}
}

func TestANamespaceNarrowsWhateverClustersAreGroupedBy(t *testing.T) {
	clusters := []Candidate{
		{Name: "m1", Labels: map[string]string{"region": "eu", "idc": "x"}},
		{Name: "m2", Labels: map[string]string{"region": "us", "idc": "x"}},
	}
	of := func(topologyType string, p *v1beta2.Placement) Namespace {
		return Namespace{Name: "shop", Federated: &v1beta2.FederatedObject{Spec: v1beta2.FederatedObjectSpec{TopologyType: topologyType, Placement: p}}}
	}
	for sentence, test := range map[string]struct {
		namespace Namespace
		want      map[string]Disposition
	}{
		"by names of clusters":              {of("cluster", named("m1")), map[string]Disposition{"m1": Placed, "m2": Outside}},
		"by groups of another type":         {of("cluster:region", named("us")), map[string]Disposition{"m1": Outside, "m2": Placed}},
		"by a type that says nothing of it": {of("cell:idc", named("x")), map[string]Disposition{"m1": Unfederated, "m2": Unfederated}},
	} {
		t.Run(sentence, func(t *testing.T) {
			targets, err := Resolve("cluster:idc", named("x"), nil, clusters)
			if err == nil {
				targets, err = Narrow("cluster:idc", targets, test.namespace)
			}
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]Disposition{}
			for _, target := range targets {
				got[target.Name] = target.Disposition
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhyAGroupPicks(t *testing.T) {
	cells := inZones()
	for sentence, test := range map[string]struct {
		placement *v1beta2.Placement
		candidate *Candidate
		picks     bool
		want      string
	}{
		"its group is named":      {named("a"), &cells[0], true, `topologies names "a", and it has the label zone=a`},
		"its group is not named":  {named("a"), &cells[2], false, `topologies does not name "b", and it has the label zone=b`},
		"it is in no group":       {named("a"), &cells[4], false, "picks what has the label zone, and it has none"},
		"it is gone":              {named("a"), nil, false, "topologyType cell:zone picks only what there is"},
		"it is another tenant's":  {named("d"), &cells[5], false, "what the namespace may use"},
		"a selector picks it":     {selected("tier", "gray"), &cells[0], true, "wants tier=gray, which it has"},
		"a selector has no match": {selected("tier", "gray"), &cells[1], false, "wants tier=gray, and it has no label tier"},
	} {
		t.Run(sentence, func(t *testing.T) {
			name := "rz00a"
			if test.candidate != nil {
				name = test.candidate.Name
			}
			picks, why, err := Why("cell:zone", test.placement, name, test.candidate)
			if err != nil || picks != test.picks || !strings.Contains(why, test.want) {
				t.Errorf("got %t, %q, %v, want %t, %q", picks, why, err, test.picks, test.want)
			}
		})
	}
}

func TestAGroupMayHaveHadWhatIsGone(t *testing.T) {
	for name, c := range map[string]struct {
		topologyType string
		placement    *v1beta2.Placement
		want         bool
	}{
		"a selector":                 {"cell", selected("a", "b"), true},
		"its name":                   {"cell", named("rz00a"), true},
		"other names":                {"cell", named("rz01a"), false},
		"a selector within groups":   {"cell:zone", selected("a", "b"), true},
		"groups, whichever":          {"cell:zone", named("b"), true},
		"no group":                   {"cell:zone", named(), false},
		"neither names nor selector": {"cell:zone", &v1beta2.Placement{}, false},
		"no placement":               {"cell:zone", nil, false},
	} {
		if got := MayPick(c.topologyType, c.placement, "rz00a"); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
