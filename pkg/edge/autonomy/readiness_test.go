package autonomy

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDecideReadiness(t *testing.T) {
	const gate = "example.com/gate"
	cut := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	marked := func(p *corev1.Pod) { conditionOf(p, corev1.PodReady).Status = corev1.ConditionFalse }
	kept := func(p *corev1.Pod) { conditionOf(p, corev1.PodReady).Reason = ReasonKept }
	unready := func(p *corev1.Pod) { marked(p); conditionOf(p, corev1.ContainersReady).Status = corev1.ConditionFalse }
	deleted := func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: cut} }
	gated := func(p *corev1.Pod) { p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: gate}} }
	passed := func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: gate, Status: corev1.ConditionTrue})
	}
	type changes = []func(*corev1.Pod)
	on, limited := Policy{On: true}, Policy{true, time.Minute}
	for name, test := range map[string]struct {
		pod    changes
		node   corev1.ConditionStatus
		policy Policy
		after  time.Duration
		want   readiness
		again  time.Duration
	}{
		"a pod that the node's controller has marked is kept":   {changes{marked}, corev1.ConditionUnknown, on, time.Hour, keep, 0},
		"one that is not marked yet is as it is":                {nil, corev1.ConditionUnknown, on, 0, asItIs, 0},
		"it is looked at again when the time is over":           {changes{marked}, corev1.ConditionUnknown, limited, 20 * time.Second, keep, 40 * time.Second},
		"so is one that is kept already":                        {changes{kept}, corev1.ConditionUnknown, limited, 20 * time.Second, asItIs, 40 * time.Second},
		"it is released when the time is over":                  {changes{kept}, corev1.ConditionUnknown, limited, time.Minute, release, 0},
		"it is not kept after that":                             {changes{marked}, corev1.ConditionUnknown, limited, time.Minute, asItIs, 0},
		"it is released when autonomy is switched off":          {changes{kept}, corev1.ConditionUnknown, Policy{}, 0, release, 0},
		"without autonomy nothing is done":                      {changes{marked}, corev1.ConditionUnknown, Policy{}, 0, asItIs, 0},
		"what its kubelet reported unready stays unready":       {changes{unready}, corev1.ConditionUnknown, on, 0, asItIs, 0},
		"one that a gate holds back stays unready":              {changes{marked, gated}, corev1.ConditionUnknown, on, 0, asItIs, 0},
		"one that its gates let through is kept":                {changes{marked, gated, passed}, corev1.ConditionUnknown, on, 0, keep, 0},
		"one that is being deleted is not kept":                 {changes{marked, deleted}, corev1.ConditionUnknown, on, 0, asItIs, 0},
		"one that was kept and is being deleted is released":    {changes{kept, deleted}, corev1.ConditionUnknown, on, 0, release, 0},
		"a node that is heard of and ready has its kubelet":     {changes{marked}, corev1.ConditionTrue, on, 0, asItIs, 0},
		"a node that is heard of and not ready has it, too":     {changes{marked}, corev1.ConditionFalse, on, 0, asItIs, 0},
		"what was kept is its kubelet's business then":          {changes{kept}, corev1.ConditionTrue, on, 0, asItIs, 0},
		"a node without a condition is not known to be cut off": {changes{marked}, "", on, 0, asItIs, 0},
		"one that has not begun is not kept":                    {changes{marked, func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }}, corev1.ConditionUnknown, on, 0, asItIs, 0},
		"one without conditions is left alone":                  {changes{func(p *corev1.Pod) { p.Status.Conditions = nil }}, corev1.ConditionUnknown, on, 0, asItIs, 0},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
				{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue},
			}}}
			for _, change := range test.pod {
				change(pod)
			}
			node := &corev1.Node{}
			if test.node != "" {
				node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: test.node, LastTransitionTime: metav1.NewTime(cut)}}
			}
			got, again := decideReadiness(pod, node, test.policy, cut.Add(test.after))
			if got != test.want || again != test.again {
				t.Errorf("got %d and again after %s, want %d and %s", got, again, test.want, test.again)
			}
		})
	}
}
