package schema

import "k8s.io/apimachinery/pkg/runtime/schema"

// Source knows the schemas of target kinds.
type Source interface {
	// TargetSchemas returns the schemas of those of the kinds that it knows. It may take
	// some 100 ms for all of them, and is asked for all at once.
	TargetSchemas(kinds []schema.GroupVersionKind) map[schema.GroupVersionKind]*Target
}

// FirstOf asks one source after the other for what those before it did not know.
func FirstOf(sources ...Source) Source { return firstOf(sources) }

type firstOf []Source

func (sources firstOf) TargetSchemas(kinds []schema.GroupVersionKind) map[schema.GroupVersionKind]*Target {
	out := make(map[schema.GroupVersionKind]*Target, len(kinds))
	for _, source := range sources {
		var missing []schema.GroupVersionKind
		for _, gvk := range kinds {
			if out[gvk] == nil {
				missing = append(missing, gvk)
			}
		}
		if len(missing) == 0 {
			break
		}
		for gvk, s := range source.TargetSchemas(missing) {
			out[gvk] = s
		}
	}
	return out
}
