package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// patchOperation is one operation of the JSON patch in an answer.
type patchOperation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// mutate sets defaults, and puts back into a write through v1beta1 what its client
// dropped. The answer has no patch if there is nothing to do.
func (s shapes) mutate(w *write, response *admissionv1.AdmissionResponse) error {
	var patch []patchOperation
	var err error
	switch {
	case w.object.cluster == nil:
		patch = defaults(w)
	case w.old == nil:
		// The cluster shape has no defaults.
	case w.SubResource == "status":
		patch, err = restoredStatus(w)
	default:
		patch, err = restoredAnnotation(w)
	}
	if err != nil || len(patch) == 0 {
		return err
	}
	var buf bytes.Buffer
	if err := encodeJSON(&buf, patch); err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	patchType := admissionv1.PatchTypeJSONPatch
	response.Patch, response.PatchType = buf.Bytes(), &patchType
	return nil
}

// defaults sets the topologyType of an object in v1beta2.
func defaults(w *write) []patchOperation {
	if w.SubResource != "" || w.object.topology.Spec.TopologyType != "" {
		return nil
	}
	var outline struct {
		Spec json.RawMessage `json:"spec"`
	}
	// It was decoded before, so this cannot fail.
	_ = json.Unmarshal(w.Object.Raw, &outline)
	if outline.Spec == nil || string(outline.Spec) == "null" {
		return []patchOperation{{Op: "add", Path: "/spec", Value: map[string]string{"topologyType": v1beta2.TopologyCluster}}}
	}
	return []patchOperation{{Op: "add", Path: "/spec/topologyType", Value: v1beta2.TopologyCluster}}
}

// restoredAnnotation puts back the annotation that conversion needs, the only thing in
// which the restored object differs from the one that was sent.
func restoredAnnotation(w *write) ([]patchOperation, error) {
	if conversion.HasStash(w.object.cluster) || !conversion.HasStash(w.old.cluster) {
		return nil, nil
	}
	obj, old, err := w.both()
	if err != nil {
		return nil, err
	}
	if err := conversion.Restore(old, obj, w.SubResource); err != nil {
		return nil, err
	}
	stash, err := conversion.Stash(obj)
	if err != nil {
		return nil, err
	}
	if len(w.object.cluster.Annotations) == 0 {
		return []patchOperation{{Op: "add", Path: "/metadata/annotations", Value: map[string]string{v1beta1.TopologyAnnotation: stash}}}, nil
	}
	return []patchOperation{{Op: "add", Path: "/metadata/annotations/federation.koinon.io~1topology", Value: stash}}, nil
}

// restoredStatus puts back what KubeFed's status has no place for.
func restoredStatus(w *write) ([]patchOperation, error) {
	obj, old, err := w.both()
	if err != nil {
		return nil, err
	}
	if err := conversion.Restore(old, obj, w.SubResource); err != nil {
		return nil, err
	}
	restored, err := conversion.ToV1beta1(obj)
	if err != nil {
		return nil, err
	}
	same, err := sameJSON(restored.Status, w.object.cluster.Status)
	if err != nil || same {
		return nil, err
	}
	return []patchOperation{{Op: "add", Path: "/status", Value: restored.Status}}, nil
}

func sameJSON(a, b any) (bool, error) {
	var bufA, bufB bytes.Buffer
	if err := encodeJSON(&bufA, a); err != nil {
		return false, err
	}
	if err := encodeJSON(&bufB, b); err != nil {
		return false, err
	}
	return bytes.Equal(bufA.Bytes(), bufB.Bytes()), nil
}
