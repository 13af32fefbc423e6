package topology_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
)

func TestNames(t *testing.T) {
	for sentence, tc := range map[string]struct {
		topologyType, namespace, name, clusterName string
	}{
		"a cluster is itself":                        {"cluster", "shop", "m1", "m1"},
		"a cluster may hold dots":                    {"cluster", "shop", "m1.eu", "m1.eu"},
		"a cell is named with its namespace":         {"cell", "shop", "rz00a", "rz00a.shop"},
		"a cell of a namespace called edgeunit":      {"cell", "edgeunit", "rz00a", "rz00a.edgeunit"},
		"an edge unit has a third part":              {"edgeunit", "shop", "store7", "store7.shop.edgeunit"},
		"an edge unit of a namespace named edgeunit": {"edgeunit", "edgeunit", "u", "u.edgeunit.edgeunit"},
		"an unknown type passes through":             {"zone", "shop", "a.b", "a.b"},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got := topology.ClusterName(tc.topologyType, tc.namespace, tc.name); got != tc.clusterName {
				t.Errorf("ClusterName: got %q, want %q", got, tc.clusterName)
			}
			if got, ok := topology.Name(tc.topologyType, tc.namespace, tc.clusterName); got != tc.name || !ok {
				t.Errorf("Name: got %q, %t, want %q", got, ok, tc.name)
			}
		})
	}
}

func TestNamesThatFollowNoRule(t *testing.T) {
	for sentence, tc := range map[string]struct{ topologyType, namespace, clusterName string }{
		"a plain cluster is no cell":           {"cell", "shop", "m3"},
		"a cell of another namespace":          {"cell", "shop", "rz00a.bank"},
		"a cell name holds no dot":             {"cell", "shop", "a.b.shop"},
		"a cell name is not empty":             {"cell", "shop", ".shop"},
		"an edge unit is no cell":              {"cell", "shop", "u.shop.edgeunit"},
		"an edge unit is no cell of edgeunit":  {"cell", "edgeunit", "u.shop.edgeunit"},
		"a cell is no edge unit":               {"edgeunit", "shop", "rz00a.shop"},
		"an edge unit of another namespace":    {"edgeunit", "shop", "u.bank.edgeunit"},
		"an edge unit needs its name":          {"edgeunit", "shop", ".shop.edgeunit"},
		"the empty name is nobody's":           {"cell", "shop", ""},
		"the suffix alone is no edge unit":     {"edgeunit", "shop", ".edgeunit"},
		"an edge unit whose name holds a dot":  {"edgeunit", "shop", "a.b.shop.edgeunit"},
		"a cell of edgeunit is no edge unit":   {"edgeunit", "edgeunit", "u.edgeunit"},
		"the namespace is not matched by part": {"cell", "shop", "rz00a.shop2"},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got, ok := topology.Name(tc.topologyType, tc.namespace, tc.clusterName); ok {
				t.Errorf("Name(%q): got %q, want none", tc.clusterName, got)
			}
		})
	}
}

func TestSelectorsGainAndLoseTwoLabels(t *testing.T) {
	expressions := []metav1.LabelSelectorRequirement{{Key: "tier", Operator: metav1.LabelSelectorOpExists}}
	marks := map[string]string{"federation.koinon.io/topology": "cell", "federation.koinon.io/topology-namespace": "shop"}
	for sentence, tc := range map[string]struct {
		topologyType  string
		topo, cluster *metav1.LabelSelector
	}{
		"no selector stays none":                     {"cell", nil, nil},
		"an empty selector of cells names the cells": {"cell", &metav1.LabelSelector{}, &metav1.LabelSelector{MatchLabels: marks}},
		"an empty selector of clusters stays empty":  {"cluster", &metav1.LabelSelector{}, &metav1.LabelSelector{}},
		"labels and expressions stay": {
			"cell",
			&metav1.LabelSelector{MatchLabels: map[string]string{"region": "eu"}, MatchExpressions: expressions},
			&metav1.LabelSelector{MatchExpressions: expressions, MatchLabels: map[string]string{
				"region": "eu", "federation.koinon.io/topology": "cell", "federation.koinon.io/topology-namespace": "shop"}},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			if diff := cmp.Diff(tc.cluster, topology.SelectorToCluster(tc.topologyType, "shop", tc.topo)); diff != "" {
				t.Errorf("SelectorToCluster (-want +got):\n%s", diff)
			}
			got, ok := topology.SelectorFromCluster(tc.topologyType, "shop", tc.cluster)
			if diff := cmp.Diff(tc.topo, got); diff != "" || !ok {
				t.Errorf("SelectorFromCluster: %t (-want +got):\n%s", ok, diff)
			}
		})
	}
}

func TestSelectorsThatCouldSelectOthersAreRefused(t *testing.T) {
	for sentence, labels := range map[string]map[string]string{
		"none of the labels":     nil,
		"only the type":          {"federation.koinon.io/topology": "cell"},
		"another type":           {"federation.koinon.io/topology": "edgeunit", "federation.koinon.io/topology-namespace": "shop"},
		"another namespace":      {"federation.koinon.io/topology": "cell", "federation.koinon.io/topology-namespace": "bank"},
		"an empty topology type": {"federation.koinon.io/topology": "", "federation.koinon.io/topology-namespace": "shop"},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got, ok := topology.SelectorFromCluster("cell", "shop", &metav1.LabelSelector{MatchLabels: labels}); ok {
				t.Errorf("got %v, want a refusal", got)
			}
		})
	}
}

func TestTypesAreSortedAndKnown(t *testing.T) {
	types := topology.Types()
	if !slices.IsSorted(types) {
		t.Errorf("Types() = %q, want them sorted", types)
	}
	for _, typ := range types {
		if !topology.Known(typ) {
			t.Errorf("Known(%q) = false", typ)
		}
	}
	if topology.Known("") || topology.Known("zone") {
		t.Error("a type that is not in the table is known")
	}
	if got, want := topology.Rule("edgeunit", "shop"), "<unit>.shop.edgeunit"; got != want {
		t.Errorf("Rule: got %q, want %q", got, want)
	}
}

func FuzzNameInvertsClusterName(f *testing.F) {
	f.Add("cell", "shop", "rz00a.shop")
	f.Add("edgeunit", "shop", "u.shop.edgeunit")
	f.Fuzz(func(t *testing.T, topologyType, namespace, clusterName string) {
		name, ok := topology.Name(topologyType, namespace, clusterName)
		if !ok {
			return
		}
		if back := topology.ClusterName(topologyType, namespace, name); back != clusterName {
			t.Errorf("%q in %q became %q and then %q", clusterName, namespace, name, back)
		}
		if topology.Scoped(topologyType) && strings.Contains(name, ".") {
			t.Errorf("%q holds a dot", name)
		}
	})
}
