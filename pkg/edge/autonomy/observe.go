package autonomy

import (
	"bytes"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// byNode is the index of pods by the name of their node.
const byNode = "node"

// Names of who writes. Who owns the tolerations of a pod says whether they are as autonomy has them.
const (
	fieldManager     = "koinon-autonomy"
	undoFieldManager = "koinon-autonomy-undo"
)

// indexers of pods.
var indexers = cache.Indexers{byNode: func(object any) ([]string, error) {
	if pod, ok := object.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
		return []string{pod.Spec.NodeName}, nil
	}
	return nil, nil
}}

// slimPod keeps what is read of a pod.
func slimPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	slim := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion, DeletionTimestamp: pod.DeletionTimestamp, OwnerReferences: pod.OwnerReferences,
			ManagedFields: slices.DeleteFunc(slices.Clone(pod.ManagedFields), func(m metav1.ManagedFieldsEntry) bool { return m.Manager != fieldManager }),
		},
		Spec:   corev1.PodSpec{NodeName: pod.Spec.NodeName, Tolerations: pod.Spec.Tolerations, ReadinessGates: pod.Spec.ReadinessGates},
		Status: corev1.PodStatus{Phase: pod.Status.Phase, Conditions: pod.Status.Conditions},
	}
	for _, key := range []string{Originals, corev1.MirrorPodAnnotationKey} {
		if value, ok := pod.Annotations[key]; ok {
			metav1.SetMetaDataAnnotation(&slim.ObjectMeta, key, value)
		}
	}
	// Whether a pod has annotations decides how one is added. API servers leave out an empty map.
	if len(pod.Annotations) > 0 && slim.Annotations == nil {
		slim.Annotations = map[string]string{}
	}
	return slim, nil
}

// slimNode keeps what is read of a node.
func slimNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	slim := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion, Annotations: node.Annotations, Labels: node.Labels},
		Spec:       corev1.NodeSpec{Taints: node.Spec.Taints},
	}
	if c := ready(node); c != nil {
		slim.Status.Conditions = []corev1.NodeCondition{*c}
	}
	return slim, nil
}

// evictable reports whether a pod could be evicted. Those of DaemonSets and static ones tolerate for ever, and who has ended or is being deleted has nothing to lose.
func evictable(pod *corev1.Pod) bool {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	owner := metav1.GetControllerOf(pod)
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	return !mirror && (owner == nil || owner.Kind != "DaemonSet") && !ended && pod.DeletionTimestamp == nil
}

// hasTaint reports whether a node has one that evicts.
func hasTaint(node *corev1.Node, key string) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoExecute && t.Key == key
	})
}

// ours reports whether whoever wrote the tolerations of a pod last has raised them for autonomy.
func ours(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.ManagedFields, func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == fieldManager && m.FieldsV1 != nil && bytes.Contains(m.FieldsV1.Raw, []byte(`"f:tolerations"`))
	})
}

// records are the annotations of pods as they could be read last.
type records struct {
	mu   sync.Mutex
	last map[types.UID][]original // guarded by mu; of pods that have one
}

// of is what was changed of the tolerations of a pod. problem is for whoever has damaged the annotation.
func (r *records) of(pod *corev1.Pod) (record []original, problem error) {
	text, is := pod.Annotations[Originals]
	record, problem = parseOriginals(text)
	if problem == nil && !is && ours(pod) {
		problem = errLost
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if problem == nil {
		if r.last[pod.UID] = record; len(record) == 0 {
			delete(r.last, pod.UID)
		}
		return record, nil
	}
	switch last, known := r.last[pod.UID]; {
	case known:
		return last, nil
	case ours(pod):
		return presumed(pod.Spec.Tolerations), problem
	}
	return nil, problem // somebody has written them since: it is what he wants
}

func (r *records) forget(pod types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, pod)
}
