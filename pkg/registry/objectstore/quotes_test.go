package objectstore

import (
	"errors"
	"strings"
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
	got := quotes{kind: secrets}.leaveOut(err, "db")
	const want = `FederatedSecret.types.kubefed.io "db" is invalid: patch: Invalid value: json: cannot unmarshal string into a map`
	if got.Error() != want || !apierrors.IsInvalid(got) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrorsOfSecretsQuoteNothing(t *testing.T) {
	path := field.NewPath("spec", "template", "data")
	err := apierrors.NewInvalid(secrets, "db", field.ErrorList{
		field.Invalid(path.Key("a"), "hunter2", "must be base64"),
		field.Invalid(path.Key("b"), 4711, "must be a string"),
		field.Invalid(path.Key("c"), map[string]any{"pin": "4712"}, "must be a string"),
		field.NotSupported(path.Key("d"), "hunter3", []string{"x", "y"}),
		field.Duplicate(path.Key("e"), "hunter4"),
		field.TypeInvalid(path.Key("f"), []byte("hunter5"), "must be a string"),
		field.Forbidden(path.Key("g"), "not here"),
		field.Required(path.Key("h"), "give one"),
		field.TooMany(path.Key("i"), 5, 3),
	})
	got := quotes{secrets, true}.leaveOut(err, "").Error()
	for _, secret := range []string{"hunter", "4711", "4712", "pin"} {
		if strings.Contains(got, secret) {
			t.Errorf("%q is in %s", secret, got)
		}
	}
	for _, sentence := range []string{"must be base64", `supported values: "x", "y"`, "not here", "give one", "must have at most 3 items"} {
		if !strings.Contains(got, sentence) {
			t.Errorf("%q is not in %s", sentence, got)
		}
	}
}

func TestOtherErrorsStayAsTheyAre(t *testing.T) {
	for _, err := range []error{
		nil,
		errors.New("no store"),
		apierrors.NewInvalid(secrets, "db", field.ErrorList{field.Invalid(field.NewPath("spec"), "x", "must be y")}),
		apierrors.NewConflict(schema.GroupResource{Resource: "things"}, "db", errors.New("changed")),
	} {
		if got := (quotes{kind: secrets}).leaveOut(err, "db"); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
