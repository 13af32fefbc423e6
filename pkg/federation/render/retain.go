package render

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// retainedPaths are fields that the member's API server fills in once and that cannot be
// changed afterwards. A template copied from a running object names them; sending them
// elsewhere would fail for ever. Fields that a template does not name need no care:
// server-side apply leaves them alone (nodePorts, a ServiceAccount's secrets).
var retainedPaths = map[schema.GroupKind][][]string{
	{Kind: "Service"}: {
		{"spec", "clusterIP"}, {"spec", "clusterIPs"}, {"spec", "healthCheckNodePort"},
	},
	{Group: "batch", Kind: "Job"}: {
		{"spec", "selector"}, {"spec", "template", "metadata", "labels"},
	},
	{Kind: "PersistentVolumeClaim"}: {{"spec", "volumeName"}},
	{Kind: "PersistentVolume"}:      {{"spec", "claimRef"}},
	{Kind: "Pod"}:                   {{"spec", "nodeName"}},
}

// NeedsLive reports whether Retain can change anything, and so whether the member's
// object has to be read before it is updated.
func (m *Manifest) NeedsLive() bool {
	return m.retainReplicas || len(retainedPaths[m.kind.GroupKind()]) > 0
}

// Retain returns the manifest to send to a member that has the object already: the
// fields that the member decides are as they are in live. resourceVersion, if not empty,
// makes the write conditional on live being current.
//
// spec.replicas is retained on request by sending the member's value, since leaving it
// out would give up a field that we own, and the API server would reset it.
func (m *Manifest) Retain(live map[string]any, resourceVersion string) ([]byte, error) {
	object := map[string]any{}
	if err := decode(m.JSON, &object); err != nil {
		return nil, fmt.Errorf("decode rendered manifest: %w", err)
	}
	for _, steps := range retainedPaths[m.kind.GroupKind()] {
		if named(object, steps) {
			copyField(object, live, steps)
		}
	}
	if m.retainReplicas {
		copyField(object, live, []string{"spec", "replicas"})
	}
	if resourceVersion != "" {
		object["metadata"].(map[string]any)["resourceVersion"] = resourceVersion
	}
	return encode(object)
}

func named(object map[string]any, steps []string) bool {
	parent := child(object, steps[:len(steps)-1]...)
	_, ok := parent[steps[len(steps)-1]]
	return ok
}

// copyField copies a field that live has; parents in object are made as needed.
func copyField(object, live map[string]any, steps []string) {
	last := len(steps) - 1
	value, ok := child(live, steps[:last]...)[steps[last]]
	if !ok {
		return
	}
	for _, step := range steps[:last] {
		next, ok := object[step].(map[string]any)
		if !ok {
			next = map[string]any{}
			object[step] = next
		}
		object = next
	}
	object[steps[last]] = value
}
