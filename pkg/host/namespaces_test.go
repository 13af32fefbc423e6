package host

import (
	"context"
	"errors"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	api "k8s.io/kubernetes/pkg/apis/core"
)

func TestTheExtensionIsAskedAboutEveryChangeOfANamespace(t *testing.T) {
	refused := errors.New("refused")
	plugin := namespaceChanges{&Extension{NamespaceChange: func(_ context.Context, now, old metav1.Object) error {
		if now.GetLabels()["a"] != old.GetLabels()["a"] {
			return refused
		}
		return nil
	}}}
	namespace := func(label string) *api.Namespace {
		return &api.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"a": label}}}
	}
	update := func(resource, subresource, label string) error {
		return plugin.Validate(t.Context(), admission.NewAttributesRecord(namespace(label), namespace("1"), api.Kind("Namespace").WithVersion(""), "", "shop",
			api.Resource(resource).WithVersion(""), subresource, admission.Update, nil, false, nil), nil)
	}
	for _, subresource := range []string{"", "status", "finalize"} {
		if err := update("namespaces", subresource, "2"); !errors.Is(err, refused) {
			t.Errorf("subresource %q: got %v, want a refusal", subresource, err)
		}
		if err := update("namespaces", subresource, "1"); err != nil {
			t.Errorf("subresource %q, and nothing changes: %v", subresource, err)
		}
	}
	if err := update("configmaps", "", "2"); err != nil {
		t.Errorf("another resource: %v", err)
	}
	if !plugin.Handles(admission.Update) || plugin.Handles(admission.Create) || plugin.Handles(admission.Delete) {
		t.Error("it is not updates alone that are handled")
	}
	if (namespaceChanges{}).Handles(admission.Update) || (namespaceChanges{&Extension{}}).Handles(admission.Update) {
		t.Error("a host without such an extension asks")
	}
}
