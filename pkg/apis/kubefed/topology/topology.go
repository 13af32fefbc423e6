// Package topology is the naming table of the ways to divide a fleet: how a target is
// called in the topology shape (v1beta2), and which KubeFedCluster that is in the
// cluster shape (v1beta1).
//
// Everything here is a pure function of its arguments: no lookups, so that conversion
// needs none. A cell or an edge unit appears as one KubeFedCluster, named by rule from
// its namespace and name:
//
//	type      in v1beta2   in v1beta1
//	cluster   <cluster>    <cluster>
//	cell      <cell>       <cell>.<namespace>
//	edgeunit  <unit>       <unit>.<namespace>.edgeunit
//
// Names of cells and edge units hold no dot, nor does a namespace, so two targets never
// share a cluster name.
//
// Selectors convert as well. The KubeFedCluster of a cell carries the cell's own labels
// and two more, its topology type and its namespace; a selector of cells is a cluster
// selector that asks for these two beside what the user asked for. A cluster selector of
// an object of type cluster stays as it is, so that plain KubeFed objects keep their
// bytes. What keeps such a selector, {} above all, from selecting cells is the engine:
// for type cluster it passes over every KubeFedCluster that has the topology label. A
// stock KubeFed controller does not know that label, so where one runs beside cells, its
// users have to write a selector that leaves them out.
//
// A further topology type is one more row in the table. All functions may be called
// concurrently.
package topology

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// naming is one row of the table. The rule of a target in a namespace is
// <name>.<namespace><suffix>.
type naming struct {
	topologyType string
	// scoped: targets are namespaced, and named by the rule; else a name is a cluster name.
	scoped bool
	suffix string
	// placeholder stands for the name when the rule is shown to people.
	placeholder string
}

var table = []naming{
	{topologyType: v1beta2.TopologyCell, scoped: true, placeholder: "<cell>"},
	{topologyType: v1beta2.TopologyCluster, placeholder: "<cluster>"},
	{topologyType: v1beta2.TopologyEdgeUnit, scoped: true, suffix: ".edgeunit", placeholder: "<unit>"},
}

// row returns the row of a type. A type that is not in the table, the empty one
// included, is named like a cluster: conversion passes it through unharmed, and it is
// for validation to refuse it.
func row(topologyType string) naming {
	for _, n := range table {
		if n.topologyType == topologyType {
			return n
		}
	}
	return naming{topologyType: topologyType, placeholder: "<name>"}
}

// Types returns the names of all topology types, sorted.
func Types() []string {
	types := make([]string, 0, len(table))
	for _, n := range table {
		types = append(types, n.topologyType)
	}
	return types
}

// Known reports whether the type is in the table. The empty type is not: default first.
func Known(topologyType string) bool {
	return slices.ContainsFunc(table, func(n naming) bool { return n.topologyType == topologyType })
}

// Scoped reports whether targets of the type live in the federated object's own
// namespace, and so have a cluster name that differs from their name.
func Scoped(topologyType string) bool { return row(topologyType).scoped }

// Rule shows people the cluster name of a target in namespace, such as "<cell>.shop".
func Rule(topologyType, namespace string) string {
	n := row(topologyType)
	return n.clusterName(namespace, n.placeholder)
}

// ClusterName returns the name of the KubeFedCluster that the target appears as.
func ClusterName(topologyType, namespace, name string) string {
	return row(topologyType).clusterName(namespace, name)
}

func (n naming) clusterName(namespace, name string) string {
	if !n.scoped {
		return name
	}
	return name + "." + namespace + n.suffix
}

// Name is the inverse of ClusterName. It returns false if no target of that type in
// that namespace has this cluster name.
func Name(topologyType, namespace, clusterName string) (string, bool) {
	name, in, ok := Split(topologyType, clusterName)
	if !ok || (Scoped(topologyType) && in != namespace) {
		return "", false
	}
	return name, true
}

// Split takes a cluster name apart, where the namespace is not known. The namespace is
// empty for types that have none. It returns false if the name does not follow the rule.
func Split(topologyType, clusterName string) (name, namespace string, ok bool) {
	n := row(topologyType)
	if !n.scoped {
		return clusterName, "", true
	}
	rest, ok := strings.CutSuffix(clusterName, n.suffix)
	if !ok {
		return "", "", false
	}
	name, namespace, ok = strings.Cut(rest, ".")
	if !ok || name == "" || strings.Contains(namespace, ".") {
		return "", "", false
	}
	return name, namespace, true
}

// SelectorLabels returns the labels that the KubeFedClusters of the type carry beside
// those of their targets, and that a converted selector asks for; nil for type cluster.
func SelectorLabels(topologyType, namespace string) map[string]string {
	if !Scoped(topologyType) {
		return nil
	}
	return map[string]string{
		v1alpha1.TopologyLabel:          topologyType,
		v1alpha1.TopologyNamespaceLabel: namespace,
	}
}

// ReservedSelectorKeys returns the label keys that a selector in the topology shape may
// not use, sorted, since conversion adds and removes them; nil for type cluster.
func ReservedSelectorKeys(topologyType string) []string {
	if !Scoped(topologyType) {
		return nil
	}
	return []string{v1alpha1.TopologyLabel, v1alpha1.TopologyNamespaceLabel}
}

// SelectorToCluster returns the cluster selector that selects what s selects among
// targets of the type in namespace. nil stays nil. s is not modified; the result may
// share parts with it.
func SelectorToCluster(topologyType, namespace string, s *metav1.LabelSelector) *metav1.LabelSelector {
	if s == nil {
		return nil // before the labels are made: nearly all objects go by name
	}
	added := SelectorLabels(topologyType, namespace)
	if added == nil {
		return s
	}
	for k, v := range s.MatchLabels {
		if _, reserved := added[k]; !reserved {
			added[k] = v
		}
	}
	return &metav1.LabelSelector{MatchLabels: added, MatchExpressions: s.MatchExpressions}
}

// SelectorFromCluster is the inverse of SelectorToCluster. It returns false if the
// selector does not ask for the labels that SelectorToCluster adds: it could select
// clusters that are no targets of the type in namespace.
func SelectorFromCluster(topologyType, namespace string, s *metav1.LabelSelector) (*metav1.LabelSelector, bool) {
	removed := SelectorLabels(topologyType, namespace)
	if s == nil || removed == nil {
		return s, true
	}
	for k, v := range removed {
		if got, ok := s.MatchLabels[k]; !ok || got != v {
			return nil, false
		}
	}
	var rest map[string]string
	for k, v := range s.MatchLabels {
		if _, gone := removed[k]; gone {
			continue
		}
		if rest == nil {
			rest = make(map[string]string, len(s.MatchLabels)-len(removed))
		}
		rest[k] = v
	}
	return &metav1.LabelSelector{MatchLabels: rest, MatchExpressions: s.MatchExpressions}, true
}

// SelectorNamespace returns the namespace that a converted selector asks for, "" if it
// asks for none or the type has none.
func SelectorNamespace(topologyType string, s *metav1.LabelSelector) string {
	if s == nil || !Scoped(topologyType) {
		return ""
	}
	return s.MatchLabels[v1alpha1.TopologyNamespaceLabel]
}
