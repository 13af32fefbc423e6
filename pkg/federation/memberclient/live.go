package memberclient

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/health"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

const (
	// maxNameBytes is how long names of objects and of namespaces are, at most.
	maxNameBytes = 253
	// maxTokenBytes bounds what is copied into our status: uid and resourceVersion. API
	// servers write 36 and at most 20 bytes.
	maxTokenBytes = 128
)

// Keep says what a cache keeps of objects beside their metadata. The zero value keeps
// nothing more.
type Keep struct {
	// Status keeps .status.
	Status bool
	// Ended tells from an object whether it ran to its end. It must not modify it, and may be
	// called concurrently. Nil: nothing ends.
	Ended func(object map[string]any) bool
	// Summarize tells from an object how it is. It must not modify it, and may be called
	// concurrently. Nil: what is there is well.
	Summarize func(object map[string]any) *health.Summary
	// Rule stands for Ended and Summarize: a cache with another one is filled anew.
	Rule string
}

// whole reports whether objects are needed with all that is in them.
func (k Keep) whole() bool { return k.Status || k.decoded() }

// decoded reports whether all that is in an object is decoded.
func (k Keep) decoded() bool { return k.Ended != nil || k.Summarize != nil }

// same reports whether a cache that keeps k has what one that keeps other would.
func (k Keep) same(other Keep) bool {
	return k.Status == other.Status && k.Rule == other.Rule &&
		(k.Ended == nil) == (other.Ended == nil) && (k.Summarize == nil) == (other.Summarize == nil)
}

// Live is what a cache keeps of one object in the member: of its metadata name, namespace, UID,
// versions, labels, annotations, when it was deleted, and which finalizers hold it since.
type Live struct {
	metav1.ObjectMeta
	// Status is .status, where the type collects it.
	Status rawjson.Value
	// Ended: it ran to its end, as Keep.Ended says of it.
	Ended bool
	// Summary is how it is, as Keep.Summarize says; nil if that is not known of this version.
	Summary *health.Summary
}

// Version stands for the object's spec: its generation, or its resourceVersion for kinds
// that have none.
func (l *Live) Version() string {
	if l.Generation > 0 {
		return fmt.Sprintf("gen:%d", l.Generation)
	}
	return "rv:" + l.ResourceVersion
}

// sizeBytes is about how much memory a Live takes.
func (l *Live) sizeBytes() int64 {
	const fields, entry = 512, 48
	size := fields + len(l.Name) + len(l.Namespace) + len(l.UID) + len(l.ResourceVersion) + len(l.Status)
	for _, texts := range []map[string]string{l.Labels, l.Annotations} {
		for key, value := range texts {
			size += entry + len(key) + len(value)
		}
	}
	if l.Summary != nil {
		size += entry + len(l.Summary.Message)
	}
	for _, finalizer := range l.Finalizers {
		size += entry + len(finalizer)
	}
	return int64(size)
}

// check says what of a Live no API server writes.
func (l *Live) check() error {
	for _, field := range []struct {
		path, value string
		limitBytes  int
	}{
		{"metadata.name", l.Name, maxNameBytes},
		{"metadata.namespace", l.Namespace, maxNameBytes},
		{"metadata.uid", string(l.UID), maxTokenBytes},
		{"metadata.resourceVersion", l.ResourceVersion, maxTokenBytes},
	} {
		if len(field.value) > field.limitBytes {
			return &AnswerError{Problem: fmt.Sprintf("the member answers an object whose %s is %d bytes long; at most %d are allowed",
				field.path, len(field.value), field.limitBytes)}
		}
	}
	return nil
}

// NewLive keeps of object what Live says. It does not modify object. It returns an
// *AnswerError if no API server writes such objects.
func NewLive(object metav1.Object, keep Keep) (*Live, error) {
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
	if live.DeletionTimestamp != nil {
		live.Finalizers = object.GetFinalizers()
	}
	if err := live.check(); err != nil {
		return nil, err
	}
	whole, ok := object.(*unstructured.Unstructured)
	if !ok {
		return live, nil
	}
	live.Ended = keep.Ended != nil && keep.Ended(whole.Object)
	if keep.Summarize != nil {
		live.Summary = keep.Summarize(whole.Object)
	}
	if status, ok := whole.Object["status"]; ok && keep.Status {
		return live, live.setStatus(status)
	}
	return live, nil
}

// isManaged reports whether an object carries the label of those that caches hold.
func isManaged(object metav1.Object) bool { return object.GetLabels()[v1beta1.ManagedLabel] == "true" }

func (l *Live) setStatus(status any) error {
	data, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode status of %s/%s: %w", l.Namespace, l.Name, err)
	}
	l.Status = data
	return nil
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
