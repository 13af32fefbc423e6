package placement

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Why says whether a placement, or a mask that is not nil, picks a target, and why or why not, in the words that
// follow "it is placed:" and the like. candidate is nil if there is no target of that name. The rule is that of
// Resolve and Mask, so that what is said is what is done; the error is theirs.
func Why(topologyType string, p *v1beta2.Placement, name string, candidate *Candidate) (picks bool, why string, err error) {
	m, err := newMatcher(topologyType, p)
	if err != nil {
		return false, "", err
	}
	picks = m.matches(name, candidate)
	group, ok := m.nameOf(name, candidate)
	switch {
	case p == nil:
		return picks, "there is none", nil
	case m.grouped() && candidate == nil:
		return picks, fmt.Sprintf("topologyType %s picks only what there is", topologyType), nil
	case !ok:
		return picks, fmt.Sprintf("topologyType %s picks what has the label %s, and it has none", topologyType, m.label), nil
	case m.grouped() && m.names != nil:
		return picks, m.whyGroup(group, candidate), nil
	case m.names != nil && picks:
		return picks, "topologies names it", nil
	case m.names != nil:
		return picks, "topologies does not name it", nil
	case p.TopologySelector == nil:
		return picks, "it has neither topologies nor topologySelector", nil
	}
	return picks, "topologySelector " + m.whySelector(p.TopologySelector, candidate), nil
}

// whyGroup says what names of groups say of a target's own.
func (m *matcher) whyGroup(group string, c *Candidate) string {
	has := "and it has the label " + topology.GroupTarget(m.topologyType, group)
	switch {
	case c.ByNameOnly:
		return "topologies names groups, which no cluster that a cell or an edge unit appears as is in"
	case c.Refusal != "":
		return "topologies names groups of what the namespace may use"
	case m.names[group]:
		return fmt.Sprintf("topologies names %q, %s", group, has)
	}
	return fmt.Sprintf("topologies does not name %q, %s", group, has)
}

// whySelector says what of a selector a target meets, or the first part that it does not.
func (m *matcher) whySelector(selector *metav1.LabelSelector, c *Candidate) string {
	text := metav1.FormatLabelSelector(selector)
	switch {
	case c == nil:
		return fmt.Sprintf("%q picks only what there is", text)
	case c.ByNameOnly:
		return fmt.Sprintf("%q picks no cluster that a cell or an edge unit appears as", text)
	case c.Refusal != "":
		return fmt.Sprintf("%q picks only what the namespace may use", text)
	case m.selector.Empty():
		return "is empty, which picks all"
	}
	requirements, _ := m.selector.Requirements()
	for _, r := range requirements {
		if !r.Matches(labels.Set(c.Labels)) {
			return fmt.Sprintf("wants %s, and it has %s", r.String(), labelText(c.Labels, r.Key()))
		}
	}
	var met []string
	for _, r := range requirements {
		met = append(met, r.String())
	}
	return fmt.Sprintf("wants %s, which it has", strings.Join(met, ","))
}

func labelText(set map[string]string, key string) string {
	if value, there := set[key]; there {
		return key + "=" + value
	}
	return "no label " + key
}
