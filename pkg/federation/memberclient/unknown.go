package memberclient

import (
	"context"
	"regexp"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/federation/status"
)

// maxUnknownFields bounds how many fields UnknownFields names, and maxFieldBytes how long a name is: they
// are what a member says.
const maxUnknownFields, maxFieldBytes = 8, 256

type strictKey struct{}

// RefuseUnknown has a write with the context it returns refused if the member does not know a field of
// it, instead of dropping the field: see UnknownFields.
func RefuseUnknown(ctx context.Context) context.Context {
	return context.WithValue(ctx, strictKey{}, true)
}

// fieldValidation is what a member is to do about fields that it does not know.
func fieldValidation(ctx context.Context) string {
	if ctx.Value(strictKey{}) != nil {
		return metav1.FieldValidationStrict
	}
	return metav1.FieldValidationWarn
}

// unknownField is how API servers name a field that they do not know.
var unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)

// UnknownFields returns the fields for which a member has refused a write, sorted, each once; nil if err
// says something else.
func UnknownFields(err error) []string {
	if !apierrors.IsBadRequest(err) {
		return nil
	}
	var fields []string
	for _, match := range unknownField.FindAllStringSubmatch(err.Error(), maxUnknownFields) {
		fields = append(fields, status.Cut(match[1], maxFieldBytes))
	}
	slices.Sort(fields)
	return slices.Compact(fields)
}
