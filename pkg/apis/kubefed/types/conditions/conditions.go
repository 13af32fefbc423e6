// Package conditions is the one rule of what the state of a target means, as conditions that each
// answer one question. The subresource targets shows them; the engine and the command line may call
// the same function.
//
// It is pure, and may be called concurrently.
package conditions

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// The types of conditions.
const (
	// Applied is True if the target runs what the spec says, or ran it to its end. It is Unknown
	// where the member cannot be asked.
	Applied = "Applied"
	// Conflict is True if the object there is somebody else's, or somebody else writes it.
	Conflict = "Conflict"
	// Forbidden is True if nothing may be placed there.
	Forbidden = "Forbidden"
	// Healthy is how the object is: what the health rule of its kind says. It is there only where
	// something is known of that.
	Healthy = "Healthy"
	// Masked is True if the mask leaves the target as it is.
	Masked = "Masked"
	// Removing is True if the object there is to go.
	Removing = "Removing"
	// Unreachable is True if the member cannot be asked.
	Unreachable = "Unreachable"
)

// Reasons. Others are the words of the target's state, such as CreationFailed.
const (
	// ReasonUpToDate: the target runs what the spec says.
	ReasonUpToDate = "UpToDate"
	// ReasonAnswered: the member answered just now.
	ReasonAnswered = "Answered"
	// ReasonNoAnswer: the member did not answer just now, or not in a way that says anything.
	ReasonNoAnswer = "NoAnswer"
	// ReasonNotAsked: the federation may not ask the member for this object.
	ReasonNotAsked = "NotAsked"
	// ReasonNotOurs: the object there does not come from this federated object.
	ReasonNotOurs = "NotOurs"
	// ReasonNotThere: the member says that it has no such object.
	ReasonNotThere = "NotThere"
)

// Answer is what came of asking the member just now.
type Answer string

const (
	// NoneAsked: nobody asked just now. It is the zero value.
	NoneAsked Answer = ""
	// Found: the member has the object, and it comes from this federated object.
	Found Answer = "Found"
	// NotFound: the member says that it has no such object.
	NotFound Answer = "NotFound"
	// NotOurs: the member has an object there that does not come from this federated object.
	NotOurs Answer = "NotOurs"
	// Unknown: the member did not answer, or not in a way that says anything.
	Unknown Answer = "Unknown"
	// Refused: it may not be asked.
	Refused Answer = "Refused"
)

// Seen is what is known beside the record of a target.
type Seen struct {
	Answer Answer
	// Why says more on the answer, in a sentence; empty for Found.
	Why string
}

// meaning is what a state says, beside Applied.
type meaning struct {
	applied                                              metav1.ConditionStatus
	conflict, forbidden, masked, removing, isUnreachable bool
}

// meanings of the states that say more than that the spec is not applied. A test looks that every
// state is known.
var meanings = map[v1beta2.TargetState]meaning{
	v1beta2.TargetOK:                    {applied: metav1.ConditionTrue},
	v1beta2.TargetEnded:                 {applied: metav1.ConditionTrue},
	v1beta2.TargetMasked:                {applied: metav1.ConditionFalse, masked: true},
	v1beta2.TargetConflict:              {applied: metav1.ConditionFalse, conflict: true},
	v1beta2.TargetContested:             {applied: metav1.ConditionFalse, conflict: true},
	v1beta2.TargetAlreadyExists:         {applied: metav1.ConditionFalse, conflict: true},
	v1beta2.TargetManagedLabelFalse:     {applied: metav1.ConditionFalse, conflict: true},
	v1beta2.TargetNamespaceForbidden:    {applied: metav1.ConditionFalse, forbidden: true},
	v1beta2.TargetNamespaceNotFederated: {applied: metav1.ConditionFalse, forbidden: true},
	v1beta2.TargetAbandoned:             {applied: metav1.ConditionUnknown, removing: true},
	v1beta2.TargetWaitingForRemoval:     {applied: metav1.ConditionFalse, removing: true},
	v1beta2.TargetDeletionFailed:        {applied: metav1.ConditionFalse, removing: true},
	v1beta2.TargetLabelRemovalFailed:    {applied: metav1.ConditionFalse, removing: true},
	v1beta2.TargetClusterNotReady:       {applied: metav1.ConditionUnknown, isUnreachable: true},
	v1beta2.TargetCachedRetrievalError:  {applied: metav1.ConditionUnknown},
	v1beta2.TargetRetrievalFailed:       {applied: metav1.ConditionUnknown},
}

// healthy is what each word on an object says.
var healthy = map[v1beta2.Health]metav1.ConditionStatus{
	v1beta2.HealthHealthy:     metav1.ConditionTrue,
	v1beta2.HealthSuspended:   metav1.ConditionTrue,
	v1beta2.HealthProgressing: metav1.ConditionFalse,
	v1beta2.HealthDegraded:    metav1.ConditionFalse,
	v1beta2.HealthUnknown:     metav1.ConditionUnknown,
}

// Of returns the conditions of a target, sorted by type: what its record says and, where the
// member was asked just now, what came of it. All but Healthy are there always.
func Of(record *v1beta2.TargetStatus, seen Seen) []v1alpha1.TargetCondition {
	m, special := meanings[record.State]
	if !special {
		m.applied = metav1.ConditionFalse
	}
	reason := cmp.Or(string(record.State), ReasonUpToDate)
	say := func(conditionType string, holds bool) v1alpha1.TargetCondition {
		if !holds {
			return v1alpha1.TargetCondition{Type: conditionType, Status: metav1.ConditionFalse}
		}
		return v1alpha1.TargetCondition{Type: conditionType, Status: metav1.ConditionTrue, Reason: reason, Message: record.Message}
	}
	conditions := []v1alpha1.TargetCondition{
		{Type: Applied, Status: m.applied, Reason: reason, Message: appliedMessage(record)},
		say(Conflict, m.conflict), say(Forbidden, m.forbidden), say(Masked, m.masked), say(Removing, m.removing), say(Unreachable, m.isUnreachable),
	}
	if status, known := healthy[record.Health]; known {
		conditions = append(conditions, v1alpha1.TargetCondition{
			Type: Healthy, Status: status, Reason: string(record.Health), Message: record.HealthMessage,
		})
	}
	conditions = withSeen(conditions, seen)
	slices.SortFunc(conditions, func(a, b v1alpha1.TargetCondition) int { return cmp.Compare(a.Type, b.Type) })
	return conditions
}

func appliedMessage(record *v1beta2.TargetStatus) string {
	if record.State == v1beta2.TargetMasked && record.Message == "" && record.Generation != 0 {
		return fmt.Sprintf("the mask leaves the target as it is; it runs generation %d", record.Generation)
	}
	return record.Message
}

// withSeen says what came of asking the member just now: the record may be older.
func withSeen(conditions []v1alpha1.TargetCondition, seen Seen) []v1alpha1.TargetCondition {
	set := func(conditionType string, status metav1.ConditionStatus, reason, message string) {
		said := v1alpha1.TargetCondition{Type: conditionType, Status: status, Reason: reason, Message: message}
		i := slices.IndexFunc(conditions, func(c v1alpha1.TargetCondition) bool { return c.Type == conditionType })
		if i < 0 {
			conditions = append(conditions, said)
			return
		}
		conditions[i] = said
	}
	switch seen.Answer {
	case NoneAsked:
	case Found:
		set(Unreachable, metav1.ConditionFalse, ReasonAnswered, "")
	case NotFound:
		set(Unreachable, metav1.ConditionFalse, ReasonAnswered, "")
		set(Healthy, metav1.ConditionUnknown, ReasonNotThere, seen.Why)
	case NotOurs:
		set(Unreachable, metav1.ConditionFalse, ReasonAnswered, "")
		set(Conflict, metav1.ConditionTrue, ReasonNotOurs, seen.Why)
		set(Healthy, metav1.ConditionUnknown, ReasonNotOurs, seen.Why)
	case Refused:
		set(Forbidden, metav1.ConditionTrue, ReasonNotAsked, seen.Why)
		set(Healthy, metav1.ConditionUnknown, ReasonNotAsked, seen.Why)
	case Unknown:
		set(Unreachable, metav1.ConditionTrue, ReasonNoAnswer, seen.Why)
		set(Healthy, metav1.ConditionUnknown, ReasonNoAnswer, seen.Why)
	}
	return conditions
}
