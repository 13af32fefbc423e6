package simnode

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// BehaviourAnnotation on a pod makes it misbehave: BehaviourUnready or BehaviourFail.
// Any other value has no effect.
const BehaviourAnnotation = "playground.koinon.io/behaviour"

const (
	// BehaviourUnready makes a pod run without ever becoming Ready.
	BehaviourUnready = "unready"
	// BehaviourFail makes a pod that is not to be restarted fail instead of succeed.
	BehaviourFail = "fail"
)

// action is what to do about a pod.
type action string

const (
	doNothing action = "nothing"
	doBind    action = "bind"
	doRun     action = "run"
	doSucceed action = "succeed"
	doFail    action = "fail"
	doRemove  action = "remove"
	doWait    action = "wait"
)

// decide returns the next thing to do for a pod, and for doWait how long until then. owns
// tells whether a node is simulated here.
func decide(pod *corev1.Pod, owns func(node string) bool, now time.Time, completeAfter time.Duration) (action, time.Duration) {
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	switch {
	case pod.Spec.NodeName == "":
		return decideUnbound(pod), 0
	case !owns(pod.Spec.NodeName):
		return doNothing, 0
	case pod.DeletionTimestamp != nil:
		return decideDeleted(pod, ended), 0
	case ended:
		return doNothing, 0
	case pod.Status.Phase != corev1.PodRunning || ready(pod) != shouldBeReady(pod):
		return doRun, 0
	case pod.Spec.RestartPolicy == corev1.RestartPolicyAlways || pod.Status.StartTime == nil:
		return doNothing, 0
	}
	if left := pod.Status.StartTime.Add(completeAfter).Sub(now); left > 0 {
		return doWait, left
	}
	if pod.Annotations[BehaviourAnnotation] == BehaviourFail {
		return doFail, 0
	}
	return doSucceed, 0
}

func decideUnbound(pod *corev1.Pod) action {
	ours := pod.Spec.SchedulerName == "" || pod.Spec.SchedulerName == corev1.DefaultSchedulerName
	if ours && pod.DeletionTimestamp == nil && len(pod.Spec.SchedulingGates) == 0 {
		return doBind
	}
	return doNothing
}

// decideDeleted lets a deleted pod end at once: its processes would be told to stop, and
// there are none. A pod that finalizers hold back gets a final phase first, as controllers
// wait for that.
func decideDeleted(pod *corev1.Pod, ended bool) action {
	removed := pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0
	switch {
	case len(pod.Finalizers) > 0 && !ended:
		return doFail
	case removed && len(pod.Finalizers) > 0:
		return doNothing
	}
	return doRemove
}

func ready(pod *corev1.Pod) bool { return conditionTrue(pod, corev1.PodReady) }

// shouldBeReady tells whether a pod's containers are ready and all its readiness gates,
// which controllers set, are open.
func shouldBeReady(pod *corev1.Pod) bool {
	for _, gate := range pod.Spec.ReadinessGates {
		if !conditionTrue(pod, gate.ConditionType) {
			return false
		}
	}
	return pod.Annotations[BehaviourAnnotation] != BehaviourUnready
}

func conditionTrue(pod *corev1.Pod, kind corev1.PodConditionType) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == kind {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
