package objectstore

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// patchField is where the library says that the result of a patch is no object of the kind.
const patchField = "patch"

// quotes leaves out of the errors of writes what they quote of objects. Errors are in audit
// logs, whose policy may leave the contents of Secrets out, and are read by who may patch an
// object and not read it.
//
// The library quotes the whole object if a patch makes something else of it, and does not say
// of which it speaks. Of confidential kinds nothing at all is quoted.
type quotes struct {
	kind         schema.GroupKind
	confidential bool
}

func quotesOf(config Config) quotes {
	example := config.New()
	kind := example.GetObjectKind().GroupVersionKind().Kind
	if kind == "" {
		kind = reflect.TypeOf(example).Elem().Name()
	}
	return quotes{schema.GroupKind{Group: config.Group, Kind: kind}, config.Confidential}
}

// leaveOut returns the error of a write of an object without quotes. The name is taken from
// the error if it is empty.
func (q quotes) leaveOut(err error, name string) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Reason != metav1.StatusReasonInvalid || status.Status().Details == nil {
		return err
	}
	details := status.Status().Details
	patched := slices.ContainsFunc(details.Causes, func(c metav1.StatusCause) bool { return c.Field == patchField })
	if !q.confidential && !patched {
		return err
	}
	if name == "" {
		name = details.Name
	}
	errs := make(field.ErrorList, 0, len(details.Causes))
	for _, cause := range details.Causes {
		errs = append(errs, &field.Error{
			Type: field.ErrorType(cause.Type), Field: cause.Field, BadValue: field.OmitValueType{}, Detail: detailOf(cause),
		})
	}
	return apierrors.NewInvalid(q.kind, name, errs)
}

// detailOf is the message of a cause without its first words and the value, which come from
// field.Error.
func detailOf(cause metav1.StatusCause) string {
	rest, found := strings.CutPrefix(cause.Message, field.ErrorType(cause.Type).String()+": ")
	if !found {
		return ""
	}
	switch field.ErrorType(cause.Type) {
	case field.ErrorTypeRequired, field.ErrorTypeForbidden, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeInternal:
		return rest // these quote nothing
	}
	if quoted, err := strconv.QuotedPrefix(rest); err == nil {
		return strings.TrimPrefix(rest[len(quoted):], ": ")
	}
	var value any
	decoder := json.NewDecoder(strings.NewReader(rest))
	if decoder.Decode(&value) == nil {
		return strings.TrimPrefix(rest[decoder.InputOffset():], ": ")
	}
	return ""
}
