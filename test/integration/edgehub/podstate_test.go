package edgehub_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statusutil "k8s.io/kubernetes/pkg/util/pod"
	"k8s.io/utils/ptr"

	"github.com/koinon-io/koinon/test/testbed"
)

// says has kubelet say that a pod has an address, and whether it is ready, as its status manager does. The error is the API server's.
func (n *node) says(name, address string, ready corev1.ConditionStatus) error {
	n.Helper()
	client := n.kubelet()
	pod, err := client.CoreV1().Pods("default").Get(n.Context(), name, metav1.GetOptions{})
	if err != nil {
		n.Fatal(err)
	}
	now := pod.Status.DeepCopy()
	now.Phase, now.PodIP, now.PodIPs = corev1.PodRunning, address, []corev1.PodIP{{IP: address}}
	now.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
	_, _, _, err = statusutil.PatchPodStatus(n.Context(), client, pod.Namespace, pod.Name, pod.UID, pod.Status, *now)
	return err
}

// A node that was started anew without the cloud, and of which nothing kept the addresses of its pods: EndpointSlices lead to where they are now, and to those that are ready.
func TestEndpointsOfPodsThatAreOtherwiseWithoutTheCloudAreSeenAsTheyAre(t *testing.T) {
	n := newNode(t)
	n.letNodes("nodes,endpointslices.discovery.k8s.io")
	here, elsewhere := n.pod("here", "default"), n.pod("here-too", "default")
	for name, address := range map[string]string{"here": "10.1.0.5", "here-too": "10.1.0.6"} {
		testbed.Eventually(t, "kubelet says that "+name+" runs", func(context.Context) error { return n.says(name, address, corev1.ConditionTrue) })
	}
	if _, err := n.cloud.CoreV1().Services("default").Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	slice := endpointSlice("s", nodeName, nodeName, "far")
	slice.Labels[discoveryv1.LabelManagedBy] = "endpointslice-controller.k8s.io"
	for i, pod := range []*corev1.Pod{here, elsewhere, nil} {
		e := &slice.Endpoints[i]
		e.Addresses = []string{fmt.Sprint("10.1.0.", 5+i)}
		if e.Conditions.Ready = ptr.To(true); pod != nil {
			e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
		}
	}
	if _, err := n.cloud.DiscoveryV1().EndpointSlices("default").Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p := proxyOf(t, "kube-proxy", n.kubelet(), func(e *discoveryv1.Endpoint) string {
		if !*e.Conditions.Ready {
			return e.Addresses[0] + " is not ready"
		}
		return e.Addresses[0]
	})
	sees := func(when string, want ...string) {
		t.Helper()
		slices.Sort(want)
		p.sees(t, when, map[string][]string{"s": want})
	}
	sees("at first", "10.1.0.5", "10.1.0.6", "10.1.0.7")

	n.cable.sever()
	n.restart()
	for name, address := range map[string]string{"here": "10.1.0.8", "here-too": "10.1.0.5"} {
		if err := n.says(name, address, corev1.ConditionTrue); err == nil {
			t.Error("kubelet was told that the cloud knows")
		}
	}
	sees("without the cloud", "10.1.0.8", "10.1.0.5", "10.1.0.7")
	if err := n.says("here", "10.1.0.8", corev1.ConditionFalse); err == nil {
		t.Error("kubelet was told that the cloud knows")
	}
	sees("when one is not ready any more", "10.1.0.8 is not ready", "10.1.0.5", "10.1.0.7")

	n.cable.heal()
	testbed.Eventually(t, "the cloud is told", func(context.Context) error { return n.says("here", "10.1.0.8", corev1.ConditionTrue) })
	sees("when the cloud has not heard of all", "10.1.0.8", "10.1.0.5", "10.1.0.7")
	testbed.Eventually(t, "the cloud is told of the other", func(context.Context) error { return n.says("here-too", "10.1.0.5", corev1.ConditionTrue) })
	slice.Endpoints[0].Addresses, slice.Endpoints[1].Addresses, slice.Endpoints[2].Addresses = []string{"10.1.0.8"}, []string{"10.1.0.5"}, []string{"10.1.0.77"}
	if _, err := n.cloud.DiscoveryV1().EndpointSlices("default").Update(t.Context(), slice, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	sees("when the cloud has come to the same", "10.1.0.8", "10.1.0.5", "10.1.0.77")
}
