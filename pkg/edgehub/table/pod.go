package table

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	podSpecDoc   = corev1.PodSpec{}.SwaggerDoc()
	podStatusDoc = corev1.PodStatus{}.SwaggerDoc()

	podColumns = slices.Concat([]column{
		name,
		text("Ready", "The aggregate readiness state of this pod for accepting traffic.", func(p *corev1.Pod) any {
			s := summarize(p)
			return fmt.Sprintf("%d/%d", s.ready, s.containers)
		}),
		text("Status", "The aggregate status of the containers in this pod.", func(p *corev1.Pod) any { return summarize(p).reason }),
		timed("Restarts", "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.", func(p *corev1.Pod, now time.Time) any {
			return summarize(p).restarts.text(now)
		}),
		age,
	}, allWide(
		text("IP", podStatusDoc["podIP"], func(p *corev1.Pod) any { return orNone(p.Status.PodIP) }),
		text("Node", podSpecDoc["nodeName"], func(p *corev1.Pod) any { return orNone(p.Spec.NodeName) }),
		text("Nominated Node", podStatusDoc["nominatedNodeName"], func(p *corev1.Pod) any { return orNone(p.Status.NominatedNodeName) }),
		text("Readiness Gates", podSpecDoc["readinessGates"], readinessGates),
	))
)

// conditions are those of a row: of pods only.
func conditions(o object) []metav1.TableRowCondition {
	completed := func(phase corev1.PodPhase, message string) []metav1.TableRowCondition {
		return []metav1.TableRowCondition{{Type: metav1.RowCompleted, Status: metav1.ConditionTrue, Reason: string(phase), Message: message}}
	}
	p, ok := o.(*corev1.Pod)
	if !ok {
		return nil
	}
	switch phase := p.Status.Phase; phase {
	case corev1.PodSucceeded:
		return completed(phase, "The pod has completed successfully.")
	case corev1.PodFailed:
		return completed(phase, "The pod failed.")
	}
	return nil
}

func readinessGates(p *corev1.Pod) any {
	passed := 0
	for _, gate := range p.Spec.ReadinessGates {
		if is(p, gate.ConditionType) {
			passed++
		}
	}
	if len(p.Spec.ReadinessGates) == 0 {
		return none
	}
	return fmt.Sprintf("%d/%d", passed, len(p.Spec.ReadinessGates))
}

// is reports whether a condition of a pod is true.
func is(p *corev1.Pod, condition corev1.PodConditionType) bool {
	at := slices.IndexFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == condition })
	return at >= 0 && p.Status.Conditions[at].Status == corev1.ConditionTrue
}

// restarts are how often containers were started anew, and when that was last.
type restarts struct {
	count int
	last  time.Time
}

func (r *restarts) add(status *corev1.ContainerStatus) {
	r.count += int(status.RestartCount)
	if ended := status.LastTerminationState.Terminated; ended != nil && ended.FinishedAt.After(r.last) {
		r.last = ended.FinishedAt.Time
	}
}

func (r restarts) text(now time.Time) string {
	if r.count == 0 || r.last.IsZero() {
		return strconv.Itoa(r.count)
	}
	return fmt.Sprintf("%d (%s ago)", r.count, since(r.last, now))
}

// summary is what is said of all containers of a pod together.
type summary struct {
	ready, containers int // sidecars included
	restarts          restarts
	reason            string // in the column of its status
}

func summarize(p *corev1.Pod) summary {
	s := summary{containers: len(p.Spec.Containers), reason: cmp.Or(p.Status.Reason, string(p.Status.Phase))}
	if slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonSchedulingGated
	}) {
		s.reason = corev1.PodReasonSchedulingGated
	}
	sidecars := map[string]bool{}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; or(c.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways {
			sidecars[c.Name] = true
			s.containers++
		}
	}
	if !s.addInit(p, sidecars) || is(p, corev1.PodInitialized) {
		s.addMain(p)
	}
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	switch {
	case p.DeletionTimestamp == nil:
	case p.Status.Reason == "NodeLost": // kubelet cannot be asked
		s.reason = "Unknown"
	case !ended:
		s.reason = "Terminating"
	}
	return s
}

// addInit adds init containers up to the first for which others wait, and reports whether there is one: its reason is the pod's then, and restarts are those of
// all up to it. Else only those of sidecars count.
func (s *summary) addInit(p *corev1.Pod, sidecars map[string]bool) (initializing bool) {
	var all restarts
	for i := range p.Status.InitContainerStatuses {
		status := &p.Status.InitContainerStatuses[i]
		sidecar := sidecars[status.Name]
		all.add(status)
		if sidecar {
			s.restarts.add(status)
		}
		ended, waiting := status.State.Terminated, status.State.Waiting
		switch {
		case ended != nil && ended.ExitCode == 0:
			continue
		case sidecar && or(status.Started, false):
			if status.Ready {
				s.ready++
			}
			continue
		case ended != nil:
			s.reason = "Init:" + howEnded(ended)
		case waiting != nil && waiting.Reason != "" && waiting.Reason != "PodInitializing":
			s.reason = "Init:" + waiting.Reason
		default:
			s.reason = fmt.Sprintf("Init:%d/%d", i, len(p.Spec.InitContainers))
		}
		if !is(p, corev1.PodInitialized) {
			s.restarts = all
		}
		return true
	}
	return false
}

// addMain adds the containers that are no init containers. The first that is not running gives the reason.
func (s *summary) addMain(p *corev1.Pod) {
	running, failed := false, ""
	for i := range slices.Backward(p.Status.ContainerStatuses) {
		status := &p.Status.ContainerStatuses[i]
		s.restarts.add(status)
		ended, waiting := status.State.Terminated, status.State.Waiting
		switch {
		case waiting != nil && waiting.Reason != "":
			s.reason = waiting.Reason
		case ended != nil:
			s.reason = howEnded(ended)
			if ended.ExitCode != 0 {
				failed = s.reason
			}
		case status.Ready && status.State.Running != nil:
			running = true
			s.ready++
		}
	}
	if s.reason != "Completed" {
		return
	}
	switch { // one has completed, which is not to hide how the others are
	case running && is(p, corev1.PodReady):
		s.reason = "Running"
	case failed != "":
		s.reason = failed
	case running:
		s.reason = "NotReady"
	}
}

// howEnded says why a container has ended.
func howEnded(ended *corev1.ContainerStateTerminated) string {
	switch {
	case ended.Reason != "":
		return ended.Reason
	case ended.Signal != 0:
		return fmt.Sprintf("Signal:%d", ended.Signal)
	}
	return fmt.Sprintf("ExitCode:%d", ended.ExitCode)
}
