package autonomy

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ReasonKept is the reason of the condition Ready of a pod whose node is not heard of, and which is as ready as its kubelet reported last.
const ReasonKept = "KeptWhileUnreachable"

// readiness is what becomes of the condition Ready of a pod.
type readiness int

const (
	asItIs readiness = iota
	// keep writes Ready=True, as the kubelet reported.
	keep
	// release writes Ready=False, as the controller of the node had.
	release
)

// decideReadiness says what becomes of it. A pod that is kept is to be looked at again after some time, if that is not 0.
func decideReadiness(pod *corev1.Pod, node *corev1.Node, policy Policy, now time.Time) (r readiness, again time.Duration) {
	since, unreachable := cutOff(node)
	if !unreachable {
		return asItIs, 0 // its kubelet says what is so
	}
	condition := conditionOf(pod, corev1.PodReady)
	if condition == nil {
		return asItIs, 0
	}
	left := since.Add(policy.For).Sub(now)
	switch may := policy.On && (policy.For == 0 || left > 0) && reportedReady(pod); {
	case may && condition.Status != corev1.ConditionTrue:
		r = keep
	case may:
		r = asItIs
	case condition.Status == corev1.ConditionTrue && condition.Reason == ReasonKept:
		return release, 0
	default:
		return asItIs, 0
	}
	if policy.For > 0 {
		again = left
	}
	return r, again
}

// reportedReady reports whether the kubelet of a pod that runs reported it ready last: what it makes Ready of is nobody else's.
func reportedReady(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning || !isTrue(pod, corev1.ContainersReady) {
		return false
	}
	return !slices.ContainsFunc(pod.Spec.ReadinessGates, func(gate corev1.PodReadinessGate) bool { return !isTrue(pod, gate.ConditionType) })
}

func isTrue(pod *corev1.Pod, conditionType corev1.PodConditionType) bool {
	c := conditionOf(pod, conditionType)
	return c != nil && c.Status == corev1.ConditionTrue
}

// conditionOf returns a condition of a pod; nil if it has none of the type.
func conditionOf(pod *corev1.Pod, conditionType corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == conditionType {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}
