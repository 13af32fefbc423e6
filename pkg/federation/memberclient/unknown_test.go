package memberclient

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestFieldsThatAMemberDoesNotKnow(t *testing.T) {
	many := "strict decoding error: "
	for i := range 100 {
		many += fmt.Sprintf("unknown field %q, ", fmt.Sprintf("spec.f%02d", i))
	}
	for name, test := range map[string]struct {
		err  error
		want []string
	}{
		"a built-in type": {apierrors.NewBadRequest(`Job in version "v1" cannot be handled as a Job: strict decoding error: unknown field "spec.b", unknown field "spec.a"`), []string{"spec.a", "spec.b"}},
		"a custom type":   {apierrors.NewBadRequest(`strict decoding error: unknown field "spec.a", unknown field "spec.a"`), []string{"spec.a"}},
		"no more than a few are told": {apierrors.NewBadRequest(many), []string{
			"spec.f00", "spec.f01", "spec.f02", "spec.f03", "spec.f04", "spec.f05", "spec.f06", "spec.f07"}},
		"another refusal names none": {apierrors.NewForbidden(widgets.Resource.GroupResource(), "a", errors.New(`unknown field "spec.a"`)), nil},
		"nor does success":           {nil, nil},
	} {
		if diff := cmp.Diff(test.want, UnknownFields(test.err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAMemberIsAskedToRefuseWhatItDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		member := &fakeMember{object: func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method+" "+r.URL.Query().Get("fieldValidation"))
			say(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"ns","uid":"u","resourceVersion":"5"}}`)(w, r)
		}}
		conn, _ := observe(t, member, Keep{})
		object := configMap(map[string]any{"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "4"})
		for _, ctx := range []func() error{
			func() error {
				_, err := conn.Create(t.Context(), configMaps.Resource, "ns", "a", object, Hold{})
				return err
			},
			func() error {
				_, err := conn.Create(RefuseUnknown(t.Context()), configMaps.Resource, "ns", "a", object, Hold{})
				return err
			},
			func() error {
				_, err := conn.Update(RefuseUnknown(t.Context()), configMaps.Resource, "ns", "a", object)
				return err
			},
		} {
			if err := ctx(); err != nil {
				t.Fatal(err)
			}
		}
		want := "POST " + metav1.FieldValidationWarn + ", POST " + metav1.FieldValidationStrict + ", PUT " + metav1.FieldValidationStrict
		if diff := cmp.Diff(want, strings.Join(asked, ", ")); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	})
}
