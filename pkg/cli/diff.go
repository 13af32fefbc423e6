package cli

import (
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
)

// diffContext is how many lines around a change are shown.
const diffContext = 3

// diffOf is the unified diff of an object in a member as it is and as it would be, without the lines that name the
// two; either may be nil. What says nothing of what was meant is left out: times, versions, who set what, the
// status; and the place, which differs from target to target. It is empty if nothing else differs.
func diffOf(before, after map[string]any) string {
	before, after = shown(before), shown(after)
	hideSecrets(before, after)
	diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: linesOf(before), B: linesOf(after), FromFile: "before", ToFile: "after", Context: diffContext,
	})
	if err != nil {
		return err.Error() // never: it writes to memory
	}
	for range 2 {
		_, diff, _ = strings.Cut(diff, "\n")
	}
	return diff
}

// linesOf is an object as YAML.
func linesOf(object map[string]any) []string {
	if object == nil {
		return nil
	}
	data, err := yaml.Marshal(object)
	if err != nil {
		return []string{err.Error() + "\n"} // never: it was decoded from JSON
	}
	return strings.SplitAfter(strings.TrimSuffix(string(data), "\n"), "\n")
}

// noise is what of the metadata is not shown.
var noise = []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink", "namespace"}

// shown returns what of an object is compared.
func shown(object map[string]any) map[string]any {
	if object == nil {
		return nil
	}
	object = runtime.DeepCopyJSON(object)
	delete(object, "status")
	metadata, _ := object["metadata"].(map[string]any)
	for _, field := range noise {
		delete(metadata, field)
	}
	if annotations, _ := metadata["annotations"].(map[string]any); annotations != nil {
		delete(annotations, manifest.RecordAnnotation)
		if len(annotations) == 0 {
			delete(metadata, "annotations")
		}
	}
	return object
}

// withoutAllocated leaves out what a member allocates to a new object: another one in each.
func withoutAllocated(object map[string]any, kind schema.GroupKind) map[string]any {
	object = runtime.DeepCopyJSON(object)
	manifest.TakeOut(object, manifest.CopiedFields(object, kind))
	return object
}

// hideSecrets puts stars in the place of what is secret, and says of each value whether it differs.
func hideSecrets(before, after map[string]any) {
	if !isSecret(before) && !isSecret(after) {
		return
	}
	for _, field := range []string{"data", "stringData"} {
		hideValues(field, before, after)
	}
	for _, object := range []map[string]any{before, after} {
		metadata, _ := object["metadata"].(map[string]any)
		if annotations, _ := metadata["annotations"].(map[string]any); annotations != nil {
			if _, there := annotations[corev1.LastAppliedConfigAnnotation]; there {
				annotations[corev1.LastAppliedConfigAnnotation] = stars
			}
		}
	}
}

// stars stand for a value.
const stars = "***"

func isSecret(object map[string]any) bool {
	return object["kind"] == "Secret" && object["apiVersion"] == "v1"
}

func hideValues(field string, before, after map[string]any) {
	old, _ := before[field].(map[string]any)
	now, _ := after[field].(map[string]any)
	for key, was := range old {
		value, there := now[key]
		switch {
		case !there:
			old[key] = stars
		case fmt.Sprint(was) == fmt.Sprint(value):
			old[key], now[key] = stars, stars
		default:
			old[key], now[key] = stars+" (before)", stars+" (after)"
		}
	}
	for key := range now {
		if _, both := old[key]; !both {
			now[key] = stars
		}
	}
}
