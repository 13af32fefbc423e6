package edgehub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/koinon-io/koinon/test/testbed"
)

// What kubelet writes while the cloud is away is answered only if it is true, and what is promised is in the cloud after the return.
func TestWhatANodeWritesWithoutTheCloud(t *testing.T) {
	n := newNode(t)
	ctx := t.Context()
	kubelet := n.kubelet()
	pod := n.pod("web", "web")
	n.tokenOf(pod)
	flannel := n.pod("flannel", "flannel")
	token := n.tokenOf(flannel)
	testbed.Kubectl(t, n.cluster.Kubeconfig(), "create", "clusterrole", "flannel", "--verb=patch", "--resource=nodes,nodes/status")
	testbed.Kubectl(t, n.cluster.Kubeconfig(), "create", "clusterrolebinding", "flannel", "--clusterrole=flannel", "--serviceaccount=default:flannel")
	asFlannel := n.clientOf(n.podConfig(token))
	annotate := func(mac string) error {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"flannel.alpha.coreos.com/backend-data":%q}}}`, mac)
		_, err := asFlannel.CoreV1().Nodes().Patch(ctx, nodeName, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
		return err
	}
	if err := annotate("a"); err != nil {
		t.Fatal(err)
	}
	// What kubelet does when it starts.
	if _, err := kubelet.CoreV1().Nodes().List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + nodeName}); err != nil {
		t.Fatal(err)
	}
	if _, err := kubelet.StorageV1().CSINodes().Get(ctx, nodeName, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	if _, err := kubelet.StorageV1().CSINodes().Create(ctx, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	leases := kubelet.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: nodeName}, Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To(nodeName), RenewTime: ptr.To(metav1.NowMicro())}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	event := func(name string, count int32) *corev1.Event {
		return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Reason: "Test", Count: count, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: pod.Name, UID: pod.UID}}
	}
	events := kubelet.CoreV1().Events("default")
	if _, err := events.Create(ctx, event("online", 1), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	statusOf := func(reason string) []byte {
		return fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":"True","reason":%q}]}}`, reason)
	}
	if _, err := kubelet.CoreV1().Nodes().Patch(ctx, nodeName, types.StrategicMergePatchType, statusOf("Before"), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the hub has read what was written", func(ctx context.Context) error {
		node, err := kubelet.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{ResourceVersion: "0"})
		if err == nil && (len(node.Status.Conditions) != 1 || node.Annotations["flannel.alpha.coreos.com/backend-data"] != "a") {
			err = fmt.Errorf("it has %v and %+v", node.Annotations, node.Status.Conditions)
		}
		return err
	})
	n.cable.sever()
	n.awayIsKnown()
	n.restart()

	renewed := lease.DeepCopy()
	renewed.Spec.RenewTime = ptr.To(metav1.NewMicroTime(lease.Spec.RenewTime.Add(time.Hour)))
	for range 2 { // each time with what it was answered
		if renewed, err = leases.Update(ctx, renewed, metav1.UpdateOptions{}); err != nil {
			t.Fatalf("renew the Lease: %v", err)
		}
	}
	if renewed.ResourceVersion != lease.ResourceVersion || renewed.UID != lease.UID || renewed.Spec.RenewTime.Equal(lease.Spec.RenewTime) {
		t.Errorf("it was renewed to be %+v", renewed)
	}
	if got, err := leases.Get(ctx, nodeName, metav1.GetOptions{}); err != nil || got.UID != lease.UID {
		t.Errorf("the Lease: %+v, %v", got, err)
	}
	if _, err := leases.Create(ctx, lease, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) && !apierrors.IsInvalid(err) {
		t.Errorf("make the Lease again: %v", err)
	}
	if _, err := kubelet.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("register: %v", err)
	}
	patched, err := kubelet.CoreV1().Nodes().Patch(ctx, nodeName, types.StrategicMergePatchType, statusOf("Without"), metav1.PatchOptions{}, "status")
	if err != nil || len(patched.Status.Conditions) != 1 || patched.Status.Conditions[0].Reason != "Without" || patched.UID == "" {
		t.Errorf("the node's status: %+v, %v", patched, err)
	}
	if node, err := kubelet.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{}); err != nil || len(node.Status.Conditions) != 1 || node.Status.Conditions[0].Reason != "Before" {
		t.Errorf("what kubelet compares it with is to stay, so that it sends it again: %+v, %v", node, err)
	}
	if got, err := kubelet.StorageV1().CSINodes().Get(ctx, nodeName, metav1.GetOptions{}); err != nil || got.Name != nodeName {
		t.Errorf("the CSINode that kubelet has made: %v", err)
	}
	if _, err := events.Create(ctx, event("offline", 1), metav1.CreateOptions{}); err != nil {
		t.Errorf("an event: %v", err)
	}
	for count := int32(2); count <= 5; count++ {
		for _, name := range []string{"offline", "online"} {
			if _, err := events.Patch(ctx, name, types.StrategicMergePatchType, fmt.Appendf(nil, `{"count":%d}`, count), metav1.PatchOptions{}); err != nil {
				t.Errorf("the event %s again: %v", name, err)
			}
		}
	}
	if err := annotate("b"); err != nil {
		t.Errorf("flannel's annotation: %v", err)
	}
	// Nothing else is promised.
	_, statusErr := kubelet.CoreV1().Pods("default").Patch(ctx, pod.Name, types.StrategicMergePatchType, []byte(`{"status":{"phase":"Running"}}`), metav1.PatchOptions{}, "status")
	deleteErr := kubelet.CoreV1().Pods("default").Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))})
	mirror := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "static-" + nodeName, Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"}}, Spec: corev1.PodSpec{NodeName: nodeName, Containers: []corev1.Container{{Name: "a", Image: "a"}}}}
	_, mirrorErr := kubelet.CoreV1().Pods("default").Create(ctx, mirror, metav1.CreateOptions{})
	_, csiErr := kubelet.StorageV1().CSINodes().Create(ctx, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}, metav1.CreateOptions{})
	_, labelErr := asFlannel.CoreV1().Nodes().Patch(ctx, nodeName, types.StrategicMergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{})
	for what, err := range map[string]error{"a pod's status": statusErr, "the end of a pod": deleteErr, "a mirror pod": mirrorErr, "a CSINode": csiErr, "a label of the node": labelErr} {
		if !apierrors.IsServiceUnavailable(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	n.restart() // what was promised is on the disk
	n.cable.heal()
	testbed.Eventually(t, "what was promised is in the cloud", func(ctx context.Context) error {
		var errs []error
		for _, name := range []string{"offline", "online"} {
			if e, err := n.cloud.CoreV1().Events("default").Get(ctx, name, metav1.GetOptions{}); err != nil || e.Count != 5 || e.InvolvedObject.UID != pod.UID {
				errs = append(errs, fmt.Errorf("the event %s: %+v, %w", name, e, err))
			}
		}
		node, err := n.cloud.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
		if err != nil || node.Annotations["flannel.alpha.coreos.com/backend-data"] != "b" {
			errs = append(errs, fmt.Errorf("flannel's annotation: %v, %w", node.Annotations, err))
		}
		return errors.Join(errs...)
	})
	if renewed, err = leases.Update(ctx, renewed, metav1.UpdateOptions{}); err != nil || renewed.ResourceVersion == lease.ResourceVersion {
		t.Errorf("the first renewal after the return is a real one: %v", err)
	}
}

// What was kept for a node that is another one by now is not written on that.
func TestWhatIsKeptForANodeIsNotWrittenOnAnotherOfItsName(t *testing.T) {
	n := newNode(t)
	ctx := t.Context()
	kubelet := n.kubelet()
	if _, err := kubelet.CoreV1().Nodes().List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + nodeName}); err != nil {
		t.Fatal(err)
	}
	n.cable.sever()
	n.awayIsKnown()
	patch := []byte(`{"metadata":{"annotations":{"flannel.alpha.coreos.com/public-ip":"10.0.0.1"}}}`)
	if _, err := kubelet.CoreV1().Nodes().Patch(ctx, nodeName, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "after", Namespace: "default"}, InvolvedObject: corev1.ObjectReference{Kind: "Node", Name: nodeName, Namespace: "default"}}
	if _, err := kubelet.CoreV1().Events("default").Create(ctx, event, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := n.cloud.CoreV1().Nodes().Delete(ctx, nodeName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.cloud.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	n.cable.heal()
	testbed.Eventually(t, "what was kept behind it is written", func(ctx context.Context) error {
		_, err := n.cloud.CoreV1().Events("default").Get(ctx, "after", metav1.GetOptions{})
		return err
	})
	node, err := n.cloud.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(node.Annotations); strings.Contains(string(text), "flannel") {
		t.Errorf("another node has %s", text)
	}
}
