package placement

import (
	"errors"
	"fmt"
	"slices"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// ErrNamespaceUnknown occurs while nobody can tell whether a namespace is federated, and where.
// The caller leaves everything as it is, and asks again once that is known.
var ErrNamespaceUnknown = errors.New("it is not known yet where the namespace of the object is federated")

// Namespace is what is known of the FederatedNamespace of an object's namespace: an object goes
// only where that one goes. See ADR 33.
type Namespace struct {
	// Name of the namespace, and of its FederatedNamespace.
	Name string
	// Unknown: nobody can tell yet whether there is a FederatedNamespace.
	Unknown bool
	// Off: FederatedNamespaces are not propagated at all, and Federated is nil.
	Off bool
	// Optional: objects go where they are placed if there is no FederatedNamespace, as where
	// the scope of the KubeFedConfig is Namespaced.
	Optional bool
	// Federated is the FederatedNamespace; nil: there is none. One that is being deleted
	// says nothing any more.
	Federated *v1beta2.FederatedObject
}

// Narrow returns the targets of an object of that topology type as the FederatedNamespace of its
// namespace leaves them, in the same order: those that it leaves out are Outside, or Unfederated,
// with a message on why. Targets that are not there at all stay NotFound.
//
// Clusters are narrowed by a FederatedNamespace that is placed in clusters, whatever they are grouped by; without such a one they
// are Unfederated, unless that is Optional. Targets of any other type are narrowed by one of the same type, and by no
// other, since the namespace of a cell is the cell's; and so it is with clusters that cells
// appear as. It is the placement that narrows, and not the mask: where a namespace is masked, it is
// placed.
//
// It returns ErrNamespaceUnknown, or an error if the placement of the FederatedNamespace does not
// parse.
func Narrow(topologyType string, targets []Target, namespace Namespace) ([]Target, error) {
	if namespace.Unknown {
		return nil, ErrNamespaceUnknown
	}
	switch {
	case topology.Base(namespace.placedBy()) == topology.Base(topologyType):
		return namespace.narrow(targets)
	case topology.Base(topologyType) == v1beta2.TopologyCluster && !namespace.Optional:
		return unfederated(targets, namespace.refusal()), nil
	}
	return targets, nil
}

// narrow leaves out what the FederatedNamespace does not place.
func (n Namespace) narrow(targets []Target) ([]Target, error) {
	placed, err := newMatcher(n.placedBy(), n.Federated.Spec.Placement)
	if err != nil {
		return nil, fmt.Errorf("FederatedNamespace %q: spec.placement.topologySelector: %w", n.Name, err)
	}
	narrowed := slices.Clone(targets)
	for i := range narrowed {
		if t := &narrowed[i]; t.isNarrowed() && !placed.matches(t.Name, &t.Candidate) {
			t.Disposition = Outside
			t.Message = fmt.Sprintf("the FederatedNamespace of namespace %q is not placed in %s %q", n.Name, topology.Base(n.placedBy()), t.Name)
		}
	}
	return narrowed, nil
}

// unfederated leaves out what nobody says anything of. What is masked stays as it is anyway.
func unfederated(targets []Target, why string) []Target {
	targets = slices.Clone(targets)
	for i := range targets {
		if t := &targets[i]; t.isNarrowed() && t.Disposition == Placed {
			t.Disposition, t.Message = Unfederated, why
		}
	}
	return targets
}

// isNarrowed reports whether a FederatedNamespace of the target's own topology type has a say.
func (t *Target) isNarrowed() bool {
	return !t.ByNameOnly && (t.Disposition == Placed || t.Disposition == Masked)
}

// placedBy is the topology type of the FederatedNamespace, empty if there is none.
func (n Namespace) placedBy() string {
	if n.Federated == nil || n.Federated.DeletionTimestamp != nil {
		return ""
	}
	return TopologyOf(n.Federated)
}

// refusal says why nothing new is placed in clusters, and what to do.
func (n Namespace) refusal() string {
	switch {
	case n.Off:
		return fmt.Sprintf("namespace %q is not federated, since FederatedNamespaces are not propagated: enable the FederatedTypeConfig \"namespaces\", and create a FederatedNamespace %q in namespace %q", n.Name, n.Name, n.Name)
	case n.Federated == nil:
		return fmt.Sprintf("namespace %q is not federated: create a FederatedNamespace %q in namespace %q", n.Name, n.Name, n.Name)
	case n.Federated.DeletionTimestamp != nil:
		return fmt.Sprintf("namespace %q is not federated any more: its FederatedNamespace is being deleted; create it again once it is gone", n.Name)
	}
	return fmt.Sprintf("namespace %q is federated by topology type %q, which says nothing of clusters: its FederatedNamespace has to be of topology type %q",
		n.Name, n.Federated.Spec.TopologyType, v1beta2.TopologyCluster)
}
