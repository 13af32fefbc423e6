package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// looked is one federated object with its targets, as the engine sees it.
type looked struct {
	ftc       *v1beta1.FederatedTypeConfig
	kind      reach.Kind
	federated *v1beta2.FederatedObject
	object    reach.Object
	// candidates are all that it could be in, by name; targets those that it is placed in.
	candidates map[string]*placement.Candidate
	targets    []placement.Target
	// members are by name; nil if the caller may not list them.
	members map[string]*v1beta1.KubeFedCluster
	// vouched are the cells of which the controllers have found that they have their namespace, with their members: the
	// book of owners is then not asked for each of a thousand cells.
	vouched map[string]string
	// byName are the records of the status.
	byName map[string]v1beta2.TargetStatus
	// narrowed: it is known where the object's namespace goes.
	narrowed bool
	// problem is why its targets cannot be computed; targets are then empty.
	problem string
}

// look finds the targets of a federated object.
func look(ctx context.Context, h *hub, ftc *v1beta1.FederatedTypeConfig, federated *v1beta2.FederatedObject) (*looked, error) {
	l := &looked{ftc: ftc, kind: reach.KindOf(&ftc.Spec), federated: federated, candidates: map[string]*placement.Candidate{}, byName: map[string]v1beta2.TargetStatus{}}
	for _, record := range l.records() {
		l.byName[record.Name] = record
	}
	tenant, err := l.tenant(ctx, h)
	if err != nil || l.problem != "" {
		return l, err
	}
	l.object = reach.ObjectOf(federated, tenant)
	if l.members, _, err = h.members(ctx, l.object.TopologyType); err != nil {
		return nil, err
	}
	candidates, err := h.candidates(ctx, l.object)
	if err != nil {
		return nil, err
	}
	for i := range candidates {
		l.candidates[candidates[i].Name] = &candidates[i]
	}
	if err := l.vouch(ctx, h); err != nil {
		return nil, err
	}
	spec := &federated.Spec
	l.targets, err = placement.Resolve(l.object.TopologyType, spec.Placement, spec.PlacementMask, candidates)
	if err == nil && l.kind.Namespaced {
		err = l.narrow(ctx, h)
	}
	var unread *unreadError
	switch {
	case errors.As(err, &unread):
		return nil, err
	case err != nil:
		l.problem, l.targets = err.Error(), nil
	}
	return l, nil
}

// unreadError says that something could not be read which the targets depend on.
type unreadError struct{ error }

// narrow leaves out where the namespace of the object does not go. Who may not read FederatedNamespaces does not see
// that.
func (l *looked) narrow(ctx context.Context, h *hub) error {
	namespace, known, err := h.whereNamespaceGoes(ctx, l.federated.Namespace)
	if err != nil {
		return &unreadError{err}
	}
	if !known {
		return nil
	}
	l.narrowed = true
	l.targets, err = placement.Narrow(l.object.TopologyType, l.targets, namespace)
	return err
}

// whereNamespaceGoes is what placement.Narrow is told. known is false if the caller may not read it.
func (h *hub) whereNamespaceGoes(ctx context.Context, name string) (n placement.Namespace, known bool, err error) {
	all, err := h.types(ctx)
	if err != nil {
		return n, false, err
	}
	return h.whereNamespaceGoesOf(ctx, all, name)
}

// whereNamespaceGoesOf is whereNamespaceGoes with types as they are now.
func (h *hub) whereNamespaceGoesOf(ctx context.Context, all []v1beta1.FederatedTypeConfig, name string) (n placement.Namespace, known bool, err error) {
	n = placement.Namespace{Name: name}
	config, err := readInto[v1beta1.KubeFedConfig](ctx, h, h.configPath())
	switch {
	case err == nil:
		n.Optional = config.Spec.Scope == v1beta1.NamespaceScoped
	case !apierrors.IsForbidden(err):
		return n, false, fmt.Errorf("read the KubeFedConfig: %s", sentence(err))
	}
	at := slices.IndexFunc(all, func(ftc v1beta1.FederatedTypeConfig) bool { return reach.KindOf(&ftc.Spec).IsNamespace() })
	if at < 0 {
		n.Off = true
		return n, true, nil
	}
	if all[at].Spec.Propagation == v1beta1.Disabled && !n.Optional {
		n.Off = true
		return n, true, nil
	}
	n.Federated, err = readInto[v1beta2.FederatedObject](ctx, h, federatedPath(&all[at], v1beta2.SchemeGroupVersion.Version, name, name))
	switch {
	case apierrors.IsForbidden(err):
		return n, false, nil
	case apierrors.IsNotFound(err):
		n.Federated = nil
		return n, true, nil
	case err != nil:
		return n, false, fmt.Errorf("read the FederatedNamespace %q: %s", name, sentence(err))
	}
	if namespace, err := h.namespace(ctx, name); err == nil && namespace != nil && !reach.Belongs(n.Federated, namespace) {
		n.Federated = nil
	}
	return n, true, nil
}

// tenant is that of the object's namespace. It also finds what keeps the object from being propagated at all.
func (l *looked) tenant(ctx context.Context, h *hub) (tenancy.Tenant, error) {
	if l.federated.Namespace == "" {
		return tenancy.Tenant{}, nil
	}
	namespace, err := h.namespace(ctx, l.federated.Namespace)
	switch {
	case err != nil:
		return tenancy.Tenant{}, err
	case namespace == nil:
		l.problem = fmt.Sprintf("metadata.namespace: there is no namespace %q any more; what is in members stays there until the object is deleted", l.federated.Namespace)
		return tenancy.Tenant{}, nil
	}
	if l.kind.IsNamespace() {
		l.problem = reach.ObjectOf(l.federated, tenancy.Tenant{}).RefuseNamespace(l.federated, h.system, namespace.Labels)
	}
	return tenancy.Of(namespace.Labels), nil
}

// groupOf is the group that a target is in, where the topology type of the object is a user-defined one; empty
// elsewhere, and if that is not known.
func (l *looked) groupOf(a aim) string {
	candidate := l.candidates[a.Name]
	if candidate == nil || topology.Label(l.object.TopologyType) == "" {
		return ""
	}
	return l.object.CalledBy(*candidate)
}

// isCalled reports whether a name means a target: its own, or that of its group, with the label or without.
func (l *looked) isCalled(a aim, name string) bool {
	topologyType := l.object.TopologyType
	if a.Name == name || topology.Label(topologyType) == "" {
		return a.Name == name
	}
	group := name
	if !topology.IsGroupTarget(topologyType, name) {
		group = topology.GroupTarget(topologyType, name)
	}
	return a.Name == group || topology.GroupTarget(topologyType, l.groupOf(a)) == group
}

// record is what the status says of a target.
func (l *looked) record(name string) v1beta2.TargetStatus {
	return l.byName[name]
}

func (l *looked) records() []v1beta2.TargetStatus {
	if l.federated.Status == nil {
		return nil
	}
	return l.federated.Status.Targets
}

// purpose says what a target is meant to be.
type purpose int

const (
	// toRun: the target runs what the spec says.
	toRun purpose = iota
	// toLeave: the object goes from the target.
	toLeave
	// toStay: the target is left alone, and message says why.
	toStay
)

// aim is a target with what becomes of it.
type aim struct {
	placement.Candidate
	purpose purpose
	// held: the mask leaves it as it is until then.
	held    bool
	message string
	// outside is why the namespace of the object keeps it from the target; empty if it does not.
	outside string
	record  v1beta2.TargetStatus
}

// aims lists what becomes of each target that is placed or, as the status records, has the object, by
// name. A target that moved is there for each place in which the object is.
func (l *looked) aims() (aims []aim) {
	if l.federated.DeletionTimestamp != nil {
		return l.departing()
	}
	known, outside := map[string]bool{}, map[string]placement.Target{}
	stays := map[string]bool{} // so does what is where the target was
	for _, t := range l.targets {
		if t.Disposition == placement.Outside { // it departs from there, if it is there
			outside[t.Name] = t
			continue
		}
		record := l.record(t.Name)
		drained := t.Leaving != "" && (t.Disposition == placement.Placed || t.Disposition == placement.Masked)
		if drained && record.Hash != "" {
			continue // it departs from there
		}
		known[t.Name] = true
		a := aim{Candidate: t.Candidate, record: record}
		switch {
		case drained:
			a.purpose, a.message = toStay, t.Leaving
		case t.Disposition == placement.Placed:
			stays[t.Name] = l.isUnjoined(t.Member)
			if old, moved := l.movedFrom(t.Candidate, record); moved {
				if !stays[t.Name] {
					aims = append(aims, aim{Candidate: old, purpose: toLeave, record: record, message: leavesOnceArrived})
				}
				a.record = l.recordIn(t.Candidate, record)
			}
		case t.Disposition == placement.Masked:
			a.held = true
		case t.Disposition == placement.Unfederated:
			a.purpose, a.message, a.outside = toStay, t.Message, t.Message
		default:
			a.purpose, a.message = toStay, t.Message
		}
		stays[t.Name] = stays[t.Name] || a.held || a.purpose == toStay && !drained
		aims = append(aims, a)
	}
	for _, record := range l.records() {
		if known[record.Name] {
			aims = append(aims, l.leaving(record, stays[record.Name])...)
			continue
		}
		held, lost := l.keeps(record)
		aims = append(aims, l.leaving(record, held || lost != "")...)
		if record.Hash == "" {
			continue
		}
		a := aim{Candidate: l.recorded(record), purpose: toLeave, record: record, message: "the target is no longer placed"}
		if c := l.candidates[record.Name]; c != nil && c.Leaving != "" {
			a.message = c.Leaving
		}
		if t, left := outside[record.Name]; left {
			a.message, a.outside = t.Message, t.Message
			delete(outside, record.Name)
		}
		if a.held = held; lost != "" {
			a.purpose, a.message = toStay, lost
		}
		aims = append(aims, a)
	}
	for _, t := range outside {
		if t.Named {
			aims = append(aims, aim{Candidate: t.Candidate, purpose: toStay, message: t.Message, outside: t.Message, record: l.record(t.Name)})
		}
	}
	slices.SortStableFunc(aims, func(a, b aim) int { return strings.Compare(a.Name, b.Name) })
	return aims
}

// keeps reports whether the mask keeps what is in a target that is not placed, or why it stays although the target is gone.
func (l *looked) keeps(record v1beta2.TargetStatus) (held bool, lost string) {
	candidate := l.candidates[record.Name]
	if mask, err := placement.NewMask(l.object.TopologyType, l.federated.Spec.PlacementMask); err == nil && !mask.Allows(record.Name, candidate) {
		return true, ""
	}
	if candidate != nil {
		return false, ""
	}
	return false, l.object.Lost(l.federated.Spec.Placement, l.recorded(record))
}

const (
	leavesOnceArrived = "the target is in another place now, and the object is removed from this one once all that move with it are healthy in that"
	staysUntilArrived = "the target is in another place now, and what is here stays as long as nothing is written there"
)

// leaving lists the places that a target has left, but for the one in which it is again. stay: nothing leaves them now.
func (l *looked) leaving(record v1beta2.TargetStatus, stay bool) []aim {
	left := slices.DeleteFunc(l.leftPlaces(record, leavesOnceArrived), func(a aim) bool {
		now := l.candidates[record.Name]
		return now != nil && !l.kind.Moved(l.object, *now, a.record)
	})
	for i := range left {
		if stay {
			left[i].purpose, left[i].message = toStay, staysUntilArrived
		}
	}
	return left
}

// recordIn is what is known of a target in the place where it is now, which its own record does not name.
func (l *looked) recordIn(c placement.Candidate, record v1beta2.TargetStatus) v1beta2.TargetStatus {
	for _, left := range l.leftPlaces(record, "") {
		if !l.kind.Moved(l.object, c, left.record) {
			return left.record
		}
	}
	return v1beta2.TargetStatus{Name: c.Name, State: v1beta2.TargetPending}
}

// leftPlaces lists the places that a target has left, and in which the object is still.
func (l *looked) leftPlaces(record v1beta2.TargetStatus, message string) (aims []aim) {
	for _, f := range record.Former {
		if f.Hash == "" {
			continue
		}
		there := v1beta2.TargetStatus{Name: record.Name, Cluster: f.Cluster, Namespace: f.Namespace, State: f.State, Message: f.Message,
			Hash: f.Hash, Version: f.Version, Generation: f.Generation, Ended: f.Ended}
		aims = append(aims, aim{Candidate: l.recorded(there), purpose: toLeave, record: there, message: message})
	}
	return aims
}

// departing lists the targets of an object that is being deleted, which no mask holds back.
func (l *looked) departing() (aims []aim) {
	for _, record := range l.records() {
		all := l.leftPlaces(record, "")
		if record.Hash != "" {
			all = append(all, aim{Candidate: l.recorded(record), purpose: toLeave, record: record})
		}
		for i := range all {
			all[i].message = "the federated object is being deleted"
			if l.federated.Annotations[v1beta1.OrphanAnnotation] == "true" {
				all[i].purpose = toStay
				all[i].message += ", and leaves what is there: the annotation " + v1beta1.OrphanAnnotation + "=true says so"
			}
		}
		aims = append(aims, all...)
	}
	return aims
}

// recorded is the place of a target as the record has it.
func (l *looked) recorded(record v1beta2.TargetStatus) placement.Candidate {
	return placement.Candidate{Name: record.Name, Member: record.Cluster, Namespace: record.Namespace, Owner: l.object.Owner(record.Name)}
}

// movedFrom returns the place that the record names, if something was written there and the target
// is in another one now.
func (l *looked) movedFrom(c placement.Candidate, record v1beta2.TargetStatus) (placement.Candidate, bool) {
	if record.Hash == "" || !l.kind.Moved(l.object, c, record) {
		return placement.Candidate{}, false
	}
	return l.recorded(record), true
}

// objection says why nothing may be done in the place of a target, as far as that is known here; empty if
// something may.
func (l *looked) objection(ctx context.Context, h *hub, c placement.Candidate) (string, error) {
	if l.members == nil {
		return "", nil
	}
	if l.isUnjoined(c.Member) {
		return fmt.Sprintf("there is no member %q", c.Member), nil
	}
	member := l.members[c.Member]
	if refusal := l.object.MemberRefusal(c, member.Labels); refusal != "" {
		return refusal, nil
	}
	return l.homeObjection(ctx, h, c, member)
}

// isUnjoined reports whether a member is known not to be joined.
func (l *looked) isUnjoined(name string) bool {
	member := l.members[name]
	return l.members != nil && (member == nil || reach.IsUnit(member))
}

// homeObjection says why the object may not be in its namespace of the member.
func (l *looked) homeObjection(ctx context.Context, h *hub, c placement.Candidate, member *v1beta1.KubeFedCluster) (string, error) {
	home := l.kind.Home(l.object, c)
	if home == "" {
		return "", nil
	}
	if refusal := ownership.SystemNamespacesOf(member).Refusal(home); refusal != "" {
		return refusal, nil
	}
	if l.vouched[c.Name] == c.Member {
		return "", nil
	}
	page, err := h.page(ctx, home)
	if err != nil {
		return "", err
	}
	if holder, held := ownership.Holder(page, c.Member); held && holder != c.Owner {
		return ownership.TakenBy(holder, home, c.Member), nil
	}
	return "", nil
}

// vouch finds the cells that have their namespace.
func (l *looked) vouch(ctx context.Context, h *hub) error {
	if l.object.Base() != v1beta2.TopologyCell {
		return nil
	}
	cells, err := h.cells(ctx, l.object.Namespace)
	if err != nil {
		return err
	}
	l.vouched = map[string]string{}
	for i := range cells {
		cell := &cells[i]
		if ready := meta.FindStatusCondition(cell.Status.Conditions, federationv1alpha1.CellReady); ready != nil &&
			ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == cell.Generation {
			l.vouched[cell.Name] = cell.Spec.ClusterName
		}
	}
	return nil
}
