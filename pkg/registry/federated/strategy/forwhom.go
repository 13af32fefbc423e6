package strategy

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// overridesForNobody warns of overrides by selector that are for none of the targets that there are now.
// What cannot be told is not warned of, nor are writers in v1beta1, who have not written them.
func (c *placementCheck) overridesForNobody(version string) (warnings []string) {
	if version == federated.V1beta1.Version {
		return nil
	}
	var targets []placement.Target // nil until there is an override by selector
	for i := range c.object.Spec.Overrides {
		selector := c.object.Spec.Overrides[i].TopologySelector
		if selector == nil {
			continue
		}
		if targets == nil {
			if targets = c.placed(); len(targets) == 0 {
				return nil // placed nowhere yet
			}
		}
		picks, err := placement.OverrideSelector(selector)
		if err != nil || slices.ContainsFunc(targets, func(t placement.Target) bool { return picks.Matches(labels.Set(t.Labels)) }) {
			continue
		}
		at := field.NewPath("spec", "overrides").Index(i).Child("topologySelector")
		warnings = append(warnings, fmt.Sprintf("%s: %q matches none of the %d targets that are placed now: the override has no effect until one has such labels",
			at, metav1.FormatLabelSelector(selector), len(targets)))
	}
	return warnings
}

// placed are the targets that the placement names or selects, that there are, and that the object may have: of others' nothing is
// told, nor how many there are. There are none if that is not known.
func (c *placementCheck) placed() (placed []placement.Target) {
	candidates, err := c.candidates()
	if err != nil {
		return nil
	}
	targets, err := placement.Resolve(c.object.Spec.TopologyType, c.object.Spec.Placement, nil, candidates)
	if err != nil {
		return nil
	}
	for _, target := range targets {
		if target.Disposition != placement.Placed {
			continue
		}
		refusal, _, err := c.target(target.Name)
		if err != nil {
			return nil
		}
		if refusal == "" {
			placed = append(placed, target)
		}
	}
	return placed
}
