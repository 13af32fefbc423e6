// Package mistakes bounds what is told of an object that is refused. More than Max mistakes
// help nobody, and the sentence that an API server makes of all of them takes time that grows
// with the square of their number: minutes for 100,000.
//
// Its functions are pure.
package mistakes

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Max is how many mistakes of one object are told.
const Max = 100

// Add returns errs with more, up to Max and a last one that says that there are more. Those that
// are there already stay.
func Add(errs field.ErrorList, more ...*field.Error) field.ErrorList {
	for _, err := range more {
		switch {
		case len(errs) < Max:
			errs = append(errs, err)
		case len(errs) == Max:
			return append(errs, field.Forbidden(nil, fmt.Sprintf("there are more mistakes than these %d", Max)))
		}
	}
	return errs
}

// First returns the first Max mistakes, and a last one if there are more.
func First(errs field.ErrorList) field.ErrorList {
	if len(errs) <= Max {
		return errs
	}
	return Add(nil, errs...)
}

// TooMany refuses a list of n with more than limit entries, unless it had as many before, when
// there was no limit. Who gets an error need not look at the entries.
func TooMany(n, old, limit int, path *field.Path) field.ErrorList {
	if n <= limit || n <= old {
		return nil
	}
	return field.ErrorList{field.TooMany(path, n, limit)}
}
