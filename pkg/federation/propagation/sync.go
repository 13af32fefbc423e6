package propagation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

// step is a decision on one target, ready to be carried out.
type step struct {
	target   viewTarget
	observed observation
	decision decision
}

// sync brings one object a step further: it decides on every target, gives executors what
// there is to do, and writes the status. It does not wait for members.
func (e *Engine) sync(ctx context.Context, key objectKey) error {
	v, err := e.look(key)
	if err != nil || v == nil {
		return err
	}
	v.memory.pace.look(e.now())
	deleting := v.federated.DeletionTimestamp != nil
	if deleting && !hasFinalizer(v.federated) {
		v.memory.setWay(nil) // nothing is in any target
		return nil
	}
	e.followPaused(v)
	steps, err := e.decideAll(ctx, v)
	if err != nil {
		return err
	}
	if deleting && len(steps) == 0 {
		return e.letGo(ctx, v)
	}
	if steps, err = e.claim(ctx, v, steps); err != nil {
		return err
	}
	if v, err = e.guard(ctx, v, steps); err != nil {
		return err
	}
	entries, begun := e.carryOut(v, steps)
	switch {
	case !begun:
		v.memory.nothingBegun()
	case v.memory.mayWithhold(e.now()):
		// The results are most likely there in a moment: one status for all of them.
		e.objects.AddAfter(key, patience)
		return nil
	}
	return e.writeStatus(ctx, v, entries)
}

// decideAll decides on every target. Targets of which nothing is left to say are settled
// and left out.
func (e *Engine) decideAll(ctx context.Context, v *view) ([]step, error) {
	if v.problem != "" {
		v.memory.setWay(nil)
		return nil, nil
	}
	steps := make([]step, 0, len(v.targets))
	known, members := make(map[string]bool, len(v.targets)), map[string]bool{}
	again := time.Duration(0)
	way := e.wayOf(v)
	if slices.ContainsFunc(v.targets, func(t viewTarget) bool { return t.intent.leaves() || t.former != "" }) {
		v.shown = e.shownIn(v) // once, and not for each of them
		defer func() { v.shown = nil }()
	}
	for _, t := range v.targets {
		if t.former != "" {
			again = earlier(again, way.leave(&t))
		}
		o := e.observe(v, t)
		if t.intent == run {
			o.manifest, o.renderErr = e.manifest(ctx, v, t)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		d := decide(o)
		if d.forget {
			e.tellLeft(v, t.slot(), o.leftInFormer(t, d))
			v.memory.settle(t.slot(), v.placeOf(t), d)
			continue
		}
		e.tellLeft(v, t.slot(), o.givenUpInFormer(d))
		known[v.placeOf(t)], members[t.Member], members[o.record.Cluster] = true, true, true
		if t.awaited != "" {
			members[t.awaited] = true
		}
		again = earlier(again, o.fight.until)
		way.note(t, o, d)
		steps = append(steps, step{target: t, observed: o, decision: d})
	}
	v.total = totalOf(steps)
	v.memory.setWay(way)
	e.stir(v.key.namespace)
	v.memory.unwantOthers(known)
	e.list(v.key, v.memory, members)
	if again > 0 {
		e.objects.AddAfter(v.key, again)
	}
	return steps, nil
}

// about stands for what is to be done and on what ground: after a failure the same waits, and
// another is done at once. The version of the object there is no ground: who changes it all the
// time would be answered each time. It is where conflicts abort a write: who gives a field up that
// the write would take changes the object. So is that policy.
func about(o observation, d decision) string {
	hash, uid := "", ""
	if o.manifest != nil {
		hash = o.manifest.Hash
	}
	if o.live != nil {
		uid = string(o.live.UID)
	}
	if o.aborts && o.live != nil {
		uid += " " + o.live.Version()
	}
	return fmt.Sprintf("%s %s %s %p %v", d.action, hash, uid, o.member.Conn, o.aborts)
}

// guard sees to what has to be stored before the first write: the finalizer, and an entry
// for each target that is written to for the first time. The finalizer is looked after as
// long as anything may be in a target, whoever takes it away.
func (e *Engine) guard(ctx context.Context, v *view, steps []step) (*view, error) {
	holds, first := false, false
	for _, s := range steps {
		writes := s.decision.action == applyManifest
		holds = holds || writes || s.observed.record.Hash != ""
		first = first || writes && s.observed.record.Hash == ""
	}
	if !holds {
		return v, nil
	}
	if !hasFinalizer(v.federated) {
		updated, err := e.setFinalizers(ctx, v, append(slices.Clone(v.federated.Finalizers), v1beta1.SyncFinalizer))
		if err != nil {
			return nil, fmt.Errorf("add finalizer: %w", err)
		}
		v.federated = updated
	}
	v.memory.setGuarded(true)
	if !first {
		return v, nil
	}
	entries := make([]v1beta2.TargetStatus, 0, len(steps))
	for i := range steps {
		s := &steps[i]
		if s.decision.action == applyManifest && s.observed.record.Hash == "" {
			s.decision.status.Hash = s.observed.manifest.Hash
		}
		entries = v.enter(entries, *s, s.decision.status)
	}
	if err := e.record(ctx, v, entries); err != nil {
		return nil, fmt.Errorf("record targets before the first write: %w", err)
	}
	return v, nil
}

// carryOut settles decisions and gives actions to executors. It returns what to say of
// each target now, and whether an action is under way.
func (e *Engine) carryOut(v *view, steps []step) (entries []v1beta2.TargetStatus, begun bool) {
	shared := *v // v goes on to be what is stored
	for _, s := range steps {
		said := s.decision.status
		if s.decision.action == markObject && !e.marks.Allow() {
			s.decision.action = nothing // there is no hurry: a later sync does it
			e.objects.AddAfter(v.key, wait.Jitter(markPause, 1))
		}
		if s.decision.action == nothing {
			v.memory.settle(s.target.slot(), v.placeOf(s.target), s.decision)
			entries = v.enter(entries, s, said)
			continue
		}
		var record *v1beta2.TargetStatus
		if s.decision.action == applyManifest && s.observed.record.Hash == "" {
			record = &said // it is stored, so the executor may write
		}
		wanted := &order{about: about(s.observed, s.decision), view: &shared, target: s.target, manifest: s.observed.manifest}
		place := v.placeOf(s.target)
		enqueue, failed := v.memory.want(place, wanted, record)
		if enqueue {
			e.dispatch(s.target.Member, targetKey{v.key, place})
		}
		if failed != nil {
			said = *failed
		}
		begun = begun || enqueue || failed == nil // another look may have begun it
		entries = v.enter(entries, s, said)
	}
	return entries, begun
}

// entry is the status of one target, with how the object there is, and its status.
func (v *view) entry(s step, said v1beta2.TargetStatus) v1beta2.TargetStatus {
	said = withHealth(s.observed.record, said)
	switch {
	case !v.kind.collectStatus:
	case s.observed.live != nil:
		said.RemoteStatus = s.observed.live.Status
	case s.observed.sees == unsettled:
		said.RemoteStatus = v.storedStatus(said.Name)
	}
	return said
}

// letGo removes the finalizer of an object of which nothing is left in any target. Where
// others keep the object, its status says so.
func (e *Engine) letGo(ctx context.Context, v *view) error {
	if len(v.federated.Finalizers) > 1 {
		if _, err := e.store(ctx, v, nil); err != nil {
			return err
		}
	}
	v.memory.setGuarded(false)
	kept := slices.DeleteFunc(slices.Clone(v.federated.Finalizers), func(f string) bool { return f == v1beta1.SyncFinalizer })
	if _, err := e.setFinalizers(ctx, v, kept); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove finalizer: %w", err)
	}
	return nil
}

func hasFinalizer(federated *v1beta2.FederatedObject) bool {
	return slices.Contains(federated.Finalizers, v1beta1.SyncFinalizer)
}

// setFinalizers replaces the list, if nobody changed the object meanwhile.
func (e *Engine) setFinalizers(ctx context.Context, v *view, finalizers []string) (*v1beta2.FederatedObject, error) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"finalizers": finalizers, "resourceVersion": v.federated.ResourceVersion, "uid": v.federated.UID,
	}})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	return v.kind.factory.Resource(v.kind.plural, v.key.namespace).
		Patch(ctx, v.key.name, types.MergePatchType, patch, metav1.PatchOptions{})
}

// errNoRoom occurs where the object leaves no room for its status. It is not tried again
// before the object has changed.
var errNoRoom = errors.New(status.DoesNotFit)

// errOutrun occurs where somebody has changed the object since it was decided on. It is
// decided anew.
var errOutrun = errors.New("the object was changed meanwhile")

// record is writeStatus that fails unless the status is stored.
func (e *Engine) record(ctx context.Context, v *view, entries []v1beta2.TargetStatus) error {
	stored, err := e.store(ctx, v, entries)
	if err == nil && !stored {
		return errOutrun
	}
	return err
}

// writeStatus writes the status if it says anything new. An object that was changed or deleted
// meanwhile has another one soon. What says no more than how things go with a spec that the status
// speaks of already waits for its turn.
func (e *Engine) writeStatus(ctx context.Context, v *view, entries []v1beta2.TargetStatus) error {
	if speaksOf(v.federated.Status, v.federated.Generation) {
		if wait := v.memory.pace.untilReport(e.now()); wait > 0 && !v.isStored(entries) {
			e.objects.AddAfter(v.key, wait)
			return nil
		}
	}
	_, err := e.store(ctx, v, entries)
	return err
}

// isStored reports whether there is nothing new to say.
func (v *view) isStored(entries []v1beta2.TargetStatus) bool {
	folded := v.fold(v.federated.Status, entries, v.memory.statusBytes(v.federated.Generation))
	return equality.Semantic.DeepEqual(v.federated.Status, folded)
}

// speaksOf reports whether a status speaks of a generation.
func speaksOf(s *v1beta2.FederatedObjectStatus, generation int64) bool {
	return s != nil && s.ObservedGeneration == generation
}

// store makes the status the stored one, and reports whether it is. Where the cache is behind, it is
// folded again on what is stored, so a status that is there is not written twice. One that
// the API server finds too large is made smaller; if that is to no avail, what was known
// before stays, the condition says so, and errNoRoom is returned.
func (e *Engine) store(ctx context.Context, v *view, entries []v1beta2.TargetStatus) (done bool, err error) {
	client := v.kind.factory.Resource(v.kind.plural, v.key.namespace)
	stored := v.federated
	for conflicts := 0; ; {
		bytes := v.memory.statusBytes(v.federated.Generation)
		folded := v.fold(stored.Status, entries, bytes)
		if stored.Status != nil && equality.Semantic.DeepEqual(stored.Status, folded) {
			return true, roomFor(bytes)
		}
		updated := &v1beta2.FederatedObject{TypeMeta: stored.TypeMeta, ObjectMeta: stored.ObjectMeta, Spec: stored.Spec, Status: folded}
		call, cancel := context.WithTimeout(ctx, hostTimeout)
		written, err := client.UpdateStatus(call, updated, metav1.UpdateOptions{})
		cancel()
		switch {
		case err == nil:
			e.tell(v, events.Transitions(stored.Status, folded, v.orphans))
			if speaksOf(stored.Status, v.federated.Generation) {
				v.memory.pace.report(e.now())
			}
			v.federated = written
			return true, roomFor(bytes)
		case apierrors.IsRequestEntityTooLargeError(err):
			if bytes == 0 {
				return false, errNoRoom
			}
			v.memory.shrinkStatus()
			continue
		case !apierrors.IsConflict(err) || conflicts == 3:
			return false, utilerrors.FilterOut(err, apierrors.IsNotFound)
		}
		conflicts++
		if stored, err = e.stored(ctx, v); err != nil || stored == nil {
			return false, err
		}
	}
}

// tell has Events written about an object.
func (e *Engine) tell(v *view, happened []events.Event) {
	if e.Record == nil || len(happened) == 0 {
		return
	}
	e.Record(&corev1.ObjectReference{
		APIVersion: v.kind.factory.Version().String(), Kind: v.kind.spec.FederatedType.Kind,
		Namespace: v.key.namespace, Name: v.key.name, UID: v.federated.UID,
	}, happened...)
}

// orphans reports whether what a target that has left has of the object stays there.
func (v *view) orphans(target string) bool {
	return v.memory.isOrphan(target) ||
		v.federated.DeletionTimestamp != nil && v.federated.Annotations[v1beta1.OrphanAnnotation] == "true"
}

// fold returns the new status, given the stored one and how large it may be.
func (v *view) fold(old *v1beta2.FederatedObjectStatus, entries []v1beta2.TargetStatus, bytes int) *v1beta2.FederatedObjectStatus {
	problem := v.problem
	if bytes == 0 {
		problem = status.DoesNotFit
	}
	if problem != "" {
		if entries = nil; old != nil {
			entries = old.Targets
		}
	}
	now := time.Now()
	folded := status.Fold(old, v.federated.Generation, entries, problem, bytes, now)
	if problem != "" && old != nil {
		folded.Workload = old.Workload
	} else {
		folded.Workload = v.total.over(old)
	}
	if problem == "" && v.unfederated != "" {
		status.Refuse(folded, old, v1beta2.ReasonNamespaceNotFederated, v.unfederated, now)
	}
	return folded
}

// roomFor says whether a status that may be so large was the whole one.
func roomFor(bytes int) error {
	if bytes == 0 {
		return errNoRoom
	}
	return nil
}

// stored reads the object past the cache. It returns nil if it is another one by now, or
// of another generation: that one's event is on its way.
func (e *Engine) stored(ctx context.Context, v *view) (*v1beta2.FederatedObject, error) {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	latest, err := v.kind.factory.Resource(v.kind.plural, v.key.namespace).Get(ctx, v.key.name, metav1.GetOptions{})
	if err != nil {
		return nil, utilerrors.FilterOut(err, apierrors.IsNotFound)
	}
	if latest.UID != v.federated.UID || latest.Generation != v.federated.Generation {
		return nil, nil
	}
	return latest, nil
}
