package strategy

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation/field"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// Targets is what admission looks up about targets. Answers may be some milliseconds
// old: controllers check again.
type Targets interface {
	// ClusterLabels returns the labels of a KubeFedCluster, and whether it exists.
	ClusterLabels(ctx context.Context, name string) (map[string]string, bool, error)
	// Exists reports whether a cell or edge unit exists.
	Exists(ctx context.Context, topologyType, namespace, name string) (bool, error)
	// NamespaceLabels returns the labels of a namespace of the host, nil if there is none.
	NamespaceLabels(ctx context.Context, name string) (map[string]string, error)
}

// NewPlacementChecker returns a checker of the targets that a placement names.
func NewPlacementChecker(targets Targets) PlacementChecker { return placementChecker{targets} }

type placementChecker struct{ targets Targets }

// CheckPlacement refuses targets of other tenants and warns of those that do not exist.
func (c placementChecker) CheckPlacement(ctx context.Context, o *typesv1beta2.FederatedObject, version string) (errs field.ErrorList, warnings []string) {
	if o.Spec.Placement == nil {
		return nil, nil
	}
	list, word := field.NewPath("spec", "placement", "topologies"), func(name string) string { return name }
	if version == federated.V1beta1.Version {
		list = field.NewPath("spec", "placement", "clusters")
		word = func(name string) string { return topology.ClusterName(o.Spec.TopologyType, o.Namespace, name) }
	}
	namespaceLabels := c.namespaceLabels(ctx, o.Namespace)
	for i, t := range o.Spec.Placement.Topologies {
		path := list.Index(i).Child("name")
		refusal, warning, err := c.check(ctx, o, t.Name, namespaceLabels)
		switch {
		case err != nil:
			errs = append(errs, field.InternalError(path, err))
		case refusal != "":
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("%q %s", word(t.Name), refusal)))
		case warning != "":
			warnings = append(warnings, fmt.Sprintf("%s: %q: %s", path, word(t.Name), warning))
		}
	}
	return errs, warnings
}

// namespaceLabels returns a function that asks the host at its first call: not for every
// target, and not for cells. Objects without a namespace have no tenant.
func (c placementChecker) namespaceLabels(ctx context.Context, namespace string) func() (map[string]string, error) {
	return sync.OnceValues(func() (map[string]string, error) {
		if namespace == "" {
			return nil, nil
		}
		return c.targets.NamespaceLabels(ctx, namespace)
	})
}

// check returns what is wrong with one target, and what is odd.
func (c placementChecker) check(ctx context.Context, o *typesv1beta2.FederatedObject, name string, namespaceLabels func() (map[string]string, error)) (refusal, warning string, err error) {
	if kind, ok := targetKinds[o.Spec.TopologyType]; ok {
		exists, err := c.targets.Exists(ctx, o.Spec.TopologyType, o.Namespace, name)
		if err == nil && !exists {
			warning = fmt.Sprintf("there is no %s of that name in namespace %s; nothing happens there until it is created", kind, o.Namespace)
		}
		return "", warning, err
	}
	labels, exists, err := c.targets.ClusterLabels(ctx, name)
	switch {
	case err != nil:
		return "", "", err
	case !exists:
		return "", "there is no KubeFedCluster of that name; nothing happens there until it is created", nil
	}
	ours, err := namespaceLabels()
	if err != nil {
		return "", "", err
	}
	return foreign(labels, o.Namespace, ours), "", nil
}

var targetKinds = map[string]string{
	typesv1beta2.TopologyCell:     "Cell",
	typesv1beta2.TopologyEdgeUnit: "EdgeUnit",
}

// foreign says why a namespace may not use a cluster, or nothing. Cluster-scoped objects
// have no namespace, and so no tenant.
func foreign(cluster map[string]string, namespace string, labels map[string]string) string {
	if owner := cluster[federationv1alpha1.TopologyNamespaceLabel]; owner != "" && owner != namespace {
		return fmt.Sprintf("is a %s of namespace %s: only objects of that namespace may be placed there", cluster[federationv1alpha1.TopologyLabel], owner)
	}
	who := "namespace " + namespace
	if namespace == "" {
		who = "an object without a namespace"
	}
	for _, label := range []string{federationv1alpha1.TenantLabel, federationv1alpha1.WorkspaceGroupLabel} {
		if cluster[label] != labels[label] {
			return fmt.Sprintf("has %s, and %s has %s: an object may only be placed in clusters of its own tenant and workspace group",
				labelled(label, cluster[label]), who, orNone(labels[label]))
		}
	}
	return ""
}

func labelled(label, value string) string {
	if value == "" {
		return "no label " + label
	}
	return "the label " + label + "=" + value
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}
