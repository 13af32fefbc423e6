package simnode

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hostIP is the address of every node: nothing listens there on their behalf.
const hostIP = "127.0.0.1"

// runningStatus is what a kubelet reports of a pod whose containers run. Conditions that
// others set are not in it: it is applied as a patch that merges them.
func runningStatus(pod *corev1.Pod, now time.Time, address string) corev1.PodStatus {
	started := metav1.NewTime(now)
	if pod.Status.StartTime != nil {
		started = *pod.Status.StartTime
	}
	containersReady := pod.Annotations[BehaviourAnnotation] != BehaviourUnready
	status := corev1.PodStatus{
		Phase:     corev1.PodRunning,
		StartTime: &started,
		HostIP:    hostIP,
		HostIPs:   []corev1.HostIP{{IP: hostIP}},
		PodIP:     address,
		PodIPs:    []corev1.PodIP{{IP: address}},
		Conditions: []corev1.PodCondition{
			condition(pod, corev1.PodReadyToStartContainers, true, now),
			condition(pod, corev1.PodInitialized, true, now),
			condition(pod, corev1.ContainersReady, containersReady, now),
			condition(pod, corev1.PodReady, shouldBeReady(pod), now),
		},
	}
	if pod.Spec.HostNetwork {
		status.PodIP, status.PodIPs = hostIP, []corev1.PodIP{{IP: hostIP}}
	}
	for _, c := range pod.Spec.InitContainers {
		state := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: "Completed", StartedAt: started, FinishedAt: started,
		}}
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}
		}
		status.InitContainerStatuses = append(status.InitContainerStatuses, containerStatus(c, state, true))
	}
	for _, c := range pod.Spec.Containers {
		state := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}
		status.ContainerStatuses = append(status.ContainerStatuses, containerStatus(c, state, containersReady))
	}
	return status
}

// unschedulableStatus is what a scheduler reports of a pod that fits none of so many nodes.
func unschedulableStatus(pod *corev1.Pod, now time.Time, nodes int) corev1.PodStatus {
	c := condition(pod, corev1.PodScheduled, false, now)
	c.Reason, c.Message = corev1.PodReasonUnschedulable, fmt.Sprintf("0/%d nodes are available", nodes)
	return corev1.PodStatus{Conditions: []corev1.PodCondition{c}}
}

// isUnschedulable reports whether a pod says that already.
func isUnschedulable(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
	})
}

// endedStatus is what a kubelet reports of a pod whose containers have ended.
func endedStatus(pod *corev1.Pod, now time.Time, phase corev1.PodPhase) corev1.PodStatus {
	terminated := &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: metav1.NewTime(now)}
	if phase == corev1.PodFailed {
		terminated.Reason, terminated.ExitCode = "Error", 1
	}
	if pod.Status.StartTime != nil {
		terminated.StartedAt = *pod.Status.StartTime
	}
	status := corev1.PodStatus{
		Phase: phase,
		Conditions: []corev1.PodCondition{
			condition(pod, corev1.ContainersReady, false, now),
			condition(pod, corev1.PodReady, false, now),
		},
	}
	for _, c := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses,
			containerStatus(c, corev1.ContainerState{Terminated: terminated}, false))
	}
	return status
}

func containerStatus(c corev1.Container, state corev1.ContainerState, ready bool) corev1.ContainerStatus {
	started := state.Running != nil
	return corev1.ContainerStatus{Name: c.Name, Image: c.Image, ImageID: c.Image, State: state, Ready: ready, Started: &started}
}

// condition keeps the transition time of a condition that does not change.
func condition(pod *corev1.Pod, kind corev1.PodConditionType, value bool, now time.Time) corev1.PodCondition {
	c := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(now)}
	if value {
		c.Status = corev1.ConditionTrue
	}
	for _, old := range pod.Status.Conditions {
		if old.Type == kind && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	return c
}
