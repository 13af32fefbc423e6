package placement

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// Candidate is one cluster, cell or edge unit that an object could be placed in.
type Candidate struct {
	// Name in the words of the topology type.
	Name string
	// Labels that selectors look at.
	Labels map[string]string
	// Member is the KubeFedCluster to write to. For topology cluster it is Name, unless
	// Name is the cluster that a cell appears as.
	Member string
	// Namespace in the member; empty is the object's own.
	Namespace string
	// Owner that the namespace in the member must have.
	Owner ownership.Owner
	// NodeSelector goes into pod templates; nil for all but edge units.
	NodeSelector map[string]string
	// ByNameOnly keeps the candidate out of every selector: the clusters that cells
	// appear as.
	ByNameOnly bool
	// Leaving is why the target is to be left by everything that is in it, as a sentence without its end:
	// its cell is being deleted. Empty if it is not.
	Leaving string
	// Refusal is why an object of this namespace may not use the candidate, as a
	// sentence without its end; empty if it may.
	Refusal string
}

// Disposition says what may be done with a target.
type Disposition int

const (
	// Placed targets run what the spec says.
	Placed Disposition = iota
	// Masked targets are placed and stay as they are.
	Masked
	// NotFound targets are named and do not exist, or not for this tenant.
	NotFound
	// Outside targets are where the object's namespace does not go: the object leaves them, as
	// far as its mask lets it. See Narrow.
	Outside
	// Unfederated targets are those of an object whose namespace is not federated: nothing new
	// goes there, and what is there stays as it is, since absent is no order. See Narrow.
	Unfederated
)

// Target is one target that a placement names or selects.
type Target struct {
	Candidate
	Disposition Disposition
	// Named: the placement names the target, and no selector picked it.
	Named bool
	// Message says why a target is NotFound, Outside or Unfederated.
	Message string
}

// Resolve returns the targets of placement, sorted by name, each name once. mask nil
// lets all of them change.
//
// Names win over the selector, even an empty list of names; a selector that is empty
// selects every candidate; neither selects nobody. A candidate that may not be used is
// never selected, and NotFound when it is named.
//
// Of a user-defined type, names are those of groups, which are like selectors: a candidate that
// may not be used is in none. A group that nothing is in is NotFound.
func Resolve(topologyType string, placement, mask *v1beta2.Placement, candidates []Candidate) ([]Target, error) {
	placed, err := newMatcher(topologyType, placement)
	if err != nil {
		return nil, fmt.Errorf("spec.placement.topologySelector: %w", err)
	}
	allowed, err := NewMask(topologyType, mask)
	if err != nil {
		return nil, err
	}
	var targets []Target
	known := map[string]bool{}
	for _, c := range candidates {
		if !placed.matches(c.Name, &c) {
			continue
		}
		name, _ := placed.nameOf(c.Name, &c)
		known[name] = true
		target := dispose(c, allowed)
		target.Named = placed.names != nil && !placed.grouped()
		targets = append(targets, target)
	}
	for name := range placed.names {
		if !known[name] {
			targets = append(targets, placed.missing(name))
		}
	}
	slices.SortFunc(targets, func(a, b Target) int { return strings.Compare(a.Name, b.Name) })
	return targets, nil
}

func dispose(c Candidate, allowed *Mask) Target {
	switch {
	case c.Refusal != "":
		return Target{Candidate: c, Disposition: NotFound, Message: c.Refusal}
	case !allowed.Allows(c.Name, &c):
		return Target{Candidate: c, Disposition: Masked}
	default:
		return Target{Candidate: c, Disposition: Placed}
	}
}

// MayPick reports whether a placement may ask for a target that is gone: it names it, or has a selector or names groups, of
// which nobody knows whether they would pick it. That a target is gone is then no order to leave it; all else is one.
func MayPick(topologyType string, p *v1beta2.Placement, name string) bool {
	switch {
	case p == nil:
		return false
	case p.Topologies != nil && topology.Label(topologyType) != "":
		return len(p.Topologies) > 0
	case p.Topologies != nil:
		return slices.ContainsFunc(p.Topologies, func(t v1beta2.TopologyReference) bool { return t.Name == name })
	}
	return p.TopologySelector != nil
}

// Mask says which targets may change now.
type Mask struct {
	all     bool
	matcher *matcher
}

// NewMask reads the placement mask of an object of a topology type; nil allows everything.
func NewMask(topologyType string, mask *v1beta2.Placement) (*Mask, error) {
	if mask == nil {
		return &Mask{all: true}, nil
	}
	m, err := newMatcher(topologyType, mask)
	if err != nil {
		return nil, fmt.Errorf("spec.placementMask.topologySelector: %w", err)
	}
	return &Mask{matcher: m}, nil
}

// Allows reports whether the target of that name may change. candidate is nil for a
// target that no longer exists: neither a selector nor the name of a group picks it.
func (m *Mask) Allows(name string, candidate *Candidate) bool {
	return m.all || m.matcher.matches(name, candidate)
}

// OverrideSelector reads the topologySelector of an override, which is for the targets whose labels it
// matches. The engine applies overrides by it, and admission warns by it of those that are for nobody.
func OverrideSelector(selector *metav1.LabelSelector) (labels.Selector, error) {
	return metav1.LabelSelectorAsSelector(selector)
}

// matcher is a Placement, read. names is nil if the selector decides.
type matcher struct {
	topologyType string
	// label is that of a user-defined type, by whose values targets are named; else empty.
	label    string
	names    map[string]bool
	selector labels.Selector
}

func newMatcher(topologyType string, p *v1beta2.Placement) (*matcher, error) {
	m := &matcher{topologyType: topologyType, label: topology.Label(topologyType), selector: labels.Nothing()}
	switch {
	case p == nil:
		return m, nil
	case p.Topologies != nil:
		m.names = make(map[string]bool, len(p.Topologies))
		for _, t := range p.Topologies {
			m.names[t.Name] = true
		}
		return m, nil
	}
	var err error
	m.selector, err = metav1.LabelSelectorAsSelector(p.TopologySelector)
	return m, err
}

// grouped reports whether names are those of groups.
func (m *matcher) grouped() bool { return m.label != "" }

// nameOf returns what a spec calls a target by: its own name, or that of its group. It returns false
// if the target is in none.
func (m *matcher) nameOf(name string, c *Candidate) (string, bool) {
	if !m.grouped() {
		return name, true
	}
	if c == nil {
		return "", false
	}
	group, ok := c.Labels[m.label]
	return group, ok
}

func (m *matcher) matches(name string, c *Candidate) bool {
	name, ok := m.nameOf(name, c)
	switch {
	case !ok:
		return false
	case m.names != nil && !m.grouped():
		return m.names[name]
	case c == nil || c.ByNameOnly || c.Refusal != "":
		return false
	case m.names != nil:
		return m.names[name]
	}
	return m.selector.Matches(labels.Set(c.Labels))
}

// missing is a name that no candidate is called by.
func (m *matcher) missing(name string) Target {
	if !m.grouped() {
		return Target{
			Candidate: Candidate{Name: name}, Disposition: NotFound, Named: true,
			Message: fmt.Sprintf("there is no %s %q", m.topologyType, name),
		}
	}
	name = topology.GroupTarget(m.topologyType, name)
	return Target{
		Candidate: Candidate{Name: name}, Disposition: NotFound, Named: true,
		Message: fmt.Sprintf("there is no %s with the label %s that the object may use", topology.Base(m.topologyType), name),
	}
}
