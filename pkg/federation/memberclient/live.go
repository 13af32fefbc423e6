package memberclient

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// Live is what a cache keeps of one object in the member.
type Live struct {
	metav1.ObjectMeta
	// Status is .status, where the type collects it.
	Status rawjson.Value
}

// Version stands for the object's spec: its generation, or its resourceVersion for kinds
// that have none.
func (l *Live) Version() string {
	if l.Generation > 0 {
		return fmt.Sprintf("gen:%d", l.Generation)
	}
	return "rv:" + l.ResourceVersion
}

// NewLive keeps of object what Live says. It does not modify object.
func NewLive(object metav1.Object, keepStatus bool) (*Live, error) {
	live := &Live{ObjectMeta: metav1.ObjectMeta{
		Name:              object.GetName(),
		Namespace:         object.GetNamespace(),
		UID:               object.GetUID(),
		ResourceVersion:   object.GetResourceVersion(),
		Generation:        object.GetGeneration(),
		DeletionTimestamp: object.GetDeletionTimestamp(),
		Labels:            object.GetLabels(),
		Annotations:       withoutLastApplied(object.GetAnnotations()),
	}}
	full, ok := object.(*unstructured.Unstructured)
	if !ok || !keepStatus {
		return live, nil
	}
	if status, ok := full.Object["status"]; ok {
		data, err := json.Marshal(status)
		if err != nil {
			return nil, fmt.Errorf("encode status of %s/%s: %w", live.Namespace, live.Name, err)
		}
		live.Status = data
	}
	return live, nil
}

// withoutLastApplied drops kubectl's copy of the whole manifest.
func withoutLastApplied(annotations map[string]string) map[string]string {
	const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
	if _, ok := annotations[lastApplied]; !ok {
		return annotations
	}
	kept := make(map[string]string, len(annotations))
	for key, value := range annotations {
		if key != lastApplied {
			kept[key] = value
		}
	}
	return kept
}
