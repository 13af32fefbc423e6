package status

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// grade is how much a target keeps its object from being healthy, the worst last.
type grade int

const (
	// uncounted: nothing of the object is there, and nothing is to be.
	uncounted grade = iota
	well
	unknown
	// pending: the target does not run what the spec says yet.
	pending
	progressing
	degraded
)

// leaving are the states of targets that the object leaves. One with a health runs there, or may: it is
// made anew, or placed again.
var leaving = map[v1beta2.TargetState]bool{
	v1beta2.TargetWaitingForRemoval:  true,
	v1beta2.TargetDeletionFailed:     true,
	v1beta2.TargetLabelRemovalFailed: true,
	v1beta2.TargetAbandoned:          true,
}

// gradeOf grades a target. Only what runs what the spec says can be well, or what the mask leaves as
// it is; what is known of an object that is not well counts in any case.
func gradeOf(t v1beta2.TargetStatus) grade {
	switch {
	case t.Health == v1beta2.HealthDegraded:
		return degraded
	case leaving[t.State] && t.Health == "":
		return uncounted
	case (t.State == v1beta2.TargetMasked || t.State == v1beta2.TargetEnded) && t.Health == "":
		return uncounted
	case t.Health == v1beta2.HealthUnknown:
		return unknown
	case t.Health == v1beta2.HealthProgressing:
		return progressing
	case !t.State.UpToDate() && t.State != v1beta2.TargetMasked:
		return pending
	case t.Health == "":
		return unknown
	}
	return well
}

// judgeHealth returns the condition Healthy. Its message names the worst targets first, and says no
// more of them than a word: what else there is to say is in status.targets.
func judgeHealth(targets []v1beta2.TargetStatus, problem string) v1beta2.Condition {
	condition := v1beta2.Condition{Type: v1beta2.ConditionHealthy, Status: metav1.ConditionUnknown}
	if problem != "" {
		condition.Reason, condition.Message = v1beta2.ReasonComputePlacementFailed, problem
		return condition
	}
	var byGrade [degraded + 1][]string
	counted := 0
	for _, t := range targets {
		g := gradeOf(t)
		if g == uncounted {
			continue
		}
		counted++
		if g != well {
			byGrade[g] = append(byGrade[g], t.Name+": "+word(t, g))
		}
	}
	unwell := slices.Concat(byGrade[degraded], byGrade[progressing], byGrade[pending], byGrade[unknown])
	switch {
	case len(byGrade[degraded]) > 0:
		condition.Status, condition.Reason = metav1.ConditionFalse, v1beta2.ReasonTargetsDegraded
	case len(byGrade[progressing]) > 0:
		condition.Status, condition.Reason = metav1.ConditionFalse, v1beta2.ReasonTargetsProgressing
	case len(byGrade[pending]) > 0:
		condition.Reason = v1beta2.ReasonTargetsProgressing
	case len(byGrade[unknown]) > 0:
		condition.Reason = v1beta2.ReasonTargetsUnknown
	default:
		condition.Status = metav1.ConditionTrue
	}
	switch {
	case counted == 0:
		condition.Message = "no target has an object"
	case len(unwell) == 0:
		condition.Message = fmt.Sprintf("%d of %d targets are healthy", counted, counted)
	default:
		condition.Message = fmt.Sprintf("%d of %d targets are healthy; %s", counted-len(unwell), counted, foremost(unwell))
	}
	return condition
}

// word is what to say of a target in a word.
func word(t v1beta2.TargetStatus, g grade) string {
	switch {
	case g == pending:
		return string(t.State)
	case t.Health == "":
		return string(v1beta2.HealthUnknown)
	}
	return string(t.Health)
}
