package serving

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

func TestReadsOfObjectsAreToldFromWhatOnlyUpstreamKnows(t *testing.T) {
	for url, want := range map[string]string{
		"GET /api/v1/pods":                              "/api/v1/pods ",
		"GET /api/v1/namespaces/ns/pods":                "/api/v1/namespaces/ns/pods ",
		"GET /api/v1/namespaces/ns/pods/p":              "/api/v1/namespaces/ns/pods p",
		"GET /api/v1/namespaces":                        "/api/v1/namespaces ",
		"GET /api/v1/namespaces/ns":                     "/api/v1/namespaces ns",
		"GET /api/v1/nodes/n":                           "/api/v1/nodes n",
		"GET /apis/apps/v1/namespaces/ns/deployments/d": "/apis/apps/v1/namespaces/ns/deployments d",
		"GET /apis/discovery.k8s.io/v1/endpointslices":  "/apis/discovery.k8s.io/v1/endpointslices ",
		"GET /apis/apps/v1/deployments/":                "/apis/apps/v1/deployments ",
		"GET /api/v1/namespaces/ns/pods/p/log":          "",
		"GET /api/v1/namespaces/ns/pods/p/status":       "",
		"GET /api/v1/namespaces/ns/status":              "",
		"GET /api/v1/nodes/n/proxy/metrics":             "",
		"GET /api/v1/watch/pods":                        "",
		"GET /api/v1":                                   "",
		"GET /apis/apps/v1":                             "",
		"GET /version":                                  "",
		"GET /openapi/v3":                               "",
		"GET /":                                         "",
		"POST /api/v1/namespaces/ns/pods":               "",
		"PUT /api/v1/namespaces/ns/pods/p":              "",
		"DELETE /api/v1/namespaces/ns/pods":             "",
		"HEAD /api/v1/namespaces/ns/pods":               "",
	} {
		t.Run(url, func(t *testing.T) {
			method, path, _ := strings.Cut(url, " ")
			q, ok := reads(httptest.NewRequest(method, path, nil))
			got := ""
			if ok {
				got = q.Collection() + " " + q.Name
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestWhatAClientReadsIsWhatItAskedFor(t *testing.T) {
	for accept, want := range map[string]form{
		"":                 asObjects,
		"*/*":              asObjects,
		"application/json": asObjects,
		"application/vnd.kubernetes.protobuf,application/json": asObjects,
		"application/vnd.kubernetes.protobuf":                  asProtobuf,
		"application/vnd.kubernetes.protobuf, */*":             asObjects,
		"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/vnd.kubernetes.protobuf": asProtobufMetadata,
		"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/vnd.kubernetes.protobuf":     asOther, // which it is not, of a list
		"application/yaml": asOther,
		"application/json;as=Table;v=v1;g=meta.k8s.io,application/json":                                                                                        asOther,
		"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json":                                                                    asMetadata,
		"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1": asMetadata,
		"application/json;as=PartialObjectMetadataList;g=other;v=v1":                                                                                           asOther,
	} {
		if got := formOf(accept, "", "v1", true, false); got != want {
			t.Errorf("%q: got %d, want %d", accept, got, want)
		}
	}
	if got := formOf("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "", "v1", true, true); got != asTable {
		t.Errorf("kubectl while upstream is away: got %d", got)
	}
}

// As an API server writes them: Kubernetes' own types do not say in a list what they are, custom resources do.
func TestObjectsInListsAreAsUpstreamWritesThem(t *testing.T) {
	const body = `{"kind":"X","apiVersion":"g/v1","metadata":{"name":"a"},"kept":{"metadata":1}}`
	const bare = `{"metadata":{"name":"a"},"kept":{"metadata":1}}`
	for group, want := range map[string]string{"": bare, "apps": bare, "discovery.k8s.io": bare, "example.org": body, "gateway.networking.k8s.io": body} {
		if got := string(item(group, []byte(body))); got != want {
			t.Errorf("%q: got %s", group, got)
		}
	}
	if got := string(item("", []byte(`{"metadata":{"name":"a"},"kind":"X"}`))); got != `{"metadata":{"name":"a"},"kind":"X"}` {
		t.Errorf("in another order: got %s", got)
	}
}

// A view comes further without a change of what is in it, or another answers: the next chunk is the same.
func TestTheNextChunkIsKnownAsLongAsNothingInItHasChanged(t *testing.T) {
	object := func(name string, version uint64) *view.Object { return &view.Object{Name: name, Version: version} }
	a, b, c := object("a", 1), object("b", 2), object("c", 3)
	for what, test := range map[string]struct {
		objects []*view.Object
		at      uint64
		want    bool
	}{
		"nothing has changed":                 {[]*view.Object{a, b, c}, 5, true},
		"the view has come further":           {[]*view.Object{a, b, c}, 9, true},
		"what was told before has changed":    {[]*view.Object{object("a", 9), b, c}, 9, true},
		"what comes has changed":              {[]*view.Object{a, b, object("c", 9)}, 9, false},
		"what comes has gone":                 {[]*view.Object{a, b}, 9, false},
		"one has gone and another come":       {[]*view.Object{a, b, object("d", 9)}, 9, false},
		"the view is older: it was restarted": {[]*view.Object{a, b, c}, 4, false},
	} {
		if _, got := (&token{Version: 5, After: "a", Left: 2}).rest(test.objects, test.at); got != test.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
