package simnode

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apimachinery/pkg/watch"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// newCluster returns a fake API server that does with a binding what a real one does.
func newCluster(objects ...runtime.Object) *fake.Clientset {
	client := fake.NewClientset(objects...)
	client.Discovery().(*fakediscovery.FakeDiscovery).FakedServerVersion = &version.Info{GitVersion: "v1.36.3"}
	pods := corev1.SchemeGroupVersion.WithResource("pods")
	client.PrependReactor("create", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		create, ok := a.(clienttesting.CreateAction)
		if !ok || a.GetSubresource() != "binding" {
			return false, nil, nil
		}
		binding := create.GetObject().(*corev1.Binding)
		obj, err := client.Tracker().Get(pods, a.GetNamespace(), binding.Name)
		if err != nil {
			return true, nil, err
		}
		pod := obj.(*corev1.Pod).DeepCopy()
		pod.Spec.NodeName = binding.Target.Name
		return true, binding, client.Tracker().Update(pods, pod, a.GetNamespace())
	})
	return client
}

// simulate runs a simulator until the test ends.
func simulate(t *testing.T, client *fake.Clientset, nodes int) {
	t.Helper()
	s, err := New(Config{Client: client, Count: nodes, Prefix: "n", CompleteAfter: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// awaitPods waits, by watching, until the pods of the namespace "default" are as wanted.
func awaitPods(t *testing.T, client *fake.Clientset, want func([]corev1.Pod) error) []corev1.Pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pods := client.CoreV1().Pods("default")
	changes, err := pods.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Stop()
	for {
		list, err := pods.List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		reason := want(list.Items)
		if reason == nil {
			return list.Items
		}
		if !next(ctx, changes) {
			t.Fatalf("in a minute: %v", reason)
		}
	}
}

func next(ctx context.Context, changes watch.Interface) bool {
	select {
	case <-ctx.Done():
		return false
	case <-changes.ResultChan():
		return true
	}
}

func newPod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyAlways,
			Containers:    []corev1.Container{{Name: "main", Image: "example.org/main"}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

func inPhase(phase corev1.PodPhase, n int) func([]corev1.Pod) error {
	return func(pods []corev1.Pod) error {
		in := 0
		for i := range pods {
			if pods[i].Status.Phase == phase {
				in++
			}
		}
		if in != n || len(pods) != n {
			return fmt.Errorf("%d of %d pods are %s, want %d", in, len(pods), phase, n)
		}
		return nil
	}
}

func TestPodsAreSpreadAndRunWithAddressesOfTheirOwn(t *testing.T) {
	var nodes []runtime.Object // all are there from the start, else the first pods share the first node
	for _, name := range []string{"n1", "n2", "n3"} {
		nodes = append(nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	client := newCluster(nodes...)
	simulate(t, client, 3)
	const n = 30
	for i := range n {
		if _, err := client.CoreV1().Pods("default").Create(t.Context(), newPod(fmt.Sprintf("p%d", i)), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	addresses, load := map[string]bool{}, map[string]int{}
	for _, pod := range awaitPods(t, client, inPhase(corev1.PodRunning, n)) {
		addresses[pod.Status.PodIP] = true
		load[pod.Spec.NodeName]++
		if !ready(&pod) || len(pod.Status.ContainerStatuses) != 1 || !pod.Status.ContainerStatuses[0].Ready {
			t.Errorf("pod %s is not ready: %+v", pod.Name, pod.Status)
		}
	}
	if len(addresses) != n {
		t.Errorf("%d pods have %d addresses", n, len(addresses))
	}
	for _, node := range []string{"n1", "n2", "n3"} {
		if load[node] != n/3 {
			t.Errorf("node %s has %d pods, want %d", node, load[node], n/3)
		}
	}
}

func TestPodsKeepTheirAddressWhenTheSimulatorRestarts(t *testing.T) {
	old := newPod("old", func(p *corev1.Pod) {
		p.Spec.NodeName = "n1"
		p.Status = runningStatus(p, time.Now(), "10.244.0.1")
	})
	client := newCluster(old)
	simulate(t, client, 1)
	if _, err := client.CoreV1().Pods("default").Create(t.Context(), newPod("new"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, pod := range awaitPods(t, client, inPhase(corev1.PodRunning, 2)) {
		got[pod.Name] = pod.Status.PodIP
	}
	if got["old"] != "10.244.0.1" || got["new"] == "10.244.0.1" || got["new"] == "" {
		t.Errorf("addresses: got %v, want the old one kept and another one for the new pod", got)
	}
}

func TestPodsThatRunOnceSucceed(t *testing.T) {
	client := newCluster(newPod("once", func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }))
	simulate(t, client, 1)
	awaitPods(t, client, inPhase(corev1.PodSucceeded, 1))
}

func TestPodsWaitForANodeThatFits(t *testing.T) {
	client := newCluster(newPod("picky", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }))
	simulate(t, client, 2)
	var node *corev1.Node
	awaitNode := func() error {
		var err error
		node, err = client.CoreV1().Nodes().Get(t.Context(), "n2", metav1.GetOptions{})
		return err
	}
	changes, err := client.CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer changes.Stop()
	for err := awaitNode(); err != nil || !nodeReady(node); err = awaitNode() {
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		<-changes.ResultChan()
	}
	node.Labels["disk"] = "ssd"
	if _, err := client.CoreV1().Nodes().Update(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	pods := awaitPods(t, client, inPhase(corev1.PodRunning, 1))
	if pods[0].Spec.NodeName != "n2" {
		t.Errorf("node: got %q, want n2, which has the label", pods[0].Spec.NodeName)
	}
}

// A preference with "rebalance" moves replicas away from where pods say so.
func TestAPodThatFitsNoNodeSaysSo(t *testing.T) {
	client := newCluster(newPod("picky", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }))
	simulate(t, client, 2)
	pods := awaitPods(t, client, func(pods []corev1.Pod) error {
		if len(pods) != 1 || !isUnschedulable(&pods[0]) {
			return errors.New("the pod does not say that it fits no node")
		}
		return nil
	})
	if pods[0].Status.Phase != corev1.PodPending {
		t.Errorf("phase: got %s, want Pending", pods[0].Status.Phase)
	}
}

func TestDeletedPodsAreLetGo(t *testing.T) {
	at := metav1.Now()
	client := newCluster(newPod("going", func(p *corev1.Pod) {
		p.Spec.NodeName = "n1"
		p.DeletionTimestamp = &at
		p.DeletionGracePeriodSeconds = new(int64)
		*p.DeletionGracePeriodSeconds = 30
	}))
	simulate(t, client, 1)
	awaitPods(t, client, func(pods []corev1.Pod) error {
		if len(pods) > 0 {
			return errors.New("the pod is still there")
		}
		return nil
	})
}

func TestFits(t *testing.T) {
	tests := map[string]struct {
		pod  func(*corev1.Pod)
		node func(*corev1.Node)
		want bool
	}{
		"any pod fits a plain node":               {want: true},
		"a cordoned node is full":                 {node: func(n *corev1.Node) { n.Spec.Unschedulable = true }},
		"a taint keeps pods away":                 {node: taint(corev1.TaintEffectNoSchedule)},
		"a mild taint does not":                   {node: taint(corev1.TaintEffectPreferNoSchedule), want: true},
		"a tolerated taint does not":              {node: taint(corev1.TaintEffectNoSchedule), pod: func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} }, want: true},
		"a selector that the node does not match": {pod: func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"a": "b"} }},
		"affinity by name, as of a DaemonSet": {pod: func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{
					Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{"other"},
				}}}},
			}}}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pod, node := newPod("p"), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
			if test.pod != nil {
				test.pod(pod)
			}
			if test.node != nil {
				test.node(node)
			}
			if got := fits(t.Context(), pod, node); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func taint(effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: effect}} }
}
