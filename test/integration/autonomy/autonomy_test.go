package autonomy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/edge/autonomy"
	"github.com/koinon-io/koinon/test/testbed"
)

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// limit is the duration of autonomy of the node that has one.
const limit = 20 * time.Second

// Five nodes are cut off, and five are not: what saves pods is not that evictions stop when most of a zone is away.
func TestNodesThatAreCutOff(t *testing.T) {
	f := newFixture(t)
	kubeconfig := f.install()
	stop := f.manage(kubeconfig)
	for i := range 5 {
		f.newNode(fmt.Sprintf("healthy-%d", i), nil)
	}
	plain := f.newNode("plain", nil)
	edge := f.newNode("edge", map[string]string{autonomy.Autonomy: "true"})
	limited := f.newNode("limited", map[string]string{autonomy.Autonomy: "true", autonomy.Duration: limit.String()})
	switched := f.newNode("switched", map[string]string{"node.beta.openyurt.io/autonomy": "true"})

	late := f.newNode("late", nil)

	f.newService()
	exists := func(key string, seconds *int64) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: seconds}
	}
	plainPod, edgePod, limitedPod, switchedPod := plain.newPod("plain"), edge.newPod("edge"), limited.newPod("limited"), switched.newPod("switched")
	forEver := limited.newPod("for-ever", exists("", nil))
	all := edge.newPod("all", exists("", new(int64(2))))
	latePod := late.newPod("late", exists(corev1.TaintNodeUnreachable, new(int64(15))), exists(corev1.TaintNodeNotReady, new(int64(15))))
	edge.newPod("sick")
	set := f.newStatefulSet(edge)
	daemon := f.newDaemon(edge)
	kept := []*corev1.Pod{edgePod, all, set}

	f.sees("all are ready", map[string]string{"plain": "ready", "edge": "ready", "limited": "ready", "switched": "ready", "sick": "ready", "for-ever": "ready", "all": "ready", "set-0": "ready", "late": "ready"})
	edge.makeSick("sick", true)
	f.sees("one whose probe fails while its node is there is not ready", map[string]string{"sick": "unready", "edge": "ready"})
	f.tolerated("edge", nil)
	f.tolerated("switched", nil)
	f.tolerated("limited", new(int64(limit.Seconds())))
	f.tolerated("plain", new(int64(defaultSeconds)))
	f.eventually("one for all has others before it", func(context.Context) error {
		if n := len(f.pod("all").Spec.Tolerations); n != 3 {
			return fmt.Errorf("it has %d tolerations", n)
		}
		return nil
	})
	for _, pod := range []*corev1.Pod{forEver, daemon} {
		if diff := cmp.Diff(pod.Spec.Tolerations, f.pod(pod.Name).Spec.Tolerations); diff != "" {
			t.Errorf("the tolerations of %s are not left alone (-want +got):\n%s", pod.Name, diff)
		}
	}

	blips := f.watchBlips("edge", "limited", "set-0")
	for _, n := range []*node{plain, edge, limited, switched, late} {
		n.cut.Store(true)
	}
	f.unheardOf(plain, edge, limited, switched, late)
	late.annotate(map[string]any{autonomy.Autonomy: "true", autonomy.Duration: "1h"}) // when its eviction is scheduled already
	inTime := f.pod("late").DeletionTimestamp == nil
	f.evicted(plainPod)
	f.sees("those of autonomous nodes are kept", map[string]string{"plain": "terminating", "edge": "ready", "switched": "ready", "sick": "unready", "all": "ready", "set-0": "ready"})
	f.stayed("while they are cut off", append(kept, switchedPod, forEver, daemon)...)

	switched.annotate(map[string]any{"node.beta.openyurt.io/autonomy": nil})
	f.evicted(switchedPod)
	f.sees("one whose autonomy ended is not kept", map[string]string{"switched": "terminating", "edge": "ready"})

	stop() // and the program of the Deployment goes on
	f.evicted(limitedPod)
	if after := f.pod("limited").DeletionTimestamp.Sub(limited.since()) - 30*time.Second; after < limit-2*time.Second { // 30 s are the pod's grace period, and 2 are lost to whole seconds
		t.Errorf("it was evicted after %s", after)
	}
	if inTime {
		f.stayed("although its node said so when it was cut off already", latePod)
	}
	f.deploy(kubeconfig)
	f.sees("the time is over, also for one that stays", map[string]string{"limited": "terminating", "for-ever": "unready", "edge": "ready", "set-0": "ready"})
	if c := condition(f.pod("for-ever"), corev1.PodReady); c.Reason != "NodeUnreachable" {
		t.Errorf("it was not kept before: it is unready because of %q", c.Reason)
	}
	f.stayed("after the others' time is over", append(kept, forEver)...)
	f.Logf("endpoints were unready for %s", blips())

	f.cluster.Kill(t, testbed.ControllerManager)
	f.cluster.Start(t)
	f.eventually("the new controller of nodes marks pods, and they are kept again", func(context.Context) error {
		if n := f.events("edge", "NodeNotReady"); n < 2 {
			return fmt.Errorf("it has marked the pod %d times", n)
		}
		if c := condition(f.pod("edge"), corev1.PodReady); c.Status != corev1.ConditionTrue || c.Reason != autonomy.ReasonKept {
			return fmt.Errorf("it is Ready=%s, %s", c.Status, c.Reason)
		}
		return nil
	})
	f.sees("the endpoints are, too", map[string]string{"edge": "ready", "set-0": "ready", "sick": "unready", "for-ever": "unready"})
	f.stayed("behind a new controller of nodes", kept...)

	edge.makeSick("sick", false)
	for _, n := range []*node{plain, edge, limited, switched, late} {
		n.cut.Store(false)
	}
	f.eventually("its kubelet says what is so", func(context.Context) error {
		for _, name := range []string{"edge", "sick", "set-0", "for-ever"} {
			if c := condition(f.pod(name), corev1.PodReady); c.Status != corev1.ConditionTrue || c.Reason != "" {
				return fmt.Errorf("%s is Ready=%s, %s", name, c.Status, c.Reason)
			}
		}
		return nil
	})
	f.sees("and those that were evicted are gone", map[string]string{"edge": "ready", "sick": "ready", "plain": "", "limited": "", "switched": ""})
	f.stayed("after the return", append(kept, daemon, forEver)...)

	edge.annotate(map[string]any{autonomy.Autonomy: nil})
	for _, pod := range []*corev1.Pod{edgePod, set} {
		f.eventually("what "+pod.Name+" had before is there again", func(context.Context) error { return f.asBefore(pod) })
	}
	f.eventually("one for all decides again", func(context.Context) error {
		for _, t := range f.pod("all").Spec.Tolerations {
			if t.TolerationSeconds == nil || *t.TolerationSeconds != 2 {
				return errors.New(mustJSON(f, f.pod("all").Spec.Tolerations))
			}
		}
		return nil
	})
}

// asBefore compares what autonomy changes of a pod with what it was at first.
func (f *fixture) asBefore(pod *corev1.Pod) error {
	now := f.pod(pod.Name)
	if diff := cmp.Diff(pod.Spec, now.Spec); diff != "" {
		return fmt.Errorf("the spec differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(pod.Annotations, now.Annotations); diff != "" {
		return fmt.Errorf("the annotations differ (-want +got):\n%s", diff)
	}
	return nil
}

// events is how often something was said of a pod.
func (f *fixture) events(pod, reason string) (n int32) {
	f.Helper()
	list, err := f.client.CoreV1().Events(namespace).List(f.Context(), metav1.ListOptions{FieldSelector: "reason=" + reason + ",involvedObject.name=" + pod})
	f.must(err)
	for i := range list.Items {
		n += max(list.Items[i].Count, 1)
	}
	return n
}

// newStatefulSet makes one of one pod, on a node, and returns that as it was made.
func (f *fixture) newStatefulSet(n *node) (pod *corev1.Pod) {
	f.Helper()
	labels := map[string]string{"app": "web", "set": "set"}
	seconds := int64(defaultSeconds)
	_, err := f.client.AppsV1().StatefulSets(namespace).Create(f.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "set"},
		Spec:       appsv1.StatefulSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: podSpec(n.name)}},
	}, metav1.CreateOptions{})
	f.must(err)
	f.eventually("the pod of the StatefulSet", func(ctx context.Context) (err error) {
		pod, err = f.client.CoreV1().Pods(namespace).Get(ctx, "set-0", metav1.GetOptions{})
		return err
	})
	for i := range pod.Spec.Tolerations { // it may have been raised since
		pod.Spec.Tolerations[i].TolerationSeconds = &seconds
	}
	delete(pod.Annotations, autonomy.Originals)
	if len(pod.Annotations) == 0 {
		pod.Annotations = nil
	}
	return pod
}

// newDaemon makes a DaemonSet for a node, binds its pod there, and returns it.
func (f *fixture) newDaemon(n *node) (pod *corev1.Pod) {
	f.Helper()
	labels := map[string]string{"daemon": "daemon"}
	spec := podSpec("")
	spec.NodeSelector = map[string]string{"name": n.name}
	_, err := f.client.AppsV1().DaemonSets(namespace).Create(f.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "daemon"}, Spec: appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}},
	}, metav1.CreateOptions{})
	f.must(err)
	f.eventually("the pod of the DaemonSet", func(ctx context.Context) error {
		list, err := f.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "daemon=daemon"})
		if err != nil || len(list.Items) != 1 {
			return fmt.Errorf("there are %d, %w", len(list.Items), err)
		}
		pod = &list.Items[0]
		return nil
	})
	f.must(f.client.CoreV1().Pods(namespace).Bind(f.Context(), &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: n.name}}, metav1.CreateOptions{}))
	return pod
}

// watchBlips looks for how long endpoints are unready, until it is asked.
func (f *fixture) watchBlips(pods ...string) (result func() string) {
	f.Helper()
	ctx, cancel := context.WithCancel(f.Context())
	watcher, err := f.client.DiscoveryV1().EndpointSlices(namespace).Watch(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=web"})
	f.must(err)
	since, total := map[string]time.Time{}, map[string]time.Duration{}
	var watching sync.WaitGroup
	watching.Go(func() { // ends with the watch
		for event := range watcher.ResultChan() {
			slice, ok := event.Object.(*discoveryv1.EndpointSlice)
			if !ok {
				continue
			}
			for _, e := range slice.Endpoints {
				switch began, is := since[e.TargetRef.Name]; {
				case stateOf(e.Conditions) == "unready" && !is:
					since[e.TargetRef.Name] = time.Now()
				case stateOf(e.Conditions) == "ready" && is:
					total[e.TargetRef.Name] += time.Since(began)
					delete(since, e.TargetRef.Name)
				}
			}
		}
	})
	return func() string {
		cancel()
		watcher.Stop()
		watching.Wait()
		var text string
		for _, pod := range pods {
			text += fmt.Sprintf("%s: %s ", pod, total[pod].Round(time.Millisecond))
		}
		return text
	}
}
