// Package lifecycle reads the annotations of a federated object that say how its objects in members
// begin and end: what is adopted, what stays when a target is left, and which targets are not waited
// for. Admission and the engine call it, so that what is taken is what is done.
//
// Everything is pure, modifies nothing that it is given, and may be called concurrently. What
// admission would have refused, but is stored all the same, says nothing: the default holds.
package lifecycle

import (
	"fmt"
	"slices"
	"strings"

	utilvalidation "k8s.io/apimachinery/pkg/util/validation"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// Adopts reports whether an object that a member has already, and nobody manages, is taken over.
// otherwise is what the KubeFedConfig says, which holds unless the object says something.
func Adopts(annotations map[string]string, otherwise bool) bool {
	switch annotations[v1beta1.AdoptAnnotation] {
	case "true":
		return true
	case "false":
		return false
	}
	return otherwise
}

// IsAdopted reports whether an object in a member, given its annotations, was there before it was
// first written.
func IsAdopted(annotations map[string]string) bool {
	return annotations[v1beta1.AdoptedAnnotation] == "true"
}

// LeavesAll reports whether members keep what they have of an object that is deleted.
func LeavesAll(annotations map[string]string) bool {
	return annotations[v1beta1.OrphanAnnotation] == "true"
}

// LeavesAdopted reports whether members keep what was adopted there, when the object is deleted or a
// target is no longer placed.
func LeavesAdopted(annotations map[string]string) bool {
	return annotations[v1beta1.OrphanPolicyAnnotation] == v1beta1.OrphanAdopted
}

// Abandons reports whether a target is given up if its member cannot be reached: it is named, as
// status.targets names it, or all are.
func Abandons(annotations map[string]string, target string) bool {
	value, there := annotations[v1beta1.AbandonAnnotation]
	if !there || AbandonProblem(value) != "" {
		return false
	}
	names := targetNames(value)
	return slices.Contains(names, allTargets) || slices.Contains(names, target)
}

// WithAbandoned returns the value of v1beta1.AbandonAnnotation that gives up further targets beside
// those that the annotations name. A value that says nothing is replaced.
func WithAbandoned(annotations map[string]string, targets []string) string {
	value, there := annotations[v1beta1.AbandonAnnotation]
	names := []string{}
	if there && AbandonProblem(value) == "" {
		names = targetNames(value)
	}
	if slices.Contains(names, allTargets) {
		return allTargets
	}
	for _, target := range targets {
		if !slices.Contains(names, target) {
			names = append(names, target)
		}
	}
	return strings.Join(names, ",")
}

// WayOut continues a sentence of a status on what cannot be removed from a target, and is not waited for if the object
// says so.
func WayOut(target string) string {
	return fmt.Sprintf("; the annotation %s=%s on the federated object gives it up, and leaves it there", v1beta1.AbandonAnnotation, target)
}

// Irremovable returns why the object cannot be removed from a target, as the message of its status says; ok is false if it
// names no way out.
func Irremovable(message, target string) (why string, ok bool) {
	return strings.CutSuffix(message, WayOut(target))
}

const allTargets = "*"

func targetNames(value string) []string {
	names := strings.Split(value, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// AbandonProblem returns what is wrong with a value of v1beta1.AbandonAnnotation, in words that can
// follow it, or "".
func AbandonProblem(value string) string {
	names := targetNames(value)
	for _, name := range names {
		switch {
		case name == allTargets && len(names) > 1:
			return "must be * alone, for all targets, or names of targets, separated by commas"
		case name != allTargets && len(utilvalidation.IsDNS1123Subdomain(name)) > 0:
			return fmt.Sprintf("must be names of targets, separated by commas, as status.targets has them, or * for all; %q is none", name)
		}
	}
	return ""
}
