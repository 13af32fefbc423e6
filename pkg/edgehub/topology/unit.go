package topology

import (
	"fmt"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
)

// OpenYurtPoolLabel is on nodes of people who come from there. A pool is the unit of its name.
const OpenYurtPoolLabel = "apps.openyurt.io/nodepool"

// UnitOf returns the unit that a node with some labels is in, "" for none: that of its label edge.koinon.io/unit, else of OpenYurt's, else of the EdgeUnit that
// selects it. units are those of the node's cluster, in any order.
//
// Labels go first, since whoever may label nodes has a say over them, while an EdgeUnit is of a namespace, and could select all. EdgeUnits that select by the same
// labels are one unit. A node that is selected by others, too, is in the one whose selector is first by its text; the error then is for whoever made them.
func UnitOf(nodeLabels map[string]string, units []*v1alpha1.EdgeUnit) (string, error) {
	for _, label := range []string{v1alpha1.UnitLabel, OpenYurtPoolLabel} {
		if unit := nodeLabels[label]; unit != "" {
			return unit, nil
		}
	}
	var (
		found, other string // texts of selectors: no value of a label has a "="
		of, otherOf  *v1alpha1.EdgeUnit
	)
	for _, unit := range units {
		if !selects(unit, nodeLabels) {
			continue
		}
		switch text := labels.Set(unit.Spec.NodeSelector).String(); {
		case found == "" || text < found:
			found, of, other, otherOf = text, unit, found, of
		case text > found && (other == "" || text < other):
			other, otherOf = text, unit
		}
	}
	if other != "" {
		return found, fmt.Errorf("the node is in the EdgeUnit %s/%s by %s, and in %s/%s by %s: it is taken for one of the first alone", of.Namespace, of.Name, found, otherOf.Namespace, otherOf.Name, other)
	}
	return found, nil
}

// selects reports whether an EdgeUnit selects a node that has no label of a unit. One without a selector selects by that label.
func selects(unit *v1alpha1.EdgeUnit, nodeLabels map[string]string) bool {
	for label, value := range unit.Spec.NodeSelector {
		if has, ok := nodeLabels[label]; !ok || has != value {
			return false
		}
	}
	return len(unit.Spec.NodeSelector) > 0
}
