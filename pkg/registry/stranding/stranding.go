package stranding

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// namesShown is how many objects a refusal names.
const namesShown = 3

// Lookups is what has to be known. Answers may be some milliseconds old.
type Lookups interface {
	// Kinds returns the federated kinds that are served, or an error of the API while that is not known.
	Kinds() ([]federated.Kind, error)
	// Objects calls visit for each object of a kind in a namespace, or in all. Objects are shared.
	Objects(ctx context.Context, kind federated.Kind, namespace string, visit func(*typesv1beta2.FederatedObject) error) error
	// Tenant returns the tenant of a namespace.
	Tenant(namespace string) (tenancy.Tenant, error)
	// Cluster returns a KubeFedCluster, nil if there is none.
	Cluster(ctx context.Context, name string) (*corev1beta1.KubeFedCluster, error)
	// UnitLabels returns the labels of a cell or an edge unit, nil if there is none.
	UnitLabels(ctx context.Context, topologyType, namespace, name string) (map[string]string, error)
}

// Guard refuses changes of labels. SystemNamespace is where KubeFedClusters count.
type Guard struct {
	Lookups         Lookups
	SystemNamespace string
}

// Namespace refuses a change of a namespace of the host.
func (g *Guard) Namespace(ctx context.Context, now, old metav1.Object) error {
	before, after := tenancy.Of(old.GetLabels()), tenancy.Of(now.GetLabels())
	return g.check(ctx, corev1.SchemeGroupVersion.WithKind("Namespace").GroupKind(), now, old, change{
		namespace: now.GetName(),
		before:    func(t *tenancy.Tie) { t.Namespace = before },
		after:     func(t *tenancy.Tie) { t.Namespace = after },
	})
}

// Cluster refuses a change of a KubeFedCluster. That of a cell or an edge unit follows from theirs.
func (g *Guard) Cluster(ctx context.Context, now, old metav1.Object) error {
	if g == nil || now.GetNamespace() != g.SystemNamespace || old.GetLabels()[v1alpha1.TopologyLabel] != "" {
		return nil
	}
	before, after := tenancy.Of(old.GetLabels()), tenancy.Of(now.GetLabels())
	return g.check(ctx, corev1beta1.SchemeGroupVersion.WithKind("KubeFedCluster").GroupKind(), now, old, change{
		member: now.GetName(),
		before: func(t *tenancy.Tie) { t.Member = before },
		after:  func(t *tenancy.Tie) { t.Member = after },
	})
}

// Unit refuses a change of a cell or an edge unit.
func (g *Guard) Unit(ctx context.Context, kind schema.GroupKind, unit ownership.Owner, now, old metav1.Object) error {
	return g.check(ctx, kind, now, old, change{
		namespace: now.GetNamespace(),
		unit:      &unit,
		before:    func(t *tenancy.Tie) { t.UnitLabels = old.GetLabels() },
		after:     func(t *tenancy.Tie) { t.UnitLabels = now.GetLabels() },
	})
}

// change is a change of labels, as far as it counts for objects.
type change struct {
	// namespace of the objects that it may concern, and member of their copies; empty is all.
	namespace, member string
	// unit is the cell or edge unit whose copies it concerns; nil is all.
	unit *ownership.Owner
	// before and after put into a tie what the labels say.
	before, after func(*tenancy.Tie)
}

// check returns an error of the API if the change strands objects, or if that cannot be told.
func (g *Guard) check(ctx context.Context, kind schema.GroupKind, now, old metav1.Object, c change) error {
	before, after := tenancy.Of(old.GetLabels()), tenancy.Of(now.GetLabels())
	if g == nil || before == after || now.GetAnnotations()[v1alpha1.LeaveCopiesAnnotation] == after.String() {
		return nil
	}
	count, names, err := g.stranded(ctx, c)
	switch {
	case err != nil:
		return err
	case count == 0:
		return nil
	}
	label := v1alpha1.TenantLabel
	if before.Name == after.Name {
		label = v1alpha1.WorkspaceGroupLabel
	}
	return apierrors.NewInvalid(kind, now.GetName(), field.ErrorList{field.Invalid(
		field.NewPath("metadata", "labels").Key(label), now.GetLabels()[label], refusal(before, after, count, names))})
}

func refusal(before, after tenancy.Tenant, count int, names []string) string {
	copies := "1 federated object would keep a copy"
	if count > 1 {
		copies = fmt.Sprintf("%d federated objects would keep copies", count)
	}
	listed := strings.Join(names, "; ")
	if more := count - len(names); more > 0 {
		listed += fmt.Sprintf("; and %d more", more)
	}
	return fmt.Sprintf("with the tenant changed from %s to %s, %s in members that nobody may change or delete through this federation any more (%s): take the targets out of their placement first, or set the annotation %s to %q with the labels to leave the copies there",
		before, after, copies, listed, v1alpha1.LeaveCopiesAnnotation, after.String())
}

// stranded counts the objects that the change strands, and names the first with their targets.
func (g *Guard) stranded(ctx context.Context, c change) (count int, names []string, err error) {
	kinds, err := g.Lookups.Kinds()
	if err != nil {
		return 0, nil, err
	}
	kinds = slices.SortedFunc(slices.Values(kinds), func(a, b federated.Kind) int { return strings.Compare(a.Resource, b.Resource) })
	seen := sights{lookups: g.Lookups, clusters: map[string]*corev1beta1.KubeFedCluster{}, tenants: map[string]tenancy.Tenant{}, units: map[ownership.Owner]map[string]string{}}
	for _, kind := range kinds {
		if c.namespace != "" && !kind.Namespaced {
			continue
		}
		err := g.Lookups.Objects(ctx, kind, c.namespace, func(o *typesv1beta2.FederatedObject) error {
			targets, err := seen.strandedTargets(ctx, o, c)
			if err != nil || len(targets) == 0 {
				return err
			}
			if count++; count <= namesShown {
				names = append(names, nameOf(kind, o, targets))
			}
			return nil
		})
		if err != nil {
			return 0, nil, err
		}
	}
	return count, names, nil
}

// nameOf names an object and the first of its targets.
func nameOf(kind federated.Kind, o *typesv1beta2.FederatedObject, targets []string) string {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	more := ""
	if len(targets) > namesShown {
		more = fmt.Sprintf(" and %d more", len(targets)-namesShown)
	}
	return fmt.Sprintf("%s %s in %s%s", kind.Kind, name, strings.Join(targets[:min(len(targets), namesShown)], ", "), more)
}

// sights keeps what was looked up for one change.
type sights struct {
	lookups  Lookups
	clusters map[string]*corev1beta1.KubeFedCluster
	tenants  map[string]tenancy.Tenant
	units    map[ownership.Owner]map[string]string
}

// strandedTargets are the targets with a copy that the object may touch before the change, and not
// after it.
func (s sights) strandedTargets(ctx context.Context, o *typesv1beta2.FederatedObject, c change) (targets []string, err error) {
	if o.Status == nil {
		return nil, nil
	}
	for i := range o.Status.Targets {
		record := &o.Status.Targets[i]
		owner := ownership.OwnerOf(o.Spec.TopologyType, o.Namespace, record.Name)
		if c.unit != nil && owner != *c.unit || owner.Namespace != o.Namespace {
			continue
		}
		for _, member := range membersOf(record) {
			if c.member != "" && member != c.member {
				continue
			}
			tie, err := s.tie(ctx, o, owner, member)
			if err != nil {
				return nil, err
			}
			if tie == nil { // the member was unjoined: nobody touches what is there
				continue
			}
			before, after := *tie, *tie
			c.before(&before)
			c.after(&after)
			if before.Holds() && !after.Holds() {
				targets = append(targets, record.Name)
				break
			}
		}
	}
	return targets, nil
}

// membersOf are the members in which a target has a copy: where its cell is, and where it was.
func membersOf(record *typesv1beta2.TargetStatus) (members []string) {
	if record.Hash != "" {
		members = append(members, record.Cluster)
	}
	for _, former := range record.Former {
		if former.Hash != "" {
			members = append(members, former.Cluster)
		}
	}
	return members
}

// tie is between an object and its copy in a member, whose place has that owner; nil without a member.
func (s sights) tie(ctx context.Context, o *typesv1beta2.FederatedObject, owner ownership.Owner, member string) (*tenancy.Tie, error) {
	cluster, err := known(s.clusters, member, func() (*corev1beta1.KubeFedCluster, error) { return s.lookups.Cluster(ctx, member) })
	if err != nil || cluster == nil {
		return nil, err
	}
	tie := &tenancy.Tie{NamespaceName: o.Namespace, Use: tenancy.WholeCluster, Member: tenancy.Of(cluster.Labels)}
	if o.Namespace != "" {
		if tie.Namespace, err = known(s.tenants, o.Namespace, func() (tenancy.Tenant, error) { return s.lookups.Tenant(o.Namespace) }); err != nil {
			return nil, err
		}
	}
	if owner.Kind == v1alpha1.OwnerNamespace {
		return tie, nil
	}
	tie.Use = tenancy.Unit
	topologyType := typesv1beta2.TopologyCell
	if owner.Kind == v1alpha1.OwnerEdgeUnit {
		topologyType = typesv1beta2.TopologyEdgeUnit
	}
	tie.UnitLabels, err = known(s.units, owner, func() (map[string]string, error) {
		return s.lookups.UnitLabels(ctx, topologyType, owner.Namespace, owner.Name)
	})
	return tie, err
}

// known looks something up at its first call for a key.
func known[K comparable, V any](at map[K]V, key K, look func() (V, error)) (V, error) {
	if value, there := at[key]; there {
		return value, nil
	}
	value, err := look()
	if err == nil {
		at[key] = value
	}
	return value, err
}
