package topology_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
)

func TestAUserDefinedTypeSaysWhatItIsMadeOf(t *testing.T) {
	for topologyType, want := range map[string]struct {
		base, label, clusterName string
		scoped                   bool
	}{
		"cell:zone":                             {"cell", "zone", "rz00a.shop", true},
		"cluster:topology.kubernetes.io/region": {"cluster", "topology.kubernetes.io/region", "rz00a", false},
		"edgeunit:idc":                          {"edgeunit", "idc", "rz00a.shop.edgeunit", true},
		"cell":                                  {"cell", "", "rz00a.shop", true},
		"cell:":                                 {"cell:", "", "rz00a", false},
		"zone":                                  {"zone", "", "rz00a", false},
		"rack:zone":                             {"rack:zone", "", "rz00a", false},
	} {
		if base, label := topology.Base(topologyType), topology.Label(topologyType); base != want.base || label != want.label {
			t.Errorf("%s: is made of %q by %q, want %q by %q", topologyType, base, label, want.base, want.label)
		}
		if got := topology.ClusterName(topologyType, "shop", "rz00a"); got != want.clusterName || topology.Scoped(topologyType) != want.scoped {
			t.Errorf("%s: a target appears as %q, want %q", topologyType, got, want.clusterName)
		}
	}
}

func TestProblemsOfTypes(t *testing.T) {
	const none = "must be one of cell, cluster, edgeunit, or one of these, a colon and the key of a label that divides them, such as "
	for topologyType, want := range map[string]string{
		"cell": "", "cluster:idc": "", "edgeunit:example.com/zone": "",
		"":                                      none + "cell:zone",
		"rack":                                  none + "cell:rack",
		"cell:":                                 none + "cell:zone",
		"rack:zone":                             none + "cell:zone",
		"cell:a b":                              `after cell: comes the key of a label, such as zone or example.com/zone: "a b" is none`,
		"cell:a:b":                              `after cell: comes the key of a label, such as zone or example.com/zone: "a:b" is none`,
		"cluster:federation.koinon.io/topology": "label federation.koinon.io/topology is set by the server: divide by another one",
	} {
		if got := topology.Problem(topologyType); got != want || topology.Known(topologyType) != (want == "") {
			t.Errorf("%q: got %q, want %q", topologyType, got, want)
		}
	}
}

func TestNamesOfGroups(t *testing.T) {
	if got := topology.SpecClusterName("cell:zone", "shop", "a.b"); got != "zone=a.b" {
		t.Errorf("got %q", got)
	}
	if name, namespace, ok := topology.SplitSpec("cell:zone", "zone=a.b"); name != "a.b" || namespace != "" || !ok {
		t.Errorf("got %q in %q, %t", name, namespace, ok)
	}
	for _, name := range []string{"zone=", "zone", "idc=a", "rz00a.shop", ""} {
		if group, _, ok := topology.SplitSpec("cell:zone", name); ok {
			t.Errorf("%q is group %q, want none", name, group)
		}
	}
	if !topology.IsGroupTarget("cell:zone", "zone=a") || topology.IsGroupTarget("cell", "zone=a") || topology.IsGroupTarget("cell:zone", "rz00a") {
		t.Error("only zone=a of cell:zone is a group")
	}
}

func TestSelectorsOfUserDefinedTypes(t *testing.T) {
	ofCells := map[string]string{"federation.koinon.io/topology": "cell", "federation.koinon.io/topology-namespace": "shop"}
	in := metav1.LabelSelectorRequirement{Key: "zone", Operator: metav1.LabelSelectorOpIn, Values: []string{"b", "a"}}
	exists := metav1.LabelSelectorRequirement{Key: "zone", Operator: metav1.LabelSelectorOpExists}
	whole := metav1.LabelSelectorRequirement{Key: "federation.koinon.io/topology", Operator: metav1.LabelSelectorOpDoesNotExist}
	tier := metav1.LabelSelectorRequirement{Key: "tier", Operator: metav1.LabelSelectorOpExists}
	for topologyType, want := range map[string]struct{ groups, all, some *metav1.LabelSelector }{
		"cell:zone": {
			&metav1.LabelSelector{MatchLabels: ofCells, MatchExpressions: []metav1.LabelSelectorRequirement{in}},
			&metav1.LabelSelector{MatchLabels: ofCells, MatchExpressions: []metav1.LabelSelectorRequirement{exists}},
			&metav1.LabelSelector{MatchLabels: ofCells, MatchExpressions: []metav1.LabelSelectorRequirement{exists, tier}},
		},
		"cluster:zone": {
			&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{in, whole}},
			&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{exists, whole}},
			&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{exists, whole, tier}},
		},
	} {
		t.Run(topologyType, func(t *testing.T) {
			if diff := cmp.Diff(want.groups, topology.SelectorOfGroups(topologyType, "shop", in.Values)); diff != "" {
				t.Errorf("of groups (-want +got):\n%s", diff)
			}
			if groups, ok := topology.GroupsOfSelector(topologyType, "shop", want.groups); !ok || !cmp.Equal(groups, in.Values) {
				t.Errorf("groups: got %q, %t", groups, ok)
			}
			for selector, shown := range map[*metav1.LabelSelector]*metav1.LabelSelector{
				{}: want.all,
				{MatchExpressions: []metav1.LabelSelectorRequirement{tier}}: want.some,
			} {
				if diff := cmp.Diff(shown, topology.SelectorToCluster(topologyType, "shop", selector)); diff != "" {
					t.Errorf("SelectorToCluster (-want +got):\n%s", diff)
				}
				back, ok := topology.SelectorFromCluster(topologyType, "shop", shown)
				if diff := cmp.Diff(selector, back); diff != "" || !ok {
					t.Errorf("SelectorFromCluster: %t (-want +got):\n%s", ok, diff)
				}
				if groups, ok := topology.GroupsOfSelector(topologyType, "shop", shown); ok {
					t.Errorf("a selector stands for groups %q", groups)
				}
			}
			for _, other := range []*metav1.LabelSelector{{}, {MatchExpressions: []metav1.LabelSelectorRequirement{tier}}, {MatchExpressions: []metav1.LabelSelectorRequirement{exists}}} {
				if back, ok := topology.SelectorFromCluster(topologyType, "shop", other); ok {
					t.Errorf("%v became %v, want a refusal", other, back)
				}
			}
		})
	}
}
