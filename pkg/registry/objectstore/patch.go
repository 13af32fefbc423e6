package objectstore

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// patchField is where the library says that the result of a patch is no object of the kind. It
// quotes the whole object there, and does not say of which it speaks. Errors are in audit logs,
// whose policy may leave bodies out, and are read by who may patch an object and not read it.
const patchField = "patch"

// withoutObject returns the error of a write of an object without the object.
func (r *REST) withoutObject(err error, name string) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Reason != metav1.StatusReasonInvalid || status.Status().Details == nil {
		return err
	}
	causes := status.Status().Details.Causes
	if len(causes) != 1 || causes[0].Field != patchField {
		return err
	}
	return apierrors.NewInvalid(r.kind, name, field.ErrorList{
		field.Invalid(field.NewPath(patchField), field.OmitValueType{}, detailOf(causes[0])),
	})
}

// kindOf is the kind of the objects.
func kindOf(config Config) schema.GroupKind {
	example := config.New()
	kind := example.GetObjectKind().GroupVersionKind().Kind
	if kind == "" {
		kind = reflect.TypeOf(example).Elem().Name()
	}
	return schema.GroupKind{Group: config.Group, Kind: kind}
}

// detailOf is the message of a cause after the value, which is in quotes: see
// field.Error.ErrorBody.
func detailOf(cause metav1.StatusCause) string {
	rest := strings.TrimPrefix(cause.Message, field.ErrorTypeInvalid.String()+": ")
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return "the result is no object of this kind"
	}
	return strings.TrimPrefix(rest[len(quoted):], ": ")
}
