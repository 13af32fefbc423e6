package schema

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// widgetDocument is the OpenAPI document of a group with one kind, whose spec has one field.
func widgetDocument(field string) string {
	return `{"openapi":"3.0.0","components":{"schemas":{"com.example.v1.Widget":{"type":"object",
		"x-kubernetes-group-version-kind":[{"group":"example.com","version":"v1","kind":"Widget"}],
		"properties":{"spec":{"type":"object","properties":{"` + field + `":{"type":"string"}}}}}}}}`
}

func TestASchemaThatDidNotChangeIsNoNewsHoweverOftenItWasUsed(t *testing.T) {
	var document atomic.Value
	document.Store(widgetDocument("color"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(document.Load().(string)))
	}))
	defer server.Close()
	member, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	remote := NewRemote(func(context.Context) []rest.Interface { return []rest.Interface{member.RESTClient()} }, func() {})
	kind := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}
	known := func() *Target { return remote.TargetSchemas([]schema.GroupVersionKind{kind})[kind] }

	known() // now it is wanted
	if !remote.update(t.Context()) {
		t.Fatal("a schema that was not known is no news")
	}
	known().shape(known().Schemas[known().Root]) // as when a template is compared with it
	if remote.update(t.Context()) {
		t.Error("the same schema is news, once a template was compared with it")
	}
	document.Store(widgetDocument("colour"))
	if !remote.update(t.Context()) {
		t.Error("a schema that has changed is no news")
	}
	if got := remote.TargetSchemas([]schema.GroupVersionKind{kind})[kind].Schemas["com.example.v1.Widget"].Properties["spec"].Properties; len(got) != 1 || got["colour"].Type == nil {
		t.Errorf("properties: got %v, want the new ones", got)
	}
}
