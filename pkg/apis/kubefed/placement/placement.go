package placement

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
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
// lets all of them change. topologyType is used in messages only.
//
// Names win over the selector, even an empty list of names; a selector that is empty
// selects every candidate; neither selects nobody. A candidate that may not be used is
// never selected, and NotFound when it is named.
func Resolve(topologyType string, placement, mask *v1beta2.Placement, candidates []Candidate) ([]Target, error) {
	placed, err := newMatcher(placement)
	if err != nil {
		return nil, fmt.Errorf("spec.placement.topologySelector: %w", err)
	}
	allowed, err := NewMask(mask)
	if err != nil {
		return nil, err
	}
	var targets []Target
	known := map[string]bool{}
	for _, c := range candidates {
		if !placed.matches(c.Name, &c) {
			continue
		}
		known[c.Name] = true
		target := dispose(c, allowed)
		target.Named = placed.names != nil
		targets = append(targets, target)
	}
	for name := range placed.names {
		if !known[name] {
			targets = append(targets, Target{
				Candidate:   Candidate{Name: name},
				Disposition: NotFound,
				Named:       true,
				Message:     fmt.Sprintf("there is no %s %q", topologyType, name),
			})
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

// Mask says which targets may change now.
type Mask struct {
	all     bool
	matcher *matcher
}

// NewMask reads a placement mask; nil allows everything.
func NewMask(mask *v1beta2.Placement) (*Mask, error) {
	if mask == nil {
		return &Mask{all: true}, nil
	}
	m, err := newMatcher(mask)
	if err != nil {
		return nil, fmt.Errorf("spec.placementMask.topologySelector: %w", err)
	}
	return &Mask{matcher: m}, nil
}

// Allows reports whether the target of that name may change. candidate is nil for a
// target that no longer exists: a selector does not pick it.
func (m *Mask) Allows(name string, candidate *Candidate) bool {
	return m.all || m.matcher.matches(name, candidate)
}

// matcher is a Placement, read. names is nil if the selector decides.
type matcher struct {
	names    map[string]bool
	selector labels.Selector
}

func newMatcher(p *v1beta2.Placement) (*matcher, error) {
	if p == nil {
		return &matcher{selector: labels.Nothing()}, nil
	}
	if p.Topologies != nil {
		names := make(map[string]bool, len(p.Topologies))
		for _, t := range p.Topologies {
			names[t.Name] = true
		}
		return &matcher{names: names}, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(p.TopologySelector)
	if err != nil {
		return nil, err
	}
	return &matcher{selector: selector}, nil
}

func (m *matcher) matches(name string, c *Candidate) bool {
	if m.names != nil {
		return m.names[name]
	}
	return c != nil && !c.ByNameOnly && c.Refusal == "" && m.selector.Matches(labels.Set(c.Labels))
}
