// Package status folds what is known of each target into the status of a federated
// object. It is pure; all of it may be called concurrently.
package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// maxNamed is how many targets the condition's message names; status.targets has all.
const maxNamed = 5

// Fold returns the new status of an object of that generation. targets are those that
// are placed or still hold the object, in any order. problem, if not empty, is why the
// targets could not even be computed; targets are then the last known ones.
//
// The status is made to fit in limitBytes as JSON: what had to be left out is in the
// condition's message.
//
// old is the status so far, nil if there is none. If there is nothing new to say, the
// result equals old, times included.
func Fold(old *v1beta2.FederatedObjectStatus, generation int64, targets []v1beta2.TargetStatus, problem string, limitBytes int, now time.Time) *v1beta2.FederatedObjectStatus {
	folded := &v1beta2.FederatedObjectStatus{ObservedGeneration: generation, Targets: slices.Clone(targets)}
	slices.SortFunc(folded.Targets, func(a, b v1beta2.TargetStatus) int { return strings.Compare(a.Name, b.Name) })
	var leftOut string
	folded.Targets, leftOut = fit(folded.Targets, limitBytes)
	if old != nil {
		folded.Conditions = slices.Clone(old.Conditions) // those of others stay
	}
	propagation, healthy := judge(folded.Targets, problem), judgeHealth(folded.Targets, problem)
	propagation.Message = Cut(propagation.Message, v1beta2.MaxMessageBytes) + leftOut
	healthy.Message = Cut(healthy.Message, v1beta2.MaxMessageBytes)
	stamp := now.UTC().Format(time.RFC3339)
	for _, condition := range []v1beta2.Condition{propagation, healthy} {
		condition.LastUpdateTime, condition.LastTransitionTime = stamp, stamp
		folded.Conditions = put(folded.Conditions, condition)
	}
	return folded
}

// put makes a condition the one of its type.
func put(conditions []v1beta2.Condition, condition v1beta2.Condition) []v1beta2.Condition {
	at := slices.IndexFunc(conditions, func(c v1beta2.Condition) bool { return c.Type == condition.Type })
	if at < 0 {
		return append(conditions, condition)
	}
	conditions[at] = succeed(conditions[at], condition)
	return conditions
}

// succeed keeps the times of the previous condition as far as they still hold.
func succeed(previous, condition v1beta2.Condition) v1beta2.Condition {
	if previous.Status == condition.Status {
		condition.LastTransitionTime = previous.LastTransitionTime
		if previous.Reason == condition.Reason && previous.Message == condition.Message {
			condition.LastUpdateTime = previous.LastUpdateTime
		}
	}
	return condition
}

func judge(targets []v1beta2.TargetStatus, problem string) v1beta2.Condition {
	condition := v1beta2.Condition{Type: v1beta2.ConditionPropagation, Status: metav1.ConditionFalse}
	if problem != "" {
		condition.Reason, condition.Message = v1beta2.ReasonComputePlacementFailed, problem
		return condition
	}
	masked, givenUp, behind := 0, []string{}, []string{}
	for _, target := range targets {
		switch {
		case target.State.UpToDate():
		case target.State.IsGivenUp(target.Health):
			givenUp = append(givenUp, target.Name)
		case target.State == v1beta2.TargetMasked:
			masked++
		default:
			behind = append(behind, target.Name+": "+string(target.State))
		}
	}
	condition.Message = summary(len(targets)-masked-len(givenUp), masked, behind)
	if len(givenUp) > 0 {
		condition.Message += "; given up: " + foremost(givenUp)
	}
	if len(behind) == 0 {
		condition.Status = metav1.ConditionTrue
	} else {
		condition.Reason = v1beta2.ReasonCheckClusters
	}
	return condition
}

func summary(changing, masked int, behind []string) string {
	if changing == 0 && masked == 0 {
		return "no target is placed"
	}
	message := fmt.Sprintf("%d of %d targets are up to date", changing-len(behind), changing)
	if masked > 0 {
		message += fmt.Sprintf(", %d masked", masked)
	}
	if len(behind) == 0 {
		return message
	}
	return message + "; " + foremost(behind)
}

// foremost lists the first of many.
func foremost(all []string) string {
	first := all[:min(len(all), maxNamed)]
	text := strings.Join(first, ", ")
	if more := len(all) - len(first); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
