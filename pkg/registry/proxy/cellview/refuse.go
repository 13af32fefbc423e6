package cellview

import (
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// reasons are those that clients know the codes by.
var reasons = map[int]metav1.StatusReason{
	http.StatusBadRequest:            metav1.StatusReasonBadRequest,
	http.StatusForbidden:             metav1.StatusReasonForbidden,
	http.StatusNotFound:              metav1.StatusReasonNotFound,
	http.StatusMethodNotAllowed:      metav1.StatusReasonMethodNotAllowed,
	http.StatusNotAcceptable:         metav1.StatusReasonNotAcceptable,
	http.StatusConflict:              metav1.StatusReasonAlreadyExists,
	http.StatusRequestEntityTooLarge: metav1.StatusReasonRequestEntityTooLarge,
	http.StatusUnsupportedMediaType:  metav1.StatusReasonUnsupportedMediaType,
}

// refuse returns a Status that says which cell refuses, what, and what is allowed instead.
func (v View) refuse(code int, format string, args ...any) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: int32(code), Reason: reasons[code],
		Message: fmt.Sprintf("the cell %q of namespace %q ", v.Cell, v.Namespace) + fmt.Sprintf(format, args...),
	}}
}

func (v View) bad(format string, args ...any) error {
	return v.refuse(http.StatusBadRequest, format, args...)
}

func (v View) forbid(format string, args ...any) error {
	return v.refuse(http.StatusForbidden, format, args...)
}

// notFound is what an API server says of an object that is not there.
func notFound(resource schema.GroupResource, name string) error {
	return apierrors.NewNotFound(resource, name)
}

// notServed is what an API server says of a type that it does not have.
func notServed() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource", Details: &metav1.StatusDetails{},
	}}
}
