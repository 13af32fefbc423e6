package propagation

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/lifecycle"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

// act does what sync ordered, if that is still what things as they are now ask for, and has
// the object synced, which says how it went.
func (e *Engine) act(ctx context.Context, key targetKey) {
	m := e.recall(key.object)
	if m == nil {
		return
	}
	ordered := m.take(key.place)
	if ordered == nil {
		return
	}
	defer func() { e.objects.AddAfter(key.object, gatherFor(len(ordered.view.targets))) }()
	v, t := ordered.view, ordered.target
	home := v.home(t.Candidate)
	if v.memory != m || e.isOutdated(v) || !m.isIn(t, home) {
		e.follow(m, key, m.rest(key.place))
		return
	}
	o := e.observe(v, t)
	o.manifest = ordered.manifest
	d := decide(o)
	if d.action == nothing || o.member == nil {
		e.follow(m, key, m.rest(key.place))
		return
	}
	r := o.failed(v1beta2.TargetPending, "the target has to be recorded before it is written to")
	if !o.intent.stays() {
		r = o.failed(v1beta2.TargetWaitingForRemoval, mayStillHold+"its namespace there has to be claimed first")
	}
	if v.mayAct(o, d) {
		r = e.carry(ctx, v, t, o, d)
	}
	if r.failed && ctx.Err() != nil {
		return // the engine ends: what it was interrupted in says nothing of the member
	}
	e.tellLeft(v, t.slot(), r.left)
	e.follow(m, key, m.end(t, home, r))
	logger := klog.FromContext(ctx).WithValues("object", key.object.source(), "type", key.object.kind, "target", t.Name, "member", t.Member)
	if r.failed {
		logger.V(2).Info("Failed to act in member", "action", d.action, "state", r.record.State, "problem", r.record.Message)
	} else {
		logger.V(4).Info("Acted in member", "action", d.action, "gone", r.gone)
	}
}

// follow has done what becomes of a job.
func (e *Engine) follow(m *memory, key targetKey, next sequel) {
	if next.enqueue {
		e.dispatch(next.member, key)
	}
	if next.wait > 0 {
		e.dispatchAfter(m, key, next.turn, next.wait)
	}
}

// isOutdated reports whether an object or its type has changed since the view was made: sync
// looks at it anew.
func (e *Engine) isOutdated(v *view) bool {
	current := v.kind.get(v.key)
	if e.kind(v.key.kind) != v.kind || current == nil || current.UID != v.federated.UID ||
		current.Generation > v.federated.Generation || (current.DeletionTimestamp == nil) != (v.federated.DeletionTimestamp == nil) {
		return true
	}
	tenant, departed, err := e.tenantOf(current)
	if err != nil || tenant != v.tenant || departed != v.departed {
		return true
	}
	return current.DeletionTimestamp == nil && !sameNamespace(v.namespace, e.namespaceOf(v))
}

// mayAct reports whether sync has stored what has to be stored before a first write. If
// not, it will, and ask again.
func (v *view) mayAct(o observation, d decision) bool {
	if !o.claimed {
		return false
	}
	return d.action != applyManifest || (v.memory.isGuarded() && o.record.Hash != "")
}

// result of an action.
type result struct {
	record       v1beta2.TargetStatus
	failed, gone bool
	// stays: what is there is not ours any more, and stays.
	stays bool
	// left says what is given up, as that of a decision does.
	left string
}

// failed says what went wrong; members may quote whole objects.
func (o observation) failed(state v1beta2.TargetState, message string) result {
	record := o.record
	record.State, record.Message = o.leavingState(state), status.Cut(message, v1beta2.MaxMessageBytes)
	return result{record: record, failed: true}
}

func (e *Engine) carry(ctx context.Context, v *view, t viewTarget, o observation, d decision) result {
	namespace, name := v.place(t.Candidate)
	at := spot{conn: o.member.Conn, kind: v.kind, namespace: namespace, name: name, home: e.hold(v, t.Owner, o.home), rules: v.rules(), aborts: v.aborts()}
	if refused := at.enter(ctx, o, d.action); refused != nil {
		return *refused
	}
	switch d.action {
	case markNamespace:
		v.memory.inVain(t.Name, e.now()) // unless a cache shows the mark now
		return result{record: d.status}
	case markObject:
		v.memory.inVain(t.Name, e.now())
		return at.mark(ctx, o)
	case applyManifest:
		return e.write(ctx, v, at, o)
	case deleteObject:
		return deleteThere(ctx, at, o, v.federated)
	default:
		return releaseThere(ctx, at, o)
	}
}

// spot is one object in one member.
type spot struct {
	conn            *memberclient.Conn
	kind            *kind
	namespace, name string
	// home is whose the namespace must be that the object is in, or is.
	home memberclient.Hold
	// rules say what is sent of a manifest, and aborts that nothing is if fields of others would change.
	rules  compose.Rules
	aborts bool
}

// enter looks at the marks of the object's home, and makes or marks it before something is
// written there. It returns what keeps the executor out.
func (s spot) enter(ctx context.Context, o observation, a action) *result {
	enter, state := s.conn.Hold, v1beta2.TargetCreationFailed
	if a == deleteObject || a == releaseObject {
		enter, state = s.conn.CheckHold, v1beta2.TargetDeletionFailed
	}
	err := enter(ctx, s.home)
	if err == nil {
		return nil
	}
	if refused := o.refusedHome(err); refused != nil {
		return refused
	}
	failed := o.failed(state, memberclient.Problem(err))
	return &failed
}

func (s spot) get(ctx context.Context) (*unstructured.Unstructured, error) {
	return s.conn.Get(ctx, s.kind.target.Resource, s.namespace, s.name)
}

// refuseExisting says why an object that is there already is not taken over; nil if it is. annotations
// are those of the federated object.
func (e *Engine) refuseExisting(existing *unstructured.Unstructured, annotations map[string]string, o observation) *result {
	state, why := o.marks().Refuses(existing, annotations, e.Adopt())
	switch state {
	case v1beta2.TargetOK:
		return nil
	case v1beta2.TargetWaitingForRemoval:
		why = madeAnew(existing.GetFinalizers())
	}
	refused := o.failed(state, why)
	return &refused
}

// ours reads the object past the cache. It returns nil if there is none, or if it is not
// ours any more: it is then left alone.
func ours(ctx context.Context, at spot, o observation) (*unstructured.Unstructured, error) {
	existing, err := at.get(ctx)
	if err != nil || existing == nil {
		return nil, err
	}
	if !o.ours(existing.GetLabels(), existing.GetAnnotations()) {
		return nil, nil
	}
	return existing, nil
}

// deleteThere deletes the object and confirms that it is gone.
func deleteThere(ctx context.Context, at spot, o observation, federated *v1beta2.FederatedObject) result {
	if o.cache == memberclient.NotServed {
		return at.vanished(ctx, o)
	}
	existing, err := ours(ctx, at, o)
	if err != nil {
		return o.failed(v1beta2.TargetWaitingForRemoval, mayStillHold+memberclient.Problem(err))
	}
	if existing == nil {
		return at.gone(o)
	}
	if o.leavesAdopted && lifecycle.IsAdopted(existing.GetAnnotations()) { // the cache did not show it
		return at.release(ctx, o, existing)
	}
	if existing.GetDeletionTimestamp() == nil {
		options, err := deleteOptions(federated)
		if err != nil {
			return o.failed(v1beta2.TargetDeletionFailed, err.Error())
		}
		if err := at.conn.Delete(ctx, at.kind.target.Resource, at.namespace, at.name, existing.GetUID(), options); err != nil {
			return o.failed(v1beta2.TargetDeletionFailed, memberclient.Problem(err))
		}
		if existing, err = ours(ctx, at, o); err == nil && existing == nil {
			return at.gone(o)
		}
	}
	if existing == nil { // it cannot be read any more
		return o.failed(v1beta2.TargetWaitingForRemoval, underRemoval(nil))
	}
	return o.failed(v1beta2.TargetWaitingForRemoval, underRemoval(existing.GetFinalizers()))
}

// vanished finds out whether what the member does not serve is gone. Gone is what was seen
// gone: a version that is not served any more has its objects still.
func (s spot) vanished(ctx context.Context, o observation) result {
	vanished, err := s.conn.Vanished(ctx, s.kind.target)
	switch {
	case err != nil:
		return o.failed(v1beta2.TargetWaitingForRemoval, mayStillHold+memberclient.Problem(err))
	case vanished:
		return s.gone(o)
	}
	return o.unlessGivenUp("the member does not serve the type any more, and may have the object stored")
}

// releaseThere takes our label from the object.
func releaseThere(ctx context.Context, at spot, o observation) result {
	existing, err := ours(ctx, at, o)
	if err != nil {
		return o.failed(v1beta2.TargetWaitingForRemoval, mayStillHold+memberclient.Problem(err))
	}
	if existing == nil {
		return at.gone(o)
	}
	return at.release(ctx, o, existing)
}

// release takes our marks from an object that was just read, if it is that one still: it may have been
// made anew, and be somebody else's.
func (s spot) release(ctx context.Context, o observation, existing *unstructured.Unstructured) result {
	err := s.conn.ReleaseVersion(ctx, s.kind.target.Resource, s.namespace, s.name, existing.GetUID(), existing.GetResourceVersion(), manifest.Marks()...)
	switch {
	case apierrors.IsConflict(err):
		return o.failed(v1beta2.TargetLabelRemovalFailed, "the object there was changed while it was released; it is looked at again")
	case err != nil:
		return o.failed(v1beta2.TargetLabelRemovalFailed, memberclient.Problem(err))
	}
	released := s.gone(o)
	released.stays = true
	return released
}

// gone tells the cache too, so that the next decision does not find the object again.
func (s spot) gone(o observation) result {
	if o.live != nil {
		s.conn.Gone(s.kind.target.Resource, s.namespace, s.name, o.live.UID)
	}
	return result{gone: true}
}

// deleteOptions reads the annotation for deletions. It counts when the federated object
// is deleted, not when a target is no longer placed.
func deleteOptions(federated *v1beta2.FederatedObject) (metav1.DeleteOptions, error) {
	if federated.DeletionTimestamp == nil {
		return metav1.DeleteOptions{}, nil
	}
	options, err := manifest.DeleteOptions(federated.Annotations[v1beta1.DeleteOptionsAnnotation])
	if err != nil {
		err = fmt.Errorf("annotation %s %w", v1beta1.DeleteOptionsAnnotation, err)
	}
	return options, err
}
