package objectstore

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var secrets = schema.GroupKind{Group: "types.kubefed.io", Kind: "FederatedSecret"}

func TestAPatchThatMakesNoObjectOfTheKindDoesNotQuoteTheObject(t *testing.T) {
	// As the library has it: no kind, no name, the whole object.
	err := apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
		field.Invalid(field.NewPath("patch"), `{"spec":{"template":{"data":{"password":"a \"secret\": it"}}}}`, "json: cannot unmarshal string into a map"),
	})
	got := (&REST{kind: secrets}).withoutObject(err, "db")
	const want = `FederatedSecret.types.kubefed.io "db" is invalid: patch: Invalid value: json: cannot unmarshal string into a map`
	if got.Error() != want || !apierrors.IsInvalid(got) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOtherErrorsStayAsTheyAre(t *testing.T) {
	for _, err := range []error{
		nil,
		errors.New("no store"),
		apierrors.NewInvalid(secrets, "db", field.ErrorList{field.Invalid(field.NewPath("spec"), "x", "must be y")}),
		apierrors.NewConflict(schema.GroupResource{Resource: "things"}, "db", errors.New("changed")),
	} {
		if got := (&REST{kind: secrets}).withoutObject(err, "db"); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
