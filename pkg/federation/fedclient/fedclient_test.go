package fedclient

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

const widget = `{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedWidget","metadata":{"name":"a","namespace":"shop"},"spec":{"template":{"spec":{"n":1}}}}`

// serve answers with canned JSON by method, path and query.
func serve(t *testing.T, answers map[string]string) *Factory {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		body, ok := answers[r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			body = fmt.Sprintf(`{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"NotFound","code":404,"message":"no answer to %s %s"}`, r.Method, r.URL)
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	factory, err := New(&rest.Config{Host: server.URL}, "types.kubefed.io")
	if err != nil {
		t.Fatal(err)
	}
	return factory
}

const root = "/apis/types.kubefed.io/v1beta2"

func TestClient(t *testing.T) {
	factory := serve(t, map[string]string{
		"GET " + root + "/namespaces/shop/federatedwidgets/a?":        widget,
		"GET " + root + "/federatedwidgets?limit=500":                 `{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedWidgetList","metadata":{"resourceVersion":"7"},"items":[` + widget + `]}`,
		"PUT " + root + "/namespaces/shop/federatedwidgets/a/status?": widget,
		"GET " + root + "/federatedwidgets?watch=true": `{"type":"ADDED","object":` + widget + `}` + "\n" +
			`{"type":"BOOKMARK","object":{"kind":"FederatedWidget","apiVersion":"types.kubefed.io/v1beta2","metadata":{"resourceVersion":"8"}}}` + "\n" +
			`{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","code":410,"reason":"Expired"}}` + "\n",
	})
	inShop, everywhere := factory.Resource("federatedwidgets", "shop"), factory.Resource("federatedwidgets", "")

	got, err := inShop.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"spec":{"n":1}}`, string(got.Spec.Template)); diff != "" {
		t.Errorf("template (-want +got):\n%s", diff)
	}
	if got.Kind != "FederatedWidget" {
		t.Errorf("got kind %q, want the one that was served", got.Kind)
	}
	if _, err := inShop.UpdateStatus(t.Context(), got, metav1.UpdateOptions{}); err != nil {
		t.Errorf("update status: %v", err)
	}
	list, err := everywhere.List(t.Context(), metav1.ListOptions{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	if list.ResourceVersion != "7" || len(list.Items) != 1 {
		t.Errorf("got list %+v, want one item at resource version 7", list)
	}
	if _, err := inShop.Get(t.Context(), "b", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("got error %v for a missing object, want NotFound", err)
	}
	watcher, err := everywhere.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop()
	for _, want := range []watch.EventType{watch.Added, watch.Bookmark, watch.Error} {
		event := <-watcher.ResultChan()
		if event.Type != want {
			t.Fatalf("got event %+v, want %s", event, want)
		}
		_, isStatus := event.Object.(*metav1.Status)
		_, isObject := event.Object.(*v1beta2.FederatedObject)
		if isStatus != (want == watch.Error) || isObject == isStatus {
			t.Errorf("got %T in event %s", event.Object, want)
		}
	}
}
