package simnode

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	owns := func(node string) bool { return node == "ours" }
	bound := func(change ...func(*corev1.Pod)) *corev1.Pod {
		pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "ours", RestartPolicy: corev1.RestartPolicyAlways}}
		for _, c := range change {
			c(pod)
		}
		return pod
	}
	running := func(pod *corev1.Pod) {
		started := metav1.NewTime(now.Add(-700 * time.Millisecond))
		pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &started
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	once := func(pod *corev1.Pod) { pod.Spec.RestartPolicy = corev1.RestartPolicyNever }
	phase := func(p corev1.PodPhase) func(*corev1.Pod) { return func(pod *corev1.Pod) { pod.Status.Phase = p } }
	deleted := func(pod *corev1.Pod) { at := metav1.NewTime(now); pod.DeletionTimestamp = &at }
	finalizer := func(pod *corev1.Pod) { pod.Finalizers = []string{"batch.kubernetes.io/job-tracking"} }
	removed := func(pod *corev1.Pod) { pod.DeletionGracePeriodSeconds = new(int64) }
	gate := func(pod *corev1.Pod) { pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "gate"}} }
	behave := func(how string) func(*corev1.Pod) {
		return func(pod *corev1.Pod) { pod.Annotations = map[string]string{BehaviourAnnotation: how} }
	}
	unbound := func(pod *corev1.Pod) { pod.Spec.NodeName = "" }

	tests := map[string]struct {
		pod  *corev1.Pod
		want action
		wait time.Duration
	}{
		"a new pod is bound":                            {pod: bound(unbound), want: doBind},
		"a pod of another scheduler is left alone":      {pod: bound(unbound, func(p *corev1.Pod) { p.Spec.SchedulerName = "other" }), want: doNothing},
		"a pod behind a scheduling gate waits":          {pod: bound(unbound, func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} }), want: doNothing},
		"a deleted pod without a node is not bound":     {pod: bound(unbound, deleted), want: doNothing},
		"a pod of a real node is left alone":            {pod: bound(func(p *corev1.Pod) { p.Spec.NodeName = "theirs" }), want: doNothing},
		"a bound pod runs":                              {pod: bound(), want: doRun},
		"a running pod is left alone":                   {pod: bound(running), want: doNothing},
		"a running pod whose gate is closed is unready": {pod: bound(running, gate), want: doRun},
		"a pod that shall not be ready is made unready": {pod: bound(running, behave(BehaviourUnready)), want: doRun},
		"a pod that runs once goes on for a moment":     {pod: bound(running, once), want: doWait, wait: 300 * time.Millisecond},
		"a pod that ran once succeeds": {pod: bound(running, once, func(p *corev1.Pod) {
			p.Status.StartTime.Time = now.Add(-time.Second)
		}), want: doSucceed},
		"a pod that shall fail fails": {pod: bound(running, once, behave(BehaviourFail), func(p *corev1.Pod) {
			p.Status.StartTime.Time = now.Add(-time.Hour)
		}), want: doFail},
		"a pod that succeeded is left alone":                    {pod: bound(phase(corev1.PodSucceeded)), want: doNothing},
		"a deleted pod is removed":                              {pod: bound(running, deleted), want: doRemove},
		"a deleted pod that ended is removed":                   {pod: bound(phase(corev1.PodFailed), deleted), want: doRemove},
		"a deleted pod with a finalizer ends first":             {pod: bound(running, deleted, finalizer), want: doFail},
		"then it is removed":                                    {pod: bound(phase(corev1.PodFailed), deleted, finalizer), want: doRemove},
		"then whoever has the finalizer has to do its part now": {pod: bound(phase(corev1.PodFailed), deleted, finalizer, removed), want: doNothing},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, wait := decide(test.pod, owns, now, time.Second)
			if got != test.want || wait != test.wait {
				t.Errorf("got %s in %s, want %s in %s", got, wait, test.want, test.wait)
			}
		})
	}
}
