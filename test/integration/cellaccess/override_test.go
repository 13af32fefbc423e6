package cellaccess_test

import (
	"encoding/json"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// override applies one, by the library that KubeFed uses; without op it replaces.
func override(object *unstructured.Unstructured, one map[string]any) error {
	operation := map[string]any{"op": "replace", "path": one["path"], "value": one["value"]}
	if op, _ := one["op"].(string); op != "" {
		operation["op"] = op
	}
	encoded, err := json.Marshal([]any{operation})
	if err != nil {
		return err
	}
	patch, err := jsonpatch.DecodePatch(encoded)
	if err != nil {
		return err
	}
	document, err := json.Marshal(object.Object)
	if err != nil {
		return err
	}
	patched, err := patch.Apply(document)
	if err != nil {
		return err
	}
	return object.UnmarshalJSON(patched)
}
