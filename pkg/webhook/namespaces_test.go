package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/webhook"
)

func namespaceReview(operation, resource, object, old string) string {
	return fmt.Sprintf(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"r1","operation":%q,"name":"shop",
		"kind":{"version":"v1","kind":"Namespace"},"resource":{"version":"v1","resource":%q},"object":%s,"oldObject":%s}}`, operation, resource, object, old)
}

func TestChangesOfNamespacesAreAskedAbout(t *testing.T) {
	const now, old = `{"metadata":{"name":"shop","labels":{"tenant":"b"},"annotations":{"x":"y"}}}`, `{"metadata":{"name":"shop","labels":{"tenant":"a"}}}`
	refused := apierrors.NewInvalid(schema.GroupKind{Kind: "Namespace"}, "shop", field.ErrorList{field.Invalid(field.NewPath("metadata", "labels").Key("tenant"), "b", "12 objects would stay")})
	for name, c := range map[string]struct {
		review  string
		answer  error
		asked   bool
		refusal string
		warning string
	}{
		"that strands nothing":             {namespaceReview("UPDATE", "namespaces", now, old), nil, true, "", ""},
		"that strands objects":             {namespaceReview("UPDATE", "namespaces", now, old), refused, true, "12 objects would stay", ""},
		"of which nobody can tell":         {namespaceReview("UPDATE", "namespaces", now, old), apierrors.NewServiceUnavailable("nothing is loaded yet"), true, "", "is not known: nothing is loaded yet"},
		"of which nobody can tell, untold": {namespaceReview("UPDATE", "namespaces", now, old), errors.New("dial 10.0.0.1"), true, "", "is not known: the server could not look"},
		"that is a deletion":               {namespaceReview("DELETE", "namespaces", "null", old), refused, false, "", ""},
		"that is none":                     {namespaceReview("UPDATE", "pods", now, old), refused, false, "", ""},
		"that is no object":                {namespaceReview("UPDATE", "namespaces", `"x"`, old), nil, false, "object: ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			server := httptest.NewServer(webhook.NewNamespaces(webhook.Config{}, func(_ context.Context, now, old metav1.Object) error {
				asked = true
				if now.GetLabels()["tenant"] != "b" || old.GetLabels()["tenant"] != "a" || now.GetAnnotations()["x"] != "y" || now.GetName() != "shop" {
					t.Errorf("asked about %v and %v", now, old)
				}
				return c.answer
			}))
			defer server.Close()
			code, body := post(t, server.URL, c.review)
			var answer admissionv1.AdmissionReview
			if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusOK || answer.Response == nil || answer.Response.UID != "r1" {
				t.Fatalf("got %d %s", code, body)
			}
			if asked != c.asked || answer.Response.Allowed != (c.refusal == "") {
				t.Errorf("asked: %t; got %s", asked, body)
			}
			if c.refusal != "" && !strings.Contains(answer.Response.Result.Message, c.refusal) {
				t.Errorf("got %q, want %q", answer.Response.Result.Message, c.refusal)
			}
			if warned := strings.Join(answer.Response.Warnings, "; "); !strings.Contains(warned, c.warning) || (warned == "") != (c.warning == "") {
				t.Errorf("warned %q, want %q", warned, c.warning)
			}
		})
	}
}
