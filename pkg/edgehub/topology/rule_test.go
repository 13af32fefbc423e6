package topology

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
)

func TestRuleOf(t *testing.T) {
	const ours, theirs = Annotation, OpenYurtAnnotation
	for name, test := range map[string]struct {
		annotations map[string]string
		want        Rule
		problem     string
	}{
		"no annotation filters nothing":                      {map[string]string{"other": "unit"}, nil, ""},
		"unit":                                               {map[string]string{ours: "unit"}, Rule{Unit}, ""},
		"node":                                               {map[string]string{ours: "node"}, Rule{Node}, ""},
		"preferUnit looks anywhere in the end":               {map[string]string{ours: "preferUnit"}, Rule{Unit, Anywhere}, ""},
		"white space around a value":                         {map[string]string{ours: " node\n"}, Rule{Node}, ""},
		"a value that is none is unit":                       {map[string]string{ours: "region"}, Rule{Unit}, `the annotation edge.koinon.io/topology is "region": it must be unit, node or preferUnit`},
		"a value in capitals is none":                        {map[string]string{ours: "Node"}, Rule{Unit}, `is "Node"`},
		"an empty value is none":                             {map[string]string{ours: ""}, Rule{Unit}, `is ""`},
		"ours counts, not OpenYurt's":                        {map[string]string{ours: "node", theirs: "openyurt.io/nodepool"}, Rule{Node}, ""},
		"ours counts although it is wrong":                   {map[string]string{ours: "x", theirs: "kubernetes.io/hostname"}, Rule{Unit}, `is "x"`},
		"OpenYurt's node":                                    {map[string]string{theirs: "kubernetes.io/hostname"}, Rule{Node}, ""},
		"OpenYurt's pool":                                    {map[string]string{theirs: "openyurt.io/nodepool"}, Rule{Unit}, ""},
		"OpenYurt's zone is the pool":                        {map[string]string{theirs: "kubernetes.io/zone"}, Rule{Unit}, ""},
		"a list is an order":                                 {map[string]string{theirs: "kubernetes.io/hostname, openyurt.io/nodepool,*"}, Rule{Node, Unit, Anywhere}, ""},
		"what a list says twice it says once":                {map[string]string{theirs: "kubernetes.io/zone,openyurt.io/nodepool"}, Rule{Unit}, ""},
		"a star alone is anywhere":                           {map[string]string{theirs: "*"}, Rule{Anywhere}, ""},
		"a star is the last":                                 {map[string]string{theirs: "*,kubernetes.io/zone"}, Rule{Unit}, "as its last, *"},
		"one wrong key is a wrong list":                      {map[string]string{theirs: "kubernetes.io/hostname,topology.kubernetes.io/zone"}, Rule{Unit}, `is "kubernetes.io/hostname,topology.kubernetes.io/zone"`},
		"a list that ends in a comma has an empty key":       {map[string]string{theirs: "kubernetes.io/hostname,"}, Rule{Unit}, "it must be a list"},
		"an empty list of OpenYurt's is no list of any keys": {map[string]string{theirs: ""}, Rule{Unit}, "it must be a list"},
	} {
		t.Run(name, func(t *testing.T) {
			got, problem := RuleOf(test.annotations)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the rule (-want +got):\n%s", diff)
			}
			expectProblem(t, problem, test.problem)
		})
	}
}

func expectProblem(t *testing.T, got error, want string) {
	t.Helper()
	if want == "" && got != nil || want != "" && (got == nil || !strings.Contains(got.Error(), want)) {
		t.Errorf("the problem is %v, want %q", got, want)
	}
}

func unit(namespace, name string, selector map[string]string) *v1alpha1.EdgeUnit {
	return &v1alpha1.EdgeUnit{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.EdgeUnitSpec{NodeSelector: selector}}
}

func TestUnitOf(t *testing.T) {
	floor, region := map[string]string{"floor": "1"}, map[string]string{"region": "north"}
	both := map[string]string{"region": "north", "floor": "1"}
	for name, test := range map[string]struct {
		labels  map[string]string
		units   []*v1alpha1.EdgeUnit
		want    string
		problem string
	}{
		"a node without labels has none": {nil, nil, "", ""},
		"our label":                      {map[string]string{v1alpha1.UnitLabel: "hz", OpenYurtPoolLabel: "sh"}, nil, "hz", ""},
		"OpenYurt's label":               {map[string]string{OpenYurtPoolLabel: "sh"}, nil, "sh", ""},
		"an empty label is none":         {map[string]string{v1alpha1.UnitLabel: "", OpenYurtPoolLabel: "sh"}, nil, "sh", ""},
		"an EdgeUnit selects":            {both, []*v1alpha1.EdgeUnit{unit("a", "f", floor)}, "floor=1", ""},
		"an EdgeUnit that selects by more than there is does not": {floor, []*v1alpha1.EdgeUnit{unit("a", "b", both)}, "", ""},
		"a label goes before EdgeUnits":                           {map[string]string{"floor": "1", v1alpha1.UnitLabel: "hz"}, []*v1alpha1.EdgeUnit{unit("a", "f", floor)}, "hz", ""},
		"an EdgeUnit without a selector selects by our label":     {floor, []*v1alpha1.EdgeUnit{unit("a", "all", nil)}, "", ""},
		"EdgeUnits of two namespaces with one selector are one":   {both, []*v1alpha1.EdgeUnit{unit("a", "x", both), unit("b", "y", both)}, "floor=1,region=north", ""},
		"a node of two is in the first": {both, []*v1alpha1.EdgeUnit{unit("b", "r", region), unit("a", "f", floor)}, "floor=1",
			"the node is in the EdgeUnit a/f by floor=1, and in b/r by region=north"},
		"their order does not matter": {both, []*v1alpha1.EdgeUnit{unit("a", "f", floor), unit("b", "r", region), unit("a", "x", both)}, "floor=1",
			"a/f by floor=1, and in a/x by floor=1,region=north"},
	} {
		t.Run(name, func(t *testing.T) {
			got, problem := UnitOf(test.labels, test.units)
			if got != test.want {
				t.Errorf("the unit is %q, want %q", got, test.want)
			}
			expectProblem(t, problem, test.problem)
		})
	}
}
