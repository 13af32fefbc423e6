// Package retain reads spec.retainFields of a FederatedTypeConfig: fields of objects in members that
// are sent when an object is created, and stay as the member has them afterwards.
//
// Admission, the engine and the command line use it. Expressions are compiled by package
// completion, in the environment and with the cost limit of those of spec.health. An expression of
// which it cannot be told whether it is true keeps the field: what a member has decided is lost once
// it is overwritten. The package does no I/O, and what it returns may be used concurrently.
package retain

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/completion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
)

// Fields are those of one type.
type Fields []entry

type entry struct {
	field manifest.Field
	path  string
	when  completion.Condition // nil: always
}

// Parse reads the fields of a type. The error names the first one that is wrong, and admission refuses
// what has one; but what is stored may be older than admission. A path that finds nothing in any list is wrong only
// where it is being written.
func Parse(fields []v1beta1.RetainedField) (Fields, error) {
	var out Fields
	for i, f := range fields {
		if problem := manifest.FieldPointerProblem(f.Path); problem != "" {
			return nil, fmt.Errorf("spec.retainFields[%d].path: %q %s", i, f.Path, problem)
		}
		steps, _ := manifest.Steps(f.Path)
		e := entry{field: manifest.Field{Steps: steps, Carry: manifest.CarryAlways}, path: f.Path}
		if f.When != "" {
			var err error
			if e.when, err = completion.NewCondition(f.When, v1beta1.MaxRetainWhenBytes); err != nil {
				return nil, fmt.Errorf("spec.retainFields[%d].when: %w", i, err)
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// maxProblemBytes is how much is said of why an expression cannot be computed: that may quote what a member has.
const maxProblemBytes = 256

// Of returns the fields that are the member's, of an object that the member has and the manifest that is
// sent for it. Both are decoded JSON, and are not modified. problems are sentences on the fields of which
// that cannot be told: they are the member's.
func (f Fields) Of(template, member map[string]any) (fields manifest.Fields, problems []string) {
	for i := range f {
		e := &f[i]
		if e.when != nil {
			is, err := e.when(template, member)
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s stays as the member has it, since spec.retainFields[%d].when of the type cannot be computed: %.*s", e.path, i, maxProblemBytes, err.Error()))
			} else if !is {
				continue
			}
		}
		fields = append(fields, e.field)
	}
	return fields, problems
}

const exampleWhen = "an expression in CEL that is true of objects whose field is the member's, with the object there as member and what is sent as template, such as member.spec.mode == 'Auto'"

// Validate takes fields that can be the member's, each once, and the old ones as they are: those that an earlier release stored keep
// nobody from writing something else.
func Validate(fields, old []v1beta1.RetainedField, path *field.Path) field.ErrorList {
	if slices.Equal(fields, old) {
		return nil
	}
	errs := mistakes.TooMany(len(fields), len(old), v1beta1.MaxRetainFields, path)
	if len(errs) > 0 {
		return errs
	}
	seen := map[string]bool{}
	for i, f := range fields {
		at := path.Index(i)
		if seen[f.Path] {
			errs = append(errs, field.Duplicate(at.Child("path"), f.Path))
		}
		seen[f.Path] = true
		if problem := manifest.NewFieldPointerProblem(f.Path); problem != "" {
			errs = append(errs, field.Invalid(at.Child("path"), f.Path, problem))
		}
		if f.When == "" {
			continue
		}
		if _, err := completion.NewCondition(f.When, v1beta1.MaxRetainWhenBytes); err != nil {
			errs = append(errs, field.Invalid(at.Child("when"), f.When, fmt.Sprintf("must be %s: %v", exampleWhen, err)))
		}
	}
	return errs
}
