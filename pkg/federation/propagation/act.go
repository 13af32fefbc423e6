package propagation

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/render"
	"github.com/koinon-io/koinon/pkg/federation/status"
)

// targetKey names one target of one object.
type targetKey struct {
	object objectKey
	target string
}

// executor acts in one member.
type executor struct {
	queue workqueue.TypedRateLimitingInterface[targetKey]
}

// executor returns the executor of a member, started if there is none.
func (e *Engine) executor(member string) *executor {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.executors[member]; x != nil {
		return x
	}
	x := &executor{queue: workqueue.NewTypedRateLimitingQueueWithConfig(backoff[targetKey](),
		workqueue.TypedRateLimitingQueueConfig[targetKey]{Name: "member-" + member})}
	e.executors[member] = x
	ctx := e.runCtx
	for range targetWorkers {
		// Ends when the queue is shut down: with the engine, or when the member has left.
		e.wg.Go(func() { x.work(ctx, e) })
	}
	if ctx.Err() != nil {
		x.queue.ShutDown()
	}
	return x
}

func (e *Engine) dropExecutor(member string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.executors[member]; x != nil {
		x.queue.ShutDown()
		delete(e.executors, member)
	}
}

func (x *executor) work(ctx context.Context, e *Engine) {
	for {
		key, shutdown := x.queue.Get()
		if shutdown {
			return
		}
		if e.act(ctx, key) && ctx.Err() == nil {
			x.queue.AddRateLimited(key)
		} else {
			x.queue.Forget(key)
		}
		x.queue.Done(key)
	}
}

// act decides on one target as things are now and does it. It reports whether to try
// again, and has the object synced, which says how it went.
func (e *Engine) act(ctx context.Context, key targetKey) (again bool) {
	v, err := e.look(key.object)
	if err != nil || v == nil {
		return err != nil
	}
	t, ok := v.target(key.target)
	if !ok {
		return false
	}
	defer e.objects.AddAfter(key.object, gather)
	o := e.observe(v, t)
	d := decide(o)
	if d.action == nothing {
		return false
	}
	if !v.mayAct(o, d) {
		v.memory.cancel(t.Name)
		return false
	}
	result := e.carry(ctx, v, t, o, d.action)
	v.memory.end(t.Name, about(o, d), result.record, result.failed, result.gone)
	logger := klog.FromContext(ctx).WithValues("object", key.object.source(), "type", key.object.kind, "target", t.Name, "member", t.Member)
	if result.failed {
		logger.V(2).Info("Failed to act in member", "action", d.action, "state", result.record.State, "problem", result.record.Message)
	} else {
		logger.V(4).Info("Acted in member", "action", d.action, "gone", result.gone)
	}
	return result.failed
}

func (v *view) target(name string) (viewTarget, bool) {
	for _, t := range v.targets {
		if t.Name == name {
			return t, true
		}
	}
	return viewTarget{}, false
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
}

// failed says what went wrong; members may quote whole objects.
func (o observation) failed(state v1beta2.TargetState, message string) result {
	record := o.record
	record.State, record.Message = state, status.Cut(message, v1beta2.MaxMessageBytes)
	return result{record: record, failed: true}
}

func (e *Engine) carry(ctx context.Context, v *view, t viewTarget, o observation, a action) result {
	namespace, name := v.place(t.Candidate)
	at := spot{conn: o.member.Conn, kind: v.kind, namespace: namespace, name: name, home: e.hold(v, t.Owner, o.home)}
	if refused := at.enter(ctx, o, a); refused != nil {
		return *refused
	}
	switch a {
	case markNamespace:
		return result{record: o.record}
	case applyManifest:
		return e.apply(ctx, at, o)
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

// apply sends the manifest, again if somebody else wrote in between.
func (e *Engine) apply(ctx context.Context, at spot, o observation) result {
	for attempt := 0; ; attempt++ {
		manifest, state, refused := e.prepare(ctx, at, o)
		if refused != nil {
			return *refused
		}
		live, err := at.conn.Apply(ctx, o.manifest.Version.WithResource(at.kind.target.Resource.Resource), at.namespace, at.name, manifest, at.home)
		if apierrors.IsConflict(err) && attempt < 3 {
			continue
		}
		if refused := o.refusedHome(err); refused != nil {
			return *refused
		}
		if err != nil {
			return o.failed(state, memberclient.Problem(err))
		}
		record := o.record
		record.State, record.Message = v1beta2.TargetOK, ""
		record.Hash, record.Version, record.Generation = o.manifest.Hash, live.Version(), o.generation
		return result{record: record}
	}
}

// prepare returns the manifest to send and the state to report should that fail. What the
// cache does not show may be there all the same, without our label: it is looked at
// before it is taken over.
func (e *Engine) prepare(ctx context.Context, at spot, o observation) (manifest []byte, state v1beta2.TargetState, refused *result) {
	if o.live != nil && !o.manifest.NeedsLive() {
		return o.manifest.JSON, v1beta2.TargetUpdateFailed, nil
	}
	refuse := func(state v1beta2.TargetState, err error) ([]byte, v1beta2.TargetState, *result) {
		failed := o.failed(state, memberclient.Problem(err))
		return nil, "", &failed
	}
	existing, err := at.get(ctx)
	if err != nil {
		return refuse(v1beta2.TargetRetrievalFailed, err)
	}
	if existing == nil {
		return o.manifest.JSON, v1beta2.TargetCreationFailed, nil
	}
	if refused := e.refuseExisting(existing, o); refused != nil {
		return nil, "", refused
	}
	if manifest, err = o.manifest.Retain(existing.Object, retainedVersion(o.manifest, existing)); err != nil {
		return refuse(v1beta2.TargetComputeFailed, err)
	}
	return manifest, v1beta2.TargetUpdateFailed, nil
}

// retainedVersion makes the write conditional where it sends back what the member had.
func retainedVersion(manifest *render.Manifest, existing *unstructured.Unstructured) string {
	if manifest.NeedsLive() {
		return existing.GetResourceVersion()
	}
	return ""
}

// refuseExisting says why an object that is there already is not taken over; nil if it is.
func (e *Engine) refuseExisting(existing *unstructured.Unstructured, o observation) *result {
	managed := existing.GetLabels()[v1beta1.ManagedLabel]
	owner, owned := existing.GetAnnotations()[render.SourceAnnotation]
	var refused result
	switch {
	case managed == "false":
		refused = o.failed(v1beta2.TargetManagedLabelFalse, "the object there has the label "+v1beta1.ManagedLabel+"=false")
	case managed == "true" && owned && owner != o.source && owner != render.NoSource:
		refused = o.failed(v1beta2.TargetAlreadyExists, fmt.Sprintf("the object there comes from the federated object %q", owner))
	case existing.GetDeletionTimestamp() != nil:
		refused = o.failed(v1beta2.TargetWaitingForRemoval, "the object there is being deleted; it is made anew once it is gone")
	case managed != "true" && !e.Adopt():
		refused = o.failed(v1beta2.TargetAlreadyExists, "there is such an object already, and KubeFedConfig's syncController.adoptResources is Disabled")
	default:
		return nil
	}
	return &refused
}

// ours reads the object past the cache. It returns nil if there is none, or if it is not
// ours any more: it is then left alone.
func ours(ctx context.Context, at spot, o observation) (*unstructured.Unstructured, error) {
	existing, err := at.get(ctx)
	if err != nil || existing == nil {
		return nil, err
	}
	owner, owned := existing.GetAnnotations()[render.SourceAnnotation]
	if existing.GetLabels()[v1beta1.ManagedLabel] != "true" || (owned && owner != o.source) {
		return nil, nil
	}
	return existing, nil
}

// deleteThere deletes the object and confirms that it is gone.
func deleteThere(ctx context.Context, at spot, o observation, federated *v1beta2.FederatedObject) result {
	existing, err := ours(ctx, at, o)
	if err != nil {
		return o.failed(v1beta2.TargetRetrievalFailed, memberclient.Problem(err))
	}
	if existing == nil {
		return at.gone(o)
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
	return o.failed(v1beta2.TargetWaitingForRemoval, "the object is being deleted")
}

// releaseThere takes our label from the object.
func releaseThere(ctx context.Context, at spot, o observation) result {
	existing, err := ours(ctx, at, o)
	if err != nil {
		return o.failed(v1beta2.TargetRetrievalFailed, memberclient.Problem(err))
	}
	if existing != nil {
		if err := at.conn.Release(ctx, at.kind.target.Resource, at.namespace, at.name, render.SourceAnnotation); err != nil {
			return o.failed(v1beta2.TargetLabelRemovalFailed, memberclient.Problem(err))
		}
	}
	return at.gone(o)
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
	var options metav1.DeleteOptions
	text := federated.Annotations[v1beta1.DeleteOptionsAnnotation]
	if text == "" || federated.DeletionTimestamp == nil {
		return options, nil
	}
	if err := json.Unmarshal([]byte(text), &options); err != nil {
		return options, fmt.Errorf("annotation %s: is not DeleteOptions in JSON: %w", v1beta1.DeleteOptionsAnnotation, err)
	}
	return options, nil
}
