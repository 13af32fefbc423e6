// Package validation checks the kinds of core.kubefed.io.
//
// Every function is pure, takes an object that defaults were applied to, and returns one
// error per wrong field: its path, its value and what is allowed. Functions for updates
// check the new object as a whole, too. None of them checks what all kinds have in
// common, such as the syntax of labels: the API server does that.
package validation

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// oneOf refuses a value that is not among the allowed ones.
func oneOf[T ~string](value T, path *field.Path, allowed ...T) field.ErrorList {
	switch {
	case slices.Contains(allowed, value):
		return nil
	case value == "":
		return field.ErrorList{field.Required(path, fmt.Sprintf("must be one of %q", allowed))}
	default:
		return field.ErrorList{field.NotSupported(path, value, allowed)}
	}
}

// matches refuses a value that check complains about; an empty value is missing.
func matches(value string, path *field.Path, what string, check func(string) []string) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "must be "+what)}
	}
	return optional(value, path, check)
}

// optional refuses a value that is not empty and that check complains about.
func optional(value string, path *field.Path, check func(string) []string) (errs field.ErrorList) {
	if value == "" {
		return nil
	}
	for _, message := range check(value) {
		errs = append(errs, field.Invalid(path, value, message))
	}
	return errs
}

// immutable refuses a change.
func immutable[T comparable](value, old T, path *field.Path, why string) field.ErrorList {
	if value == old {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, fmt.Sprintf("may not be changed from %v: %s", old, why))}
}

// unique refuses a value that was seen before.
func unique(seen map[string]bool, value string, path *field.Path) field.ErrorList {
	if seen[value] {
		return field.ErrorList{field.Duplicate(path, value)}
	}
	seen[value] = true
	return nil
}

// positive refuses a duration that is missing, zero or negative.
func positive(duration *metav1.Duration, path *field.Path) field.ErrorList {
	switch {
	case duration == nil:
		return field.ErrorList{field.Required(path, "must be a duration greater than 0, such as 10s")}
	case duration.Duration <= 0:
		return field.ErrorList{field.Invalid(path, duration.Duration.String(), "must be greater than 0")}
	}
	return nil
}

// positiveCount refuses a number that is missing, zero or negative.
func positiveCount(number *int64, path *field.Path) field.ErrorList {
	switch {
	case number == nil:
		return field.ErrorList{field.Required(path, "must be a number greater than 0")}
	case *number <= 0:
		return field.ErrorList{field.Invalid(path, *number, "must be greater than 0")}
	}
	return nil
}

// objectName refuses a name that no object can have.
func objectName(name string, path *field.Path) field.ErrorList {
	return matches(name, path, "the name of an object", validation.IsDNS1123Subdomain)
}
