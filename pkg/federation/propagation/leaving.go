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

// abandonedNow: the user has said that nobody waits for what cannot be removed: what a member may hold that
// cannot be reached, and what is in a namespace that is not ours there. The record goes on to say so while the
// object is there; a member that answers is cleaned up.
func abandonedNow(o observation) *decision {
	switch {
	case !o.abandoned:
		return nil
	case o.isOutOfReach():
		d := o.giveUp(mayStillHold+o.member.Problem, "once the member is back")
		return &d
	case o.homeRefusal != "":
		d := o.giveUp(mayNotDelete+o.homeRefusal, onceItMay)
		return &d
	}
	return nil
}

// onceItMay is when what was given up in a member that answers loses our label.
const onceItMay = "once it may be changed there"

// giveUp is the decision on a target that the annotation gives up. why is what keeps it from being cleaned up, and
// then when that ends.
func (o observation) giveUp(why, then string) decision {
	left := fmt.Sprintf("target %q was given up, as the annotation %s asks for: %s; what is there stays, without our label, %s",
		o.record.Name, v1beta1.AbandonAnnotation, why, then)
	if o.deleting {
		return decision{forget: true, stays: true, left: left}
	}
	return o.remember(left)
}

// remember has the record say what is given up as long as the federated object is there: it is not deleted later.
func (o observation) remember(left string) decision {
	d := o.say(v1beta2.TargetAbandoned, left)
	d.status.Hash, d.status.Version, d.status.Generation = "", "", 0
	return d
}

// unlessGivenUp is the result of an executor that found out that an object cannot be removed, for a reason that a
// decision cannot know of.
func (o observation) unlessGivenUp(why string) result {
	if !o.abandoned || o.intent != remove {
		return o.failed(v1beta2.TargetWaitingForRemoval, why+lifecycle.WayOut(o.record.Name))
	}
	return o.given(o.giveUp(why, onceItMay))
}

// given is the result of an executor that gives up what is there.
func (o observation) given(up decision) result {
	if up.forget {
		return result{gone: true, stays: up.stays, left: up.left}
	}
	return result{record: up.status, left: o.givenUpInFormer(up)}
}

// unreleased is the result of a release where a home that is not ours keeps our marks on what stays. That is remembered as
// long as the federated object is there: the home may be ours again.
func (o observation) unreleased(why string) result {
	switch {
	case o.deleting:
		return result{gone: true, stays: true}
	case o.record.State == v1beta2.TargetAbandoned:
		return o.failed(v1beta2.TargetAbandoned, o.record.Message)
	}
	return o.given(o.remember(fmt.Sprintf("what was adopted in target %q stays there, without our label %s: %s", o.record.Name, onceItMay, why)))
}

// abandonedEarlier: what was given up is not asked for. It is released by the rules that follow once
// the cache of the member shows it. Until then the record stands, since nothing else keeps what is there
// from being deleted: a member that is unjoined may be joined again, and a place that is somebody
// else's may be ours again. A deletion waits for a member only if the user does not give it up any more.
func abandonedEarlier(o observation) *decision {
	switch {
	case o.record.State != v1beta2.TargetAbandoned, o.isKnown():
		return nil
	case !o.deleting:
		return &decision{status: o.record}
	case !o.abandoned && o.isWorthAWait():
		return nil
	}
	return &decision{forget: true, stays: true} // it was said
}

// isKnown reports whether the cache shows whether the object is there.
func (o observation) isKnown() bool {
	return o.member != nil && o.member.Health == membership.Ready && o.memberRefusal == "" && o.homeRefusal == "" && o.cache == memberclient.Synced
}

// isWorthAWait reports whether it may become known later what there is of an object that was given up.
func (o observation) isWorthAWait() bool {
	if o.member == nil {
		return o.unchecked
	}
	return o.memberRefusal == "" && o.homeRefusal == "" && o.cache != memberclient.NotServed
}

// isGivenUp reports whether something may be there that was given up.
func (o observation) isGivenUp() bool {
	return o.record.State == v1beta2.TargetAbandoned && !(o.isKnown() && o.live == nil)
}

// leavingState is what is said of a target: one that was given up is Abandoned until what is there is
// released, whatever happens meanwhile, since it is not to be deleted. One that is placed again is
// until the member is back.
func (o observation) leavingState(state v1beta2.TargetState) v1beta2.TargetState {
	if o.record.State == v1beta2.TargetAbandoned && (o.intent == release || !o.isKnown()) {
		return v1beta2.TargetAbandoned
	}
	return state
}

const placedAgain = "the target was given up, and is placed again: "

// leavingMessage is message, or says of a target that was given up that it is placed again.
func (o observation) leavingMessage(message string) string {
	if message != "" && o.intent == run && o.leavingState(v1beta2.TargetOK) == v1beta2.TargetAbandoned {
		return placedAgain + message
	}
	return message
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

// tellLeft says what was given up in a target, if anything was, and that was not said: what somebody else
// may have written is looked for again as long as the deletion waits for other targets.
func (e *Engine) tellLeft(v *view, target, left string) {
	if left != "" && !v.memory.isOrphan(target) {
		e.tell(v, []events.Event{{Type: corev1.EventTypeWarning, Reason: ReasonAbandoned, Message: left}})
	}
}
