package manifest

import (
	"fmt"
	"slices"
)

// AnyStep, as a step of a pointer to fields, stands for any item of a list and any key of an object.
const AnyStep = "*"

// maxFieldPointerBytes is how long a pointer to fields may be: fields of Kubernetes' own kinds need a
// tenth.
const maxFieldPointerBytes = 1 << 10

// notRetained are top-level fields of which nothing can be left to members: they say which
// object it is, have rules of their own, or are the member's anyway.
var notRetained = []string{"apiVersion", "kind", "metadata", "status"}

// afterLast, as a step of a JSON pointer, is the item after the last one of a list (RFC 6901): nothing is ever there.
const afterLast = "-"

// FieldPointerProblem returns why a JSON pointer cannot name fields that the member decides, in
// words that follow it, and "" if it can. /spec as a whole cannot, nor all that is in it, as /spec/* is: it
// is what a federated object is there for.
func FieldPointerProblem(pointer string) string {
	if len(pointer) > maxFieldPointerBytes {
		return fmt.Sprintf("must be at most %d bytes", maxFieldPointerBytes)
	}
	steps, ok := Steps(pointer)
	switch {
	case !ok || slices.Contains(steps, ""):
		return "must be a JSON pointer (RFC 6901), in which * stands for any item or key, such as /webhooks/*/clientConfig/caBundle"
	case steps[0] == AnyStep:
		return "must begin with a field of the object, such as /spec"
	case slices.Contains(notRetained, steps[0]):
		return fmt.Sprintf("must be below /spec or another field than /apiVersion, /kind, /metadata and /status: what of /%s comes from members is no matter of types", steps[0])
	case steps[0] == "spec" && !slices.ContainsFunc(steps[1:], isNamed):
		return "must name a field below /spec, such as /spec/caBundle: the spec as a whole is what is federated"
	}
	return ""
}

// NewFieldPointerProblem is FieldPointerProblem of a pointer that is being written: the step - is refused then, with which nothing is found in
// any list. Earlier releases took it, and it does no harm where it is stored.
func NewFieldPointerProblem(pointer string) string {
	if problem := FieldPointerProblem(pointer); problem != "" {
		return problem
	}
	if steps, _ := Steps(pointer); slices.Contains(steps, afterLast) {
		return "must not have the step -, which in a list is after the last item, where nothing is: * stands for any item or key"
	}
	return ""
}

// isNamed reports whether a step says which field it is.
func isNamed(step string) bool { return step != AnyStep }
