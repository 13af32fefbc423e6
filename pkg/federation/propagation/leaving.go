package propagation

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/lifecycle"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// How an object in a member begins and ends is the user's to say: see package lifecycle. What was
// there before us is marked by the write that adopts it. What is given up is never deleted later: if
// the federated object is gone by the time that the member is back, its orphans lose our marks
// (orphans.go), and else the record says so.

// observeLeaving notes what the object says of targets that it leaves, and releases what would else be
// deleted: what was adopted, if that stays, and what was given up before.
func (v *view) observeLeaving(t viewTarget, o *observation) {
	annotations := v.federated.Annotations
	o.deleting = v.federated.DeletionTimestamp != nil
	o.leavesAdopted = lifecycle.LeavesAdopted(annotations)
	o.abandoned = lifecycle.Abandons(annotations, t.Name)
	if o.intent != remove {
		return
	}
	adopted := o.live != nil && lifecycle.IsAdopted(o.live.Annotations)
	if o.leavesAdopted && adopted || o.record.State == v1beta2.TargetAbandoned {
		o.intent = release
	}
}

// isOutOfReach reports whether a member is known not to be well. One that was not checked yet may be.
func (o observation) isOutOfReach() bool {
	return o.member != nil && o.member.Health != membership.Ready && o.member.Health != membership.Unknown
}

// abandonedNow: the user has said that nobody waits for what a member may hold that cannot be
// reached. The record goes on to say so while the object is there; a member that answers is cleaned up.
func abandonedNow(o observation) *decision {
	if !o.abandoned || !o.isOutOfReach() {
		return nil
	}
	left := fmt.Sprintf("target %q was given up, as the annotation %s asks for: %s%s; what is there stays, without our label, once the member is back",
		o.record.Name, v1beta1.AbandonAnnotation, mayStillHold, o.member.Problem)
	if o.deleting && o.record.Hash == "" && !o.inherited {
		return &decision{forget: true} // it was said
	}
	if o.deleting {
		return &decision{forget: true, left: left}
	}
	d := o.say(v1beta2.TargetAbandoned, left)
	d.status.Hash, d.status.Version, d.status.Generation = "", "", 0
	return &d
}

// abandonedEarlier: what was given up is not asked for. It is released by the rules that follow once
// the member is well and known.
func abandonedEarlier(o observation) *decision {
	switch {
	case o.record.State != v1beta2.TargetAbandoned:
		return nil
	case o.member == nil && !o.unchecked, o.member != nil && (o.memberRefusal != "" || o.homeRefusal != ""):
		return &decision{forget: true}
	case o.member != nil && o.member.Health == membership.Ready && o.cache == memberclient.Synced:
		return nil
	case o.deleting, o.cache == memberclient.NotServed:
		return &decision{forget: true} // it was said
	}
	return &decision{status: o.record}
}

// leavingState is what is said of a target: one that was given up is Abandoned until what is there is
// released, whatever happens meanwhile, since it is not to be deleted.
func (o observation) leavingState(state v1beta2.TargetState) v1beta2.TargetState {
	if o.intent == release && o.record.State == v1beta2.TargetAbandoned {
		return v1beta2.TargetAbandoned
	}
	return state
}

// adopts reports whether to write an object that is there is to take it over: nobody manages it, and it is not
// one of ours from which somebody has taken the label. What carries the label is KubeFed's, or ours.
func (o observation) adopts(existing *unstructured.Unstructured) bool {
	source := existing.GetAnnotations()[render.SourceAnnotation]
	return existing.GetLabels()[v1beta1.ManagedLabel] != "true" && (source != o.source || o.foreign(existing.GetAnnotations()) != "")
}

// markAdopted notes in what is sent that the object was there before us.
func markAdopted(sent map[string]any) {
	object := unstructured.Unstructured{Object: sent}
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[v1beta1.AdoptedAnnotation] = "true"
	object.SetAnnotations(annotations)
}

// ReasonAbandoned is the reason of the event on what was given up in a target.
const ReasonAbandoned = "TargetAbandoned"

// tellLeft says what was given up, if anything was.
func (e *Engine) tellLeft(v *view, left string) {
	if left != "" {
		e.tell(v, []events.Event{{Type: corev1.EventTypeWarning, Reason: ReasonAbandoned, Message: left}})
	}
}
