package schema

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// builtinScalable are Kubernetes' own kinds that have spec.replicas.
var builtinScalable = map[schema.GroupKind]bool{
	{Group: "apps", Kind: "Deployment"}:        true,
	{Group: "apps", Kind: "ReplicaSet"}:        true,
	{Group: "apps", Kind: "StatefulSet"}:       true,
	{Group: "", Kind: "ReplicationController"}: true,
}

// IsScalable reports whether objects of the kind have spec.replicas. Only custom kinds need
// their schema for that: load, which returns nil if it is not known, is called for no other.
func IsScalable(kind schema.GroupVersionKind, load func() *Target) bool {
	if custom := strings.Contains(kind.Group, ".") && !strings.HasSuffix(kind.Group, ".k8s.io"); custom {
		return load().isScalable()
	}
	return builtinScalable[kind.GroupKind()]
}

// isScalable reports whether the kind has spec.replicas.
func (t *Target) isScalable() bool {
	if t == nil {
		return false
	}
	root := t.resolve(t.Schemas[t.Root])
	if root == nil {
		return false
	}
	specSchema, ok := root.Properties["spec"]
	if !ok {
		return false
	}
	resolved := t.resolve(&specSchema)
	if resolved == nil {
		return false
	}
	replicas, ok := resolved.Properties["replicas"]
	return ok && replicas.Type.Contains("integer")
}
