package simnode

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corehelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// fieldManager is in managedFields of what is written here.
const fieldManager = "koinon-playground"

// bind puts a pod on a node. A pod that fits none says so, as a scheduler has it, and waits until nodes change.
func (s *Simulator) bind(ctx context.Context, pod *corev1.Pod) error {
	var candidates []string
	for _, name := range s.nodes {
		if node, err := s.nodeObj.Get(name); err == nil && fits(ctx, pod, node) {
			candidates = append(candidates, name)
		}
	}
	node := s.board.choose(pod.UID, candidates)
	if node == "" {
		klog.FromContext(ctx).V(2).Info("Found no node for a pod", "pod", klog.KObj(pod))
		if isUnschedulable(pod) {
			return nil
		}
		return s.patchStatus(ctx, pod, unschedulableStatus(pod, time.Now(), len(s.nodes)))
	}
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}
	if err := s.client.CoreV1().Pods(pod.Namespace).Bind(ctx, binding, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("bind pod to node %s: %w", node, err)
	}
	return nil
}

// fits tells whether a pod may be put on a node.
func fits(ctx context.Context, pod *corev1.Pod, node *corev1.Node) bool {
	if match, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node); err != nil || !match {
		return false
	}
	taints := node.Spec.Taints
	if node.Spec.Unschedulable {
		taints = append(taints[:len(taints):len(taints)],
			corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	hard := func(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }
	_, refused := corehelpers.FindMatchingUntoleratedTaint(klog.FromContext(ctx), taints, pod.Spec.Tolerations, hard, false)
	return !refused
}

// patchStatus merges a status into the pod's. The uid makes sure that it is that pod and
// not a later one of the same name.
func (s *Simulator) patchStatus(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID},
		"status":   status,
	})
	if err != nil {
		return fmt.Errorf("encode pod status: %w", err)
	}
	_, err = s.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch,
		metav1.PatchOptions{FieldManager: fieldManager}, "status")
	if err != nil {
		return fmt.Errorf("write pod status: %w", err)
	}
	return nil
}

// remove tells the API server that nothing of a deleted pod runs any more.
func (s *Simulator) remove(ctx context.Context, pod *corev1.Pod) error {
	err := s.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: new(int64),
		Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
	})
	if err != nil {
		return fmt.Errorf("remove pod: %w", err)
	}
	return nil
}
