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
// # User-defined types
//
// A type such as cell:zone divides the targets of a type of the table, here cells, into groups
// by the value of a label, here zone. It says itself what it is made of, so that nothing has to
// be looked up for it either (ADR 41). Its targets are the cells that carry the label, and are
// called as cells are: that is what status, selectors and members know. A spec names groups:
//
//	type         placed by name in v1beta2   in v1beta1
//	cell:zone    a, b                        the selector "zone in (a, b)", of cells
//	cluster:idc  x                           the selector "idc in (x)", of no cells
//
// and an override for the group a is for zone=a in v1beta1, which no cluster can be called. So a
// client that knows nothing of groups finds the clusters that are meant, and no other name. A
// selector asks for the label beside what the user asked for: it exists.
//
// A further topology type of our own is one more row in the table. All functions may be called
// concurrently.
package topology

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

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

// separator is between the two parts of a user-defined type. No key of a label holds it.
const separator = ":"

var table = []naming{
	{topologyType: v1beta2.TopologyCell, scoped: true, placeholder: "<cell>"},
	{topologyType: v1beta2.TopologyCluster, placeholder: "<cluster>"},
	{topologyType: v1beta2.TopologyEdgeUnit, scoped: true, suffix: ".edgeunit", placeholder: "<unit>"},
}

// row returns the row of a type, or of the one whose targets it divides. A type that is not
// in the table, the empty one included, is named like a cluster: conversion passes it through
// unharmed, and it is for validation to refuse it.
func row(topologyType string) naming {
	n, _ := split(topologyType)
	return n
}

// split returns the row of a type, and the label that a user-defined one goes by.
func split(topologyType string) (n naming, label string) {
	if n, ok := rowOf(topologyType); ok {
		return n, ""
	}
	base, label, _ := strings.Cut(topologyType, separator)
	if n, ok := rowOf(base); ok && label != "" {
		return n, label
	}
	return naming{topologyType: topologyType, placeholder: "<name>"}, ""
}

func rowOf(topologyType string) (naming, bool) {
	for _, n := range table {
		if n.topologyType == topologyType {
			return n, true
		}
	}
	return naming{}, false
}

// Base returns the type that targets are of: cell for cell and for cell:zone.
func Base(topologyType string) string { return row(topologyType).topologyType }

// Label returns the key of the label by whose values a user-defined type names groups of
// targets: zone for cell:zone. It is empty for types whose targets are named themselves.
func Label(topologyType string) string {
	_, label := split(topologyType)
	return label
}

// Types returns the names of all types in the table, sorted.
func Types() []string {
	types := make([]string, 0, len(table))
	for _, n := range table {
		types = append(types, n.topologyType)
	}
	return types
}

// Problem says what is wrong with a type that nothing can be placed by, as a sentence without its
// end: it is neither in the table, nor divides the targets of one that is by a key that labels can
// have. It is empty for all others. The empty type has one: default first.
func Problem(topologyType string) string {
	n, label := split(topologyType)
	switch _, known := rowOf(n.topologyType); {
	case !known:
		label := topologyType
		if len(validation.IsQualifiedName(label)) > 0 {
			label = "zone"
		}
		return fmt.Sprintf("must be one of %s, or one of these, a colon and the key of a label that divides them, such as %s",
			strings.Join(Types(), ", "), v1beta2.TopologyCell+separator+label)
	case label == "":
		return ""
	case slices.Contains(reservedKeys, label):
		return fmt.Sprintf("label %s is set by the server: divide by another one", label)
	}
	if problems := validation.IsQualifiedName(label); len(problems) > 0 {
		return fmt.Sprintf("after %s comes the key of a label, such as zone or example.com/zone: %q is none", n.topologyType+separator, label)
	}
	return ""
}

// Known reports whether there is nothing wrong with a type.
func Known(topologyType string) bool { return Problem(topologyType) == "" }

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

// GroupOf returns which group of a user-defined type a target is in, by the target's labels.
// It returns false if it does not carry the label, and so is no target of the type.
func GroupOf(topologyType string, labels map[string]string) (group string, ok bool) {
	group, ok = labels[Label(topologyType)]
	return group, ok
}

// GroupTarget is what the status calls a group that no target is in. No target can have that
// name, in any shape.
func GroupTarget(topologyType, group string) string { return Label(topologyType) + "=" + group }

// IsGroupTarget reports whether a name in a status is that of a group without targets.
func IsGroupTarget(topologyType, name string) bool {
	label := Label(topologyType)
	return label != "" && strings.HasPrefix(name, label+"=")
}

// SpecClusterName returns what v1beta1 calls whom a spec names: the KubeFedCluster of a
// target, or <label>=<group>.
func SpecClusterName(topologyType, namespace, name string) string {
	if Label(topologyType) != "" {
		return GroupTarget(topologyType, name)
	}
	return ClusterName(topologyType, namespace, name)
}

// SplitSpec is Split for a name that SpecClusterName gives. Groups have no namespace.
func SplitSpec(topologyType, clusterName string) (name, namespace string, ok bool) {
	if label := Label(topologyType); label != "" {
		name, ok = strings.CutPrefix(clusterName, label+"=")
		return name, "", ok && name != ""
	}
	return Split(topologyType, clusterName)
}

// SpecRule is Rule for a name that SpecClusterName gives.
func SpecRule(topologyType, namespace string) string {
	if Label(topologyType) != "" {
		return GroupTarget(topologyType, "<value>")
	}
	return Rule(topologyType, namespace)
}

// reservedKeys are set on KubeFedClusters by the server.
var reservedKeys = []string{v1alpha1.TopologyLabel, v1alpha1.TopologyNamespaceLabel}

// SelectorLabels returns the labels that the KubeFedClusters of the type carry beside
// those of their targets, and that a converted selector asks for; nil for type cluster.
func SelectorLabels(topologyType, namespace string) map[string]string {
	if !Scoped(topologyType) {
		return nil
	}
	return map[string]string{
		v1alpha1.TopologyLabel:          Base(topologyType),
		v1alpha1.TopologyNamespaceLabel: namespace,
	}
}

// ReservedSelectorKeys returns the label keys that a selector in the topology shape may
// not use, sorted, since conversion adds and removes them; nil for type cluster.
func ReservedSelectorKeys(topologyType string) []string {
	if !Scoped(topologyType) {
		return nil
	}
	return reservedKeys
}

// SelectorToCluster returns the cluster selector that selects what s selects among
// targets of the type in namespace. nil stays nil. s is not modified; the result may
// share parts with it.
func SelectorToCluster(topologyType, namespace string, s *metav1.LabelSelector) *metav1.LabelSelector {
	if s == nil {
		return nil // before the labels are made: nearly all objects go by name
	}
	expressions, added := s.MatchExpressions, SelectorLabels(topologyType, namespace)
	switch label := Label(topologyType); {
	case label != "":
		expressions = append(carries(topologyType, metav1.LabelSelectorOpExists, nil), expressions...)
	case added == nil:
		return s
	}
	if added == nil {
		return &metav1.LabelSelector{MatchLabels: s.MatchLabels, MatchExpressions: expressions}
	}
	for k, v := range s.MatchLabels {
		if _, reserved := added[k]; !reserved {
			added[k] = v
		}
	}
	return &metav1.LabelSelector{MatchLabels: added, MatchExpressions: expressions}
}

// carries are the requirements that a converted selector of a user-defined type begins with:
// the label, and that it is no cluster that a cell appears as, where it has to be a cluster.
func carries(topologyType string, operator metav1.LabelSelectorOperator, values []string) []metav1.LabelSelectorRequirement {
	requirements := []metav1.LabelSelectorRequirement{{Key: Label(topologyType), Operator: operator, Values: values}}
	if !Scoped(topologyType) {
		requirements = append(requirements, metav1.LabelSelectorRequirement{Key: v1alpha1.TopologyLabel, Operator: metav1.LabelSelectorOpDoesNotExist})
	}
	return requirements
}

// SelectorOfGroups returns the cluster selector of groups of a user-defined type, in their order.
func SelectorOfGroups(topologyType, namespace string, groups []string) *metav1.LabelSelector {
	return &metav1.LabelSelector{
		MatchLabels:      SelectorLabels(topologyType, namespace),
		MatchExpressions: carries(topologyType, metav1.LabelSelectorOpIn, groups),
	}
}

// GroupsOfSelector is the inverse of SelectorOfGroups. It returns false for every other selector.
func GroupsOfSelector(topologyType, namespace string, s *metav1.LabelSelector) (groups []string, ok bool) {
	if s == nil || Label(topologyType) == "" || len(s.MatchExpressions) == 0 || len(s.MatchExpressions[0].Values) == 0 {
		return nil, false
	}
	groups = s.MatchExpressions[0].Values
	return groups, equality.Semantic.DeepEqual(s, SelectorOfGroups(topologyType, namespace, groups))
}

// SelectorFromCluster is the inverse of SelectorToCluster. It returns false if the
// selector does not ask for what SelectorToCluster adds: it could select clusters that
// are no targets of the type in namespace.
func SelectorFromCluster(topologyType, namespace string, s *metav1.LabelSelector) (*metav1.LabelSelector, bool) {
	removed := SelectorLabels(topologyType, namespace)
	if s == nil || removed == nil && Label(topologyType) == "" {
		return s, true
	}
	expressions := s.MatchExpressions
	if Label(topologyType) != "" {
		begin := carries(topologyType, metav1.LabelSelectorOpExists, nil)
		if len(expressions) < len(begin) || !equality.Semantic.DeepEqual(begin, expressions[:len(begin)]) {
			return nil, false
		}
		if expressions = expressions[len(begin):]; len(expressions) == 0 {
			expressions = nil
		}
	}
	if removed == nil {
		return &metav1.LabelSelector{MatchLabels: s.MatchLabels, MatchExpressions: expressions}, true
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
	return &metav1.LabelSelector{MatchLabels: rest, MatchExpressions: expressions}, true
}

// SelectorWants says, for people, what SelectorFromCluster asks of a selector.
func SelectorWants(topologyType, namespace string) string {
	var wants []string
	if Scoped(topologyType) {
		wants = append(wants, fmt.Sprintf("matchLabels must hold %s: %s and %s: %s",
			v1alpha1.TopologyLabel, Base(topologyType), v1alpha1.TopologyNamespaceLabel, namespace))
	}
	if label := Label(topologyType); label != "" {
		begin := fmt.Sprintf("{key: %s, operator: Exists}", label)
		if !Scoped(topologyType) {
			begin += fmt.Sprintf(" and {key: %s, operator: DoesNotExist}", v1alpha1.TopologyLabel)
		}
		wants = append(wants, fmt.Sprintf("matchExpressions must begin with %s, or be the same with In and values alone", begin))
	}
	return strings.Join(wants, ", and ")
}

// SelectorNamespace returns the namespace that a converted selector asks for, "" if it
// asks for none or the type has none.
func SelectorNamespace(topologyType string, s *metav1.LabelSelector) string {
	if s == nil || !Scoped(topologyType) {
		return ""
	}
	return s.MatchLabels[v1alpha1.TopologyNamespaceLabel]
}
