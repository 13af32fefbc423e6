package autonomy

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// operation is one of a JSON patch: what is not named in it stays, fields of later versions included.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// forVersion begins a patch that is refused as a conflict if the pod has changed, or is another of that name.
func forVersion(pod *corev1.Pod) []operation {
	return []operation{{"replace", "/metadata/resourceVersion", pod.ResourceVersion}}
}

// tolerationsPatch is what makes the tolerations of a pod, and the annotation, what they are to be; nil if they are.
func tolerationsPatch(pod *corev1.Pod, to tolerations) ([]operation, error) {
	var changes []operation
	for i, seconds := range to.seconds {
		path := fmt.Sprintf("/spec/tolerations/%d/tolerationSeconds", i)
		switch now := pod.Spec.Tolerations[i].TolerationSeconds; {
		case equal(now, seconds):
		case seconds == nil:
			changes = append(changes, operation{"remove", path, nil})
		default:
			changes = append(changes, operation{"add", path, *seconds})
		}
	}
	if len(to.before) > 0 && len(pod.Spec.Tolerations) == 0 {
		changes = append(changes, operation{"add", "/spec/tolerations", to.before})
	} else {
		for i := range to.before {
			changes = append(changes, operation{"add", "/spec/tolerations/0", to.before[len(to.before)-1-i]})
		}
	}
	annotation, err := annotationPatch(pod, to.record)
	if changes = append(changes, annotation...); err != nil || len(changes) == 0 {
		return nil, err
	}
	return append(forVersion(pod), changes...), nil
}

// manager is who writes them.
func (to *tolerations) manager() string {
	if to.raised {
		return fieldManager
	}
	return undoFieldManager
}

// annotationPatch is what makes the annotation of a pod a record.
func annotationPatch(pod *corev1.Pod, record []original) ([]operation, error) {
	path := "/metadata/annotations/" + strings.ReplaceAll(Originals, "/", "~1")
	now, is := pod.Annotations[Originals]
	if len(record) == 0 {
		if is {
			return []operation{{"remove", path, nil}}, nil
		}
		return nil, nil
	}
	text, err := json.Marshal(record)
	switch {
	case err != nil:
		return nil, fmt.Errorf("write the annotation %s: %w", Originals, err)
	case is && now == string(text):
		return nil, nil
	case pod.Annotations == nil:
		return []operation{{"add", "/metadata/annotations", map[string]string{Originals: string(text)}}}, nil
	}
	return []operation{{"add", path, string(text)}}, nil
}

// readinessPatch is what makes the condition Ready of a pod what it is to be.
func readinessPatch(pod *corev1.Pod, r readiness, now time.Time) []operation {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type != corev1.PodReady {
			continue
		}
		status, reason, message := corev1.ConditionTrue, ReasonKept, "its node is not heard of, and its kubelet reported it ready last"
		if r == release {
			status, reason, message = corev1.ConditionFalse, "NodeUnreachable", "its node is not heard of"
		}
		path := fmt.Sprintf("/status/conditions/%d/", i)
		return append(forVersion(pod),
			operation{"add", path + "status", status}, operation{"add", path + "reason", reason}, operation{"add", path + "message", message},
			operation{"add", path + "lastTransitionTime", metav1.NewTime(now)})
	}
	return nil
}

// patch sends one.
func patch(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, manager string, operations []operation, subresources ...string) error {
	body, err := json.Marshal(operations)
	if err != nil {
		return fmt.Errorf("write a patch of the pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	_, err = client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: manager}, subresources...)
	return err
}
