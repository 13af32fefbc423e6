package names

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// standardFinalizers are Kubernetes' own, which have no domain.
var standardFinalizers = []string{metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents, string(corev1.FinalizerKubernetes)}

// FinalizerWarnings returns what custom resources warn about, too: finalizers that two
// controllers may both take for theirs. Those that old has already are not told of; it is nil
// for a new object.
func FinalizerWarnings(object, old metav1.Object) []string {
	var known, warnings []string
	if old != nil {
		known = old.GetFinalizers()
	}
	path := field.NewPath("metadata", "finalizers")
	for i, finalizer := range object.GetFinalizers() {
		if slices.Contains(known, finalizer) || slices.Contains(standardFinalizers, finalizer) {
			continue
		}
		at := path.Index(i)
		for _, problem := range utilvalidation.IsQualifiedName(finalizer) {
			warnings = append(warnings, fmt.Sprintf("%s: %q: %s", at, finalizer, problem))
		}
		if !strings.Contains(finalizer, "/") {
			warnings = append(warnings, fmt.Sprintf("%s: %q: prefer a domain-qualified finalizer name, such as example.com/%s, to avoid accidental conflicts with other finalizer writers", at, finalizer, finalizer))
		}
	}
	return warnings
}
