package propagation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/compose"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// writeAttempts bounds how often an object is read again since somebody else wrote it between
// reading and writing.
const writeAttempts = 4

// rules say what of a manifest is sent, and what of the object there stays.
func (v *view) rules() compose.Rules {
	return reach.RulesFor(v.kind.rules, v.federated)
}

// write makes the object in the member what the manifest says: see ADR 19. What the cache
// shows is not what is replaced: the object is read, and the write is conditional on that.
func (e *Engine) write(ctx context.Context, v *view, at spot, o observation) result {
	for attempt := 1; ; attempt++ {
		r, outrun := e.writeOnce(ctx, v, at, o)
		if !outrun || attempt == writeAttempts {
			return r
		}
	}
}

// writeOnce reads and writes. outrun says that somebody else wrote in between.
func (e *Engine) writeOnce(ctx context.Context, v *view, at spot, o observation) (r result, outrun bool) {
	gvr := o.manifest.Version.WithResource(at.kind.target.Resource.Resource)
	existing, err := at.conn.Get(ctx, gvr, at.namespace, at.name)
	if errors.Is(err, memberclient.ErrTypeNotServed) {
		return at.notServed(o, gvr), false
	}
	if err != nil {
		return o.failed(v1beta2.TargetRetrievalFailed, memberclient.Problem(err)), false
	}
	if existing != nil {
		if refused := e.refuseExisting(existing, v.federated.Annotations, o); refused != nil {
			return *refused, false
		}
		if left := e.leftAsWritten(v, at, o, gvr, existing); left != nil {
			return *left, false
		}
	}
	state := v1beta2.TargetUpdateFailed
	if existing == nil {
		state = v1beta2.TargetCreationFailed
	}
	delivered, err := at.deliver(ctx, o, gvr, existing)
	switch refused := o.refusedHome(err); {
	case refused != nil:
		return *refused, false
	case delivered.refused != nil:
		return *delivered.refused, delivered.outrun
	}
	switch {
	case err == nil:
		taken := ""
		if existing != nil {
			taken = takenThere(compose.Conflicts(existing.Object, delivered.put, delivered.written.Object.Object))
		}
		v.memory.wroteThere(e.now(), o, existing, delivered.sent, delivered.written)
		return o.written(delivered.written, append(delivered.kept, delivered.wroteAs(gvr), taken)...), false
	case errors.Is(err, memberclient.ErrTypeNotServed):
		return at.notServed(o, gvr), false
	case apierrors.IsInvalid(err) && o.startsAnew(at.kind, existing):
		return at.clear(ctx, o, existing), false
	}
	if fields := memberclient.UnknownFields(err); len(fields) > 0 && !delivered.instead.Empty() {
		return o.unknownFields(delivered, gvr, fields), false
	}
	outrun = apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || existing != nil && apierrors.IsNotFound(err)
	return o.failed(state, memberclient.Problem(err)), outrun
}

// leftAsWritten is the result where somebody wrote what is his own, or wrote back what he had changed: all that
// the manifest says is there as our last write has left it. Nothing is sent, so that who writes all the
// time cannot outrun it. It is nil if there is something to write, if no write is known, or if the member changed
// what it was sent last.
func (e *Engine) leftAsWritten(v *view, at spot, o observation, gvr schema.GroupVersionResource, existing *unstructured.Unstructured) *result {
	target := o.record.Name
	if o.record.Hash != o.manifest.Hash || o.record.Version == "" || v.memory.isRewritten(target) ||
		!o.manifest.Has(existing.GetLabels(), existing.GetAnnotations()) || !v.memory.isStamped(target, compose.StampOf(existing.Object)) {
		return nil
	}
	live, err := at.conn.Read(gvr, at.namespace, at.name, existing)
	if err != nil {
		failed := o.failed(v1beta2.TargetRetrievalFailed, memberclient.Problem(err))
		return &failed
	}
	v.memory.inVain(target, e.now())
	message := ""
	if o.record.State == v1beta2.TargetOK {
		message = o.record.Message // what the member dropped from this manifest
	}
	left := o.written(memberclient.Written{Live: live}, message)
	return &left
}

// notServed says that a member does not have the type in the version of the manifest, and in which
// it has it, if in any.
func (s spot) notServed(o observation, gvr schema.GroupVersionResource) result {
	message := fmt.Sprintf("the member does not serve %s in %s, which the manifest is for", gvr.Resource, gvr.GroupVersion())
	if served := s.conn.Served(gvr); served != gvr {
		message += fmt.Sprintf("; an override of /apiVersion for this target may name %s, which it serves", served.GroupVersion())
	}
	return o.failed(v1beta2.TargetTypeNotServed, message)
}

// written is the record of a target that runs the manifest; remarks are what there is to say of that, some
// of them empty.
func (o observation) written(w memberclient.Written, remarks ...string) result {
	record := o.record
	if len(w.Warnings) > 0 {
		remarks = append(remarks, "the member warns: "+strings.Join(w.Warnings, "; "))
	}
	remarks = slices.DeleteFunc(remarks, func(remark string) bool { return remark == "" })
	record.State, record.Message = v1beta2.TargetOK, strings.Join(remarks, "; ")
	record.Hash, record.Version, record.Generation, record.Ended = o.manifest.Hash, w.Live.Version(), o.generation, w.Live.Ended
	return result{record: record}
}

// wroteThere notes a write of what was sent before, which somebody in the member made
// necessary, and one that will be necessary again, since the member did not take what was sent. A
// write that has moved the version alone has changed nothing: members may note anew who owns what.
func (m *memory) wroteThere(now time.Time, o observation, existing *unstructured.Unstructured, sent map[string]any, w memberclient.Written) {
	stamp := compose.StampOf(w.Object.Object)
	m.stamp(o.record.Name, stamp)
	taken := o.manifest.Has(w.Live.Labels, w.Live.Annotations)
	first := o.record.Hash != o.manifest.Hash || o.record.Version == "" || taken && m.isRewritten(o.record.Name)
	if first {
		m.peaceful(o.record.Name)
	}
	switch {
	case !taken:
		m.rewritten(o.record.Name, rewrittenThere(compose.Rewritten(sent, w.Object.Object)), now)
	case first:
	case existing == nil:
		m.fought(o.record.Name, removedThere, now)
	default:
		contested := compose.Contest(existing.Object, w.Object.Object, existing.GetManagedFields())
		if len(contested) == 0 && stamp == compose.StampOf(existing.Object) {
			m.inVain(o.record.Name, now)
			return
		}
		m.fought(o.record.Name, changedThere(contested), now)
	}
}

// stamp notes how a write has left the object, and isStamped reports whether it is so still.
func (m *memory) stamp(target string, s compose.Stamp) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stamps[target] = s
}

func (m *memory) isStamped(target string, s compose.Stamp) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return s != compose.Stamp{} && m.stamps[target] == s
}

// startsAnew reports whether an object that cannot be changed makes room for another run.
func (o observation) startsAnew(k *kind, existing *unstructured.Unstructured) bool {
	return o.reruns && existing != nil && o.record.Hash != o.manifest.Hash && k.completion.Ended(existing.Object)
}

// clear removes an object that has ended. What is to run next is made once it is gone.
func (s spot) clear(ctx context.Context, o observation, existing *unstructured.Unstructured) result {
	if err := s.conn.Delete(ctx, s.kind.target.Resource, s.namespace, s.name, existing.GetUID(), metav1.DeleteOptions{}); err != nil {
		return o.failed(v1beta2.TargetUpdateFailed, memberclient.Problem(err))
	}
	return o.failed(v1beta2.TargetPending, "the object that has ended is removed, and made anew")
}

// mark writes the federation's name on an object of an earlier release.
func (s spot) mark(ctx context.Context, o observation) result {
	live, err := s.conn.Annotate(ctx, s.kind.target.Resource, s.namespace, s.name, o.live.UID, o.live.ResourceVersion,
		map[string]string{federationv1alpha1.FederationAnnotation: o.federation})
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return result{record: o.record} // the next sync looks again
	case err != nil:
		return o.failed(v1beta2.TargetUpdateFailed, memberclient.Problem(err))
	}
	record := o.record
	record.Version = live.Version()
	return result{record: record}
}
