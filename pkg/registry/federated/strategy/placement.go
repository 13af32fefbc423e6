package strategy

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// Targets is what admission looks up about targets. Answers may be some milliseconds
// old: controllers check again.
type Targets interface {
	// Cluster returns a KubeFedCluster, nil if there is none.
	Cluster(ctx context.Context, name string) (*corev1beta1.KubeFedCluster, error)
	// Unit returns a cell or an edge unit, nil if there is none.
	Unit(ctx context.Context, topologyType, namespace, name string) (*Unit, error)
	// LabelsOf returns the labels of all targets of a topology type, by name; those of cells and edge units
	// of one namespace. Labels are shared.
	LabelsOf(ctx context.Context, topologyType, namespace string) (map[string]map[string]string, error)
	// NamespaceLabels returns the labels of a namespace of the host, nil if there is none.
	NamespaceLabels(ctx context.Context, name string) (map[string]string, error)
	// Page returns who owns the namespaces of that name in members, nil if nobody does.
	Page(ctx context.Context, namespace string) (*federationv1alpha1.MemberNamespace, error)
	// OnlyNamespace returns the namespace whose objects alone are propagated, as the scope of the KubeFedConfig says; empty: those of all are.
	OnlyNamespace(ctx context.Context) (string, error)
}

// Unit is what admission wants to know of a cell or an edge unit.
type Unit struct {
	Labels map[string]string
	// Member and Namespace are where it lies.
	Member, Namespace string
}

// NewPlacementChecker returns a checker of the targets that a placement names.
func NewPlacementChecker(targets Targets) PlacementChecker { return placementChecker{targets} }

type placementChecker struct{ targets Targets }

// CheckPlacement refuses targets of other tenants, and those whose namespace is somebody
// else's or the member's own; it warns of targets that do not exist, and of overrides for nobody.
func (c placementChecker) CheckPlacement(ctx context.Context, o *typesv1beta2.FederatedObject, version string) (errs field.ErrorList, warnings []string) {
	if o.Spec.Placement == nil {
		return nil, nil
	}
	if topology.Label(o.Spec.TopologyType) != "" {
		return c.checkGroups(ctx, o, version)
	}
	list, word := field.NewPath("spec", "placement", "topologies"), func(name string) string { return name }
	if version == federated.V1beta1.Version {
		list = field.NewPath("spec", "placement", "clusters")
		word = func(name string) string { return topology.ClusterName(o.Spec.TopologyType, o.Namespace, name) }
	}
	check := c.of(ctx, o)
	for i, t := range o.Spec.Placement.Topologies {
		path := list.Index(i).Child("name")
		refusal, warning, err := check.target(t.Name)
		switch {
		case err != nil:
			errs = append(errs, field.InternalError(path, err))
		case refusal != "":
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("%q %s", word(t.Name), refusal)))
		case warning != "":
			warnings = append(warnings, fmt.Sprintf("%s: %q: %s", path, word(t.Name), warning))
		}
	}
	if warning := check.selectsForSystemNamespace(version); warning != "" {
		warnings = append(warnings, warning)
	}
	return errs, append(warnings, check.overridesForNobody(version)...)
}

// checkGroups warns of groups that nothing is in which the object may use: like a selector, a group
// does not name what is in it, so that nothing is refused.
func (c placementChecker) checkGroups(ctx context.Context, o *typesv1beta2.FederatedObject, version string) (errs field.ErrorList, warnings []string) {
	at := func(i int) *field.Path {
		return field.NewPath("spec", "placement", "topologies").Index(i).Child("name")
	}
	if version == federated.V1beta1.Version {
		at = func(i int) *field.Path {
			return field.NewPath("spec", "placement", "clusterSelector", "matchExpressions").Index(0).Child("values").Index(i)
		}
	}
	check := c.of(ctx, o)
	if len(o.Spec.Placement.Topologies) > 0 {
		groups, err := check.groups()
		if err != nil {
			return append(errs, field.InternalError(at(0), err)), nil
		}
		base := topology.Base(o.Spec.TopologyType)
		for i, t := range o.Spec.Placement.Topologies {
			if !groups[t.Name] {
				warnings = append(warnings, fmt.Sprintf("%s: %q: there is no %s with the label %s that the object may use; nothing happens until there is one",
					at(i), t.Name, base, topology.GroupTarget(o.Spec.TopologyType, t.Name)))
			}
		}
	}
	if warning := check.selectsForSystemNamespace(version); warning != "" {
		warnings = append(warnings, warning)
	}
	return errs, append(warnings, check.overridesForNobody(version)...)
}

// groups are those of the object's topology type in which there is something that it may use.
func (c *placementCheck) groups() (map[string]bool, error) {
	topologyType, groups := c.object.Spec.TopologyType, map[string]bool{}
	candidates, err := c.candidates()
	if err != nil {
		return nil, err
	}
	for _, candidate := range candidates {
		if group, ok := topology.GroupOf(topologyType, candidate.Labels); ok && candidate.Refusal == "" && !candidate.ByNameOnly {
			groups[group] = true
		}
	}
	return groups, nil
}

// candidates are all targets of the object's topology type, with what tenants say of them.
func (c *placementCheck) candidates() ([]placement.Candidate, error) {
	known, err := c.LabelsOf(c.ctx, topology.Base(c.object.Spec.TopologyType), c.object.Namespace)
	if err != nil {
		return nil, err
	}
	tenant, err := c.tenant()
	if err != nil {
		return nil, err
	}
	candidates := make([]placement.Candidate, 0, len(known))
	for name, of := range known {
		candidates = append(candidates, c.candidate(name, of, tenant))
	}
	return candidates, nil
}

func (c *placementCheck) candidate(name string, of map[string]string, tenant tenancy.Tenant) placement.Candidate {
	candidate := placement.Candidate{Name: name, Labels: of}
	if topology.Scoped(c.object.Spec.TopologyType) {
		candidate.Refusal = tenancy.UnitRefusal(c.object.Namespace, tenant, of)
		return candidate
	}
	candidate.ByNameOnly = of[federationv1alpha1.TopologyLabel] != ""
	candidate.Refusal = tenancy.Refusal(c.object.Namespace, tenant, tenancy.Of(of), tenancy.WholeCluster)
	if owner := of[federationv1alpha1.TopologyNamespaceLabel]; owner != "" && owner != c.object.Namespace {
		candidate.Refusal = ofAnother(of)
	}
	return candidate
}

// placementCheck is the check of one object. What it looks up more than once it keeps.
type placementCheck struct {
	Targets
	ctx    context.Context
	object *typesv1beta2.FederatedObject
	// tenant asks the host at its first call: not for every target, and not for nothing.
	tenant func() (tenancy.Tenant, error)
	// holders are the owners in each member, by the name of a namespace.
	holders map[string]map[string]ownership.Owner
}

func (c placementChecker) of(ctx context.Context, o *typesv1beta2.FederatedObject) *placementCheck {
	return &placementCheck{
		Targets: c.targets, ctx: ctx, object: o,
		holders: map[string]map[string]ownership.Owner{},
		tenant: sync.OnceValues(func() (tenancy.Tenant, error) {
			if o.Namespace == "" { // it has no tenant
				return tenancy.Tenant{}, nil
			}
			labels, err := c.targets.NamespaceLabels(ctx, o.Namespace)
			return tenancy.Of(labels), err
		}),
	}
}

// target returns what is wrong with one target, in the words that follow its name, and what
// is odd.
func (c *placementCheck) target(name string) (refusal, warning string, err error) {
	if kind, ok := targetKinds[topology.Base(c.object.Spec.TopologyType)]; ok {
		return c.unit(kind, name)
	}
	return c.cluster(name)
}

var targetKinds = map[string]string{
	typesv1beta2.TopologyCell:     "Cell",
	typesv1beta2.TopologyEdgeUnit: "EdgeUnit",
}

func (c *placementCheck) unit(kind, name string) (refusal, warning string, err error) {
	unit, err := c.Unit(c.ctx, topology.Base(c.object.Spec.TopologyType), c.object.Namespace, name)
	switch {
	case err != nil:
		return "", "", err
	case unit == nil:
		return "", fmt.Sprintf("there is no %s of that name in namespace %s; nothing happens there until it is created", kind, c.object.Namespace), nil
	}
	if len(tenancy.Of(unit.Labels).Labels()) > 0 { // else it is its namespace's
		tenant, err := c.tenant()
		if err != nil {
			return "", "", err
		}
		if refusal := tenancy.UnitRefusal(c.object.Namespace, tenant, unit.Labels); refusal != "" {
			return refusal, "", nil
		}
	}
	refusal, err = c.place(name, unit.Member, unit.Namespace)
	return refusal, "", err
}

func (c *placementCheck) cluster(name string) (refusal, warning string, err error) {
	cluster, err := c.Cluster(c.ctx, name)
	switch {
	case err != nil:
		return "", "", err
	case cluster == nil:
		return "", "there is no KubeFedCluster of that name; nothing happens there until it is created", nil
	}
	labels := cluster.Labels
	if owner := labels[federationv1alpha1.TopologyNamespaceLabel]; owner != "" && owner != c.object.Namespace {
		return ofAnother(labels), "", nil
	}
	tenant, err := c.tenant()
	if err != nil {
		return "", "", err
	}
	if refusal := tenancy.Refusal(c.object.Namespace, tenant, tenancy.Of(labels), tenancy.WholeCluster); refusal != "" {
		return refusal, "", nil
	}
	member, namespace := name, c.object.Namespace
	if labels[federationv1alpha1.TopologyLabel] != "" {
		unit := ownership.OwnerOf(c.object.Spec.TopologyType, c.object.Namespace, name)
		member = labels[federationv1alpha1.MemberLabel]
		namespace = ownership.MemberNamespaceOf(cluster.Annotations[federationv1alpha1.MemberNamespaceAnnotation], unit.Namespace, unit.Name)
	}
	if namespace == "" {
		return "", "", nil // an object without a namespace
	}
	system := ownership.SystemNamespacesOf(cluster)
	system.Member = member
	if refusal := system.Refusal(namespace); refusal != "" {
		return "is refused: " + refusal, "", nil
	}
	refusal, err = c.place(name, member, namespace)
	return refusal, "", err
}

// ofAnother refuses the cluster that a cell or an edge unit of another namespace appears as.
func ofAnother(labels map[string]string) string {
	return fmt.Sprintf("is a %s of namespace %s: only objects of that namespace may be placed there",
		labels[federationv1alpha1.TopologyLabel], labels[federationv1alpha1.TopologyNamespaceLabel])
}

// place refuses a namespace of a member that is somebody else's.
func (c *placementCheck) place(target, member, namespace string) (refusal string, err error) {
	holders, ok := c.holders[namespace]
	if !ok {
		page, err := c.Page(c.ctx, namespace)
		if err != nil {
			return "", err
		}
		holders = ownership.Holders(page)
		c.holders[namespace] = holders
	}
	owner := ownership.OwnerOf(c.object.Spec.TopologyType, c.object.Namespace, target)
	if holder, held := holders[member]; held && holder != owner {
		return "is refused: " + ownership.TakenBy(holder, namespace, member), nil
	}
	return "", nil
}

// selectsForSystemNamespace warns where a selector picks whole clusters for a namespace
// that each of them has for itself: those that do not allow it are passed over, and which
// they are is known later.
func (c *placementCheck) selectsForSystemNamespace(version string) string {
	p := c.object.Spec.Placement
	byGroup := topology.Label(c.object.Spec.TopologyType) != "" && len(p.Topologies) > 0
	if !byGroup && (p.Topologies != nil || p.TopologySelector == nil) || topology.Scoped(c.object.Spec.TopologyType) || !ownership.IsSystemName(c.object.Namespace) {
		return ""
	}
	path := "spec.placement.topologySelector"
	if byGroup {
		path = "spec.placement.topologies"
	}
	if version == federated.V1beta1.Version {
		path = "spec.placement.clusterSelector"
	}
	return fmt.Sprintf("%s: namespace %q belongs to each member itself: nothing is placed there unless spec.allowedSystemNamespaces of the KubeFedCluster names it", path, c.object.Namespace)
}
