package memberclient

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Annotate sets annotations of an object, if it is still the one with that UID and in that
// version: it returns a Conflict otherwise. The answer is in the cache at once.
func (c *Conn) Annotate(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string, uid types.UID, version string,
	annotations map[string]string,
) (*Live, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": uid, "resourceVersion": version, "annotations": annotations,
	}})
	if err != nil {
		return nil, err
	}
	gvr = c.Served(gvr)
	object, err := c.resource(gvr, namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return nil, err
	}
	if object.GetName() != name || object.GetNamespace() != namespace || object.GetUID() != uid {
		return nil, &AnswerError{Problem: "the member answers another object than the one that was changed"}
	}
	return c.remember(gvr, object)
}
