package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Annotations of Services.
const (
	// Annotation is ours.
	Annotation = "edge.koinon.io/topology"
	// OpenYurtAnnotation is for people who come from there.
	OpenYurtAnnotation = "openyurt.io/topologyKeys"
)

// Scope is a place around a node, in which endpoints are.
type Scope uint8

// The places, from the narrowest to the widest.
const (
	Node Scope = iota + 1
	Unit
	Anywhere
)

// Rule is in which places to look for endpoints, in this order: the first that has ready ones is it, and the last if none has. An empty Rule filters nothing.
type Rule []Scope

var (
	values = map[string]Rule{"unit": {Unit}, "node": {Node}, "preferUnit": {Unit, Anywhere}}
	keys   = map[string]Scope{"kubernetes.io/hostname": Node, "openyurt.io/nodepool": Unit, "kubernetes.io/zone": Unit, "*": Anywhere}
)

// RuleOf reads the annotations of a Service. With an error, which is for whoever wrote them, comes the rule that counts all the same: unit.
func RuleOf(annotations map[string]string) (Rule, error) {
	if value, ok := annotations[Annotation]; ok {
		if rule := values[strings.TrimSpace(value)]; rule != nil {
			return rule, nil
		}
		return Rule{Unit}, fmt.Errorf("the annotation %s is %q: it must be unit, node or preferUnit, and is taken for unit", Annotation, value)
	}
	if value, ok := annotations[OpenYurtAnnotation]; ok {
		return ruleOfKeys(value)
	}
	return nil, nil
}

// ruleOfKeys reads a list of OpenYurt's keys.
func ruleOfKeys(value string) (Rule, error) {
	var rule Rule
	for key := range strings.SplitSeq(value, ",") {
		scope, ok := keys[strings.TrimSpace(key)]
		if !ok || slices.Contains(rule, Anywhere) {
			return Rule{Unit}, fmt.Errorf("the annotation %s is %q: it must be a list, with commas, of kubernetes.io/hostname, openyurt.io/nodepool, kubernetes.io/zone and, as its last, *, and is taken for openyurt.io/nodepool", OpenYurtAnnotation, value)
		}
		if !slices.Contains(rule, scope) {
			rule = append(rule, scope)
		}
	}
	return rule, nil
}
