package cellaccess

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
)

const (
	// leaveTimeout bounds the attempt to take the rights from a member when a cell goes.
	leaveTimeout = 15 * time.Second
	// refusedPause is when a member is asked again that has refused something.
	refusedPause = 5 * time.Minute
)

// notLately is why a member is not asked.
const notLately = "it has not answered lately"

var namespaceResource = corev1.SchemeGroupVersion.WithResource("namespaces")

// right is an object in a member that gives an account rights.
type right struct {
	resource        schema.GroupVersionResource
	kind, namespace string
	// fields is what it has beside its metadata, as JSON; fixed is the one that cannot be changed.
	fields map[string]any
	fixed  string
}

// rightsOf are what the account of a cell has in its member: all of its namespace, as a KubeFed
// controller gets by a join, and a look at this one among all.
func rightsOf(cell Cell, user string) []right {
	name := accounts.MemberRoleName(cell.MemberNamespace)
	subjects := []any{map[string]any{"kind": rbacv1.UserKind, "apiGroup": rbacv1.GroupName, "name": user}}
	binding := func(role string) map[string]any {
		return map[string]any{"roleRef": map[string]any{"apiGroup": rbacv1.GroupName, "kind": "ClusterRole", "name": role}, "subjects": subjects}
	}
	resource := rbacv1.SchemeGroupVersion.WithResource
	return []right{
		{resource: resource("clusterroles"), kind: "ClusterRole", fields: map[string]any{"rules": []any{map[string]any{
			"apiGroups": []any{""}, "resources": []any{"namespaces"}, "resourceNames": []any{cell.MemberNamespace}, "verbs": []any{"get", "list", "watch"},
		}}}},
		{resource: resource("clusterrolebindings"), kind: "ClusterRoleBinding", fields: binding(name), fixed: "roleRef"},
		{resource: resource("rolebindings"), kind: "RoleBinding", namespace: cell.MemberNamespace, fields: binding("cluster-admin"), fixed: "roleRef"},
	}
}

// object is what is sent of a right.
func (r right) object(name string, marks map[string]string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetAPIVersion(rbacv1.SchemeGroupVersion.String())
	object.SetKind(r.kind)
	object.SetName(name)
	object.SetNamespace(r.namespace)
	object.SetAnnotations(marks)
	for key, value := range r.fields {
		object.Object[key] = value
	}
	return object
}

// isIn reports whether an object is as it should be.
func (r right) isIn(have *unstructured.Unstructured, marks map[string]string) bool {
	for key, value := range marks {
		if have.GetAnnotations()[key] != value {
			return false
		}
	}
	for key, value := range r.fields {
		if !equality.Semantic.DeepEqual(have.Object[key], value) {
			return false
		}
	}
	return true
}

// keepMember does what is to be done in its member for one cell.
func (k *Keeper) keepMember(ctx context.Context, name cellName) (again time.Time, err error) {
	a, leaving := k.current(name)
	switch {
	case a == nil:
		return again, nil
	case leaving:
		return k.leaveMember(ctx, a), nil
	}
	k.mu.Lock()
	granted, due, complete := a.granted, a.checkMember, a.complete
	k.mu.Unlock()
	now := time.Now()
	if !complete || granted && now.Before(due) {
		return due, nil
	}
	if holder, held := k.Holders.Holder(a.cell.MemberNamespace, a.cell.Member); !held || holder != a.cell.owner() {
		return again, nil // what is not its own, it is not given; the cell says so
	}
	busyUntil, problem, err := k.inMember(a.cell, func(conn *memberclient.Conn) error { return k.grant(ctx, a.cell, conn) })
	if !busyUntil.IsZero() {
		return busyUntil, nil
	}
	return k.note(ctx, a, problem, err), nil
}

// inMember does something in the member of a cell. problem is why it is not tried there now, and busyUntil when to come
// again, if it is another cell's turn.
func (k *Keeper) inMember(cell Cell, do func(*memberclient.Conn) error) (busyUntil time.Time, problem string, err error) {
	member, problem := k.reach(cell)
	if problem != "" {
		return time.Time{}, problem, nil
	}
	busyUntil, failed := k.gates.enter(cell.Member, cell.cellName)
	switch {
	case failed:
		return time.Time{}, notLately, nil
	case !busyUntil.IsZero():
		return busyUntil, "", nil
	}
	err = do(member.Conn)
	k.gates.leave(cell.Member, err == nil || isAnswer(err))
	return time.Time{}, "", err
}

// reach returns the member of a cell, or one sentence on why it is not asked.
func (k *Keeper) reach(cell Cell) (member membership.Member, problem string) {
	member, ok := k.Members.Get(cell.Member)
	switch {
	case !ok:
		return member, "it is not connected to yet"
	case member.Conn == nil, member.Health == membership.Offline, member.Health == membership.Malformed, member.Health == membership.NotReady:
		return member, member.Problem
	}
	return member, ""
}

// note notes how it went, and returns when to look again. problem is why nobody was asked.
func (k *Keeper) note(ctx context.Context, a *account, problem string, err error) (again time.Time) {
	var foreign *memberclient.ForeignNamespaceError
	var notOurs errNotOurs
	refused := func(reason, format string, args ...any) *refusal {
		return &refusal{reason, fmt.Sprintf(format, args...)}
	}
	k.update(a, func() {
		switch {
		case problem == "" && err == nil:
			a.granted, a.refusal, a.checkMember = true, nil, later(checkEvery, 2*checkEvery)
			again = a.checkMember
		case errors.As(err, &foreign):
			a.granted, again = false, later(refusedPause, 2*refusedPause)
			a.refusal = refused(federationv1alpha1.ReasonNamespaceTaken, "the account of the cell gets no rights in member %q: %v", a.cell.Member, foreign)
		case errors.As(err, &notOurs):
			a.granted, again = false, later(refusedPause, 2*refusedPause)
			a.refusal = refused(federationv1alpha1.ReasonRightsRefused, "the account of the cell gets no rights in member %q: %v", a.cell.Member, notOurs)
		case apierrors.IsForbidden(err):
			a.granted, again = false, later(refusedPause, 2*refusedPause)
			a.refusal = refused(federationv1alpha1.ReasonRightsRefused, "member %q does not let the federation give the account of the cell its rights, which takes cluster-admin there: %s", a.cell.Member, memberclient.Problem(err))
		default:
			if problem == "" {
				problem = memberclient.Problem(err)
			}
			again = later(minPause, maxPause)
			if !a.granted { // what was given stands, as far as is known
				a.refusal = refused(federationv1alpha1.ReasonMemberNotReached, "the account of the cell has no rights in member %q yet: %s", a.cell.Member, problem)
			}
		}
		if a.refusal != nil {
			klog.FromContext(ctx).V(2).Info("Failed to give the account of a cell its rights", "cell", klog.KRef(a.cell.Namespace, a.cell.Name), "problem", a.refusal.message)
		}
	})
	return again
}

// isAnswer reports whether an error is the member's answer, and no reason to leave it alone.
func isAnswer(err error) bool {
	var answered apierrors.APIStatus
	var foreign *memberclient.ForeignNamespaceError
	var notOurs errNotOurs
	return errors.As(err, &foreign) || errors.As(err, &notOurs) ||
		errors.As(err, &answered) && answered.Status().Code < 500 && !apierrors.IsTooManyRequests(err) && !apierrors.IsUnauthorized(err)
}

// errNotOurs says that an object in a member has a name that we need, and is somebody else's.
type errNotOurs struct{ kind, name string }

func (e errNotOurs) Error() string {
	return fmt.Sprintf("the %s %q there was not made by a federation; somebody has to delete it", e.kind, e.name)
}

// hold is what the namespace of a cell must be. Where another engine propagates it gets no label: who
// watches the member as a whole would take it for one that he manages.
func (k *Keeper) hold(cell Cell) memberclient.Hold {
	hold := memberclient.HoldFor(cell.MemberNamespace, k.Federation, cell.owner())
	if !k.OtherEngine {
		hold = hold.Managed()
	}
	return hold
}

// grant makes the namespace of a cell, if there is none, and the rights of its account.
func (k *Keeper) grant(ctx context.Context, cell Cell, conn *memberclient.Conn) error {
	hold := k.hold(cell)
	if err := conn.Hold(ctx, hold); err != nil {
		return err
	}
	user := accounts.InMembers(accounts.UserName(k.SystemNamespace, cell.Namespace, cell.Name))
	for _, r := range rightsOf(cell, user) {
		if err := ensureRight(ctx, conn, r, accounts.MemberRoleName(cell.MemberNamespace), hold); err != nil {
			return err
		}
	}
	return nil
}

// ensureRight makes one as it should be. What an earlier owner of the namespace left is replaced.
func ensureRight(ctx context.Context, conn *memberclient.Conn, r right, name string, hold memberclient.Hold) error {
	have, err := conn.Get(ctx, r.resource, r.namespace, name)
	if err != nil {
		return err
	}
	wanted := r.object(name, hold.Marks)
	switch {
	case have == nil:
	case have.GetAnnotations()[federationv1alpha1.OwnerAnnotation] == "":
		return errNotOurs{r.kind, name}
	case r.isIn(have, hold.Marks):
		return nil
	case r.fixed == "" || equality.Semantic.DeepEqual(have.Object[r.fixed], r.fields[r.fixed]):
		wanted.SetResourceVersion(have.GetResourceVersion())
		wanted.SetUID(have.GetUID())
		_, err := conn.Update(ctx, r.resource, r.namespace, name, wanted.Object)
		return err
	default:
		if err := conn.Delete(ctx, r.resource, r.namespace, name, have.GetUID(), metav1.DeleteOptions{}); err != nil {
			return err
		}
	}
	_, err = conn.Create(ctx, r.resource, r.namespace, name, wanted.Object, hold)
	return err
}

// leaveMember takes the rights away, if the member answers now, and returns when to come again if it is
// asked about another cell. One that does not answer is left alone: else each cell that goes would wait for it, and others
// behind it.
func (k *Keeper) leaveMember(ctx context.Context, a *account) (again time.Time) {
	k.mu.Lock()
	wait := !a.hostLeft || a.left
	k.mu.Unlock()
	if wait {
		return again
	}
	busyUntil, problem, err := k.inMember(a.cell, func(conn *memberclient.Conn) error { return k.revoke(ctx, a.cell, conn) })
	if !busyUntil.IsZero() {
		return busyUntil
	}
	if err != nil {
		problem = err.Error()
	}
	if problem != "" {
		klog.FromContext(ctx).V(2).Info("Left the rights of a cell's account in its member, where nobody can use them", "cell", klog.KRef(a.cell.Namespace, a.cell.Name), "member", a.cell.Member, "problem", problem)
	}
	k.update(a, func() { a.left = true })
	k.host.Add(a.cell.cellName) // which forgets it
	return again
}

// revoke takes the rights away. It goes on where the member refuses, and not where it does not answer.
func (k *Keeper) revoke(ctx context.Context, cell Cell, conn *memberclient.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	marks := ownership.Marks(k.Federation, cell.owner())
	name := accounts.MemberRoleName(cell.MemberNamespace)
	var refused error
	for _, r := range rightsOf(cell, "") {
		have, err := conn.Get(ctx, r.resource, r.namespace, name)
		if err == nil && have != nil && (right{}).isIn(have, marks) {
			err = conn.Delete(ctx, r.resource, r.namespace, name, have.GetUID(), metav1.DeleteOptions{})
		}
		if err != nil && !isAnswer(err) {
			return err
		}
		refused = errors.Join(refused, err)
	}
	return refused
}
