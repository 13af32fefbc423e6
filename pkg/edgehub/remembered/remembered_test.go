package remembered

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/status"
	"github.com/koinon-io/koinon/pkg/edgehub/store"
)

type noDisk struct{}

func (noDisk) Apply(...store.Change) error { return nil }

// cloud answers by METHOD PATH, and is away otherwise.
type cloud map[string]string

func (c cloud) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	answer, ok := c[r.Method+" "+r.URL.Path]
	if !ok {
		status.WriteAway(rw, errors.New("the link is cut"))
		return
	}
	code, body, _ := strings.Cut(answer, " ")
	rw.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "zipped") || r.Header.Get("Accept-Encoding") != "" {
		rw.Header().Set("Content-Encoding", "gzip")
	}
	n := 0
	_, _ = fmt.Sscan(code, &n)
	rw.WriteHeader(n)
	for len(body) > 0 { // in pieces
		piece := body[:min(len(body), 1000)]
		_, _ = rw.Write([]byte(piece))
		body = body[len(piece):]
	}
}

const (
	csinode  = "/apis/storage.k8s.io/v1/csinodes/n"
	other    = "/apis/storage.k8s.io/v1/volumeattachments/n"
	csinodes = "/apis/storage.k8s.io/v1/csinodes"
	missing  = `404 {"kind":"Status","reason":"NotFound","details":{"name":"n"}}`
	noKind   = `404 {"kind":"Status","reason":"NotFound","details":{}}`
	object   = `{"kind":"CSINode","metadata":{"name":"n"}}`
	changed  = `{"kind":"CSINode","metadata":{"name":"n"},"spec":1}`
)

func TestWhatIsAnsweredWhileTheAPIServerIsAway(t *testing.T) {
	type try struct{ who, request, accept, cloud, want string }
	const protobuf = "application/vnd.kubernetes.protobuf"
	const table, asTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", `{"kind":"Table","metadata":{"name":"n"}}`
	const lease = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/a"
	const leased = `{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"a","resourceVersion":"1"}}`
	for what, tries := range map[string][]try{
		"a document, to everybody":                    {{"anna", "GET /version", "", "200 {}", "200 {}"}, {"bert", "GET /version", "", "", "200 {}"}},
		"a document of another type":                  {{"anna", "GET /apis", "application/yaml", "200 {}", "200 {}"}, {"anna", "GET /apis", "application/yaml", "", "503"}, {"anna", "GET /apis", "*/*", "", "200 {}"}},
		"a document, however it is asked":             {{"anna", "GET /apis?timeout=32s", "application/json;as=APIGroupDiscoveryList, application/json", "200 {}", "200 {}"}, {"anna", "GET /apis", "application/yaml, application/json;charset=utf-8", "", "200 {}"}},
		"an object, to who got it":                    {{"anna", "GET " + csinode, "", "200 " + object, "200 " + object}, {"anna", "GET " + csinode, "", "", "200 " + object}, {"bert", "GET " + csinode, "", "", "503"}},
		"one that is asked for oddly is not kept":     {{"anna", "GET /version?x=1", "", "200 {}", "200 {}"}, {"anna", "GET /version?x=1", "", "", "503"}},
		"nothing to nobody":                           {{"", "GET /version", "", "200 {}", "200 {}"}, {"", "GET /version", "", "", "503"}},
		"an object, to who would rather see a Table":  {{"anna", "GET " + csinode, "", "200 " + object, "200 " + object}, {"anna", "GET " + csinode, table, "200 " + asTable, "200 " + asTable}, {"anna", "GET " + csinode, table, "", "200 " + object}},
		"no Table is kept":                            {{"anna", "GET " + csinode, table, "200 " + asTable, "200 " + asTable}, {"anna", "GET " + csinode, "", "", "503"}},
		"an object that there is not":                 {{"anna", "GET " + other, "", missing, missing}, {"anna", "GET " + other, "", "", missing}},
		"a CSINode that there is not is not known":    {{"anna", "GET " + csinode, "", missing, missing}, {"anna", "GET " + csinode, "", "", "503"}},
		"a Lease says nothing true of later":          {{"anna", "GET " + lease, "", "200 " + leased, "200 " + leased}, {"anna", "GET " + lease, "", "", "503"}},
		"a kind that there is not is not":             {{"anna", "GET " + csinode, "", noKind, noKind}, {"anna", "GET " + csinode, "", "", "503"}},
		"an error is none":                            {{"anna", "GET " + csinode, "", "500 {}", "500 {}"}, {"anna", "GET " + csinode, "", "", "503"}},
		"the newest":                                  {{"anna", "GET " + csinode, "", "200 " + object, "200 " + object}, {"anna", "GET " + csinode, "", "200 " + changed, "200 " + changed}, {"anna", "GET " + csinode, "", "", "200 " + changed}},
		"a document, to who would have it compressed": {{"anna", "GET /apis zipped", "", "200 {}", "200 {}"}, {"bert", "GET /apis", "", "", "200 {}"}},
		"what its reader has made": {
			{"anna", "GET " + csinode, protobuf + ",application/json", missing, missing}, {"anna", "POST " + csinodes, protobuf + ",application/json", "201 " + object, "201 " + object},
			{"anna", "GET " + csinode, "", "", "200 " + object},
		},
		"what its reader has changed": {{"anna", "GET " + csinode, "", "200 " + object, "200 " + object}, {"anna", "PUT " + csinode, "", "200 " + changed, "200 " + changed}, {"anna", "GET " + csinode, "", "", "200 " + changed}},
		"what its reader has changed, and what has become of it was not seen": {
			{"anna", "GET " + csinode, "", "200 " + object, "200 " + object}, {"anna", "PUT " + csinode, protobuf, "200 " + changed, "200 " + changed}, {"anna", "GET " + csinode, "", "", "503"},
		},
		"what its reader has deleted is not known": {{"anna", "GET " + csinode, "", "200 " + object, "200 " + object}, {"anna", "DELETE " + csinode, "", "200 " + object, "200 " + object}, {"anna", "GET " + csinode, "", "", "503"}},
		"what was refused stays":                   {{"anna", "GET " + csinode, "", "200 " + object, "200 " + object}, {"anna", "PUT " + csinode, "", "409 {}", "409 {}"}, {"anna", "GET " + csinode, "", "", "200 " + object}},
		"what nobody has read is not kept":         {{"anna", "POST " + csinodes, "", "201 " + object, "201 " + object}, {"anna", "GET " + csinode, "", "", "503"}},
		"not what its reader may not read any more": {
			{"anna", "GET " + csinode, "", "200 " + object, "200 " + object}, {"anna", "GET " + csinode, "", "403 {}", "403 {}"}, {"anna", "GET " + csinode, "", "", "503"},
		},
		"to the node what it may not read for a moment": {
			{Node, "GET " + csinode, "", "200 " + object, "200 " + object}, {Node, "GET " + csinode, "", "403 {}", "403 {}"}, {Node, "GET " + csinode, "", "", "200 " + object},
		},
		"a document that was cut off in the middle is not kept": {{"anna", "GET /apis", "", `200 {"groups":[`, `200 {"groups":[`}, {"anna", "GET /apis", "", "", "503"}},
		"what somebody before the API server says of an object": {{"anna", "GET " + csinode, "", "200 " + object, "200 " + object}, {"anna", "GET " + csinode, "", `200 {"sorry":1}`, `200 {"sorry":1}`}, {"anna", "GET " + csinode, "", "", "200 " + object}},
		"a document by a path that leads elsewhere is not kept": {{"anna", "GET /openapi/../api/v1/secrets", "", "200 {}", "200 {}"}, {"bert", "GET /openapi/../api/v1/secrets", "", "", "503"}},
		"lists are views'":               {{"anna", "GET " + csinodes, "", "200 {}", "200 {}"}, {"anna", "GET " + csinodes, "", "", "503"}},
		"subresources are not kept":      {{"anna", "GET /api/v1/namespaces/a/pods/p/log", "", "200 line", "200 line"}, {"anna", "GET /api/v1/namespaces/a/pods/p/log", "", "", "503"}},
		"what is compressed is not kept": {{"anna", "GET /openapi/v3/zipped", "", "200 x", "200 x"}, {"anna", "GET /openapi/v3/zipped", "", "", "503"}},
		"what is very large is not kept": {{"anna", "GET /version", "", "200 " + strings.Repeat("x", maxDocument+1), "200 " + strings.Repeat("x", maxDocument+1)}, {"anna", "GET /version", "", "", "503"}},
	} {
		t.Run(what, func(t *testing.T) {
			now := cloud{}
			h, err := New(notes.NewBook(noDisk{}, nil), &now, func(r *http.Request) string { return r.Header.Get("X-Who") })
			if err != nil {
				t.Fatal(err)
			}
			for i, try := range tries {
				request, compressed := strings.CutSuffix(try.request, " zipped")
				method, path, _ := strings.Cut(request, " ")
				now = cloud{}
				if try.cloud != "" {
					now[strings.SplitN(request, "?", 2)[0]] = try.cloud
				}
				r := httptest.NewRequest(method, path, nil)
				if compressed {
					r.Header.Set("Accept-Encoding", "gzip")
				}
				r.Header.Set("X-Who", try.who)
				if try.accept != "" {
					r.Header.Set("Accept", try.accept)
				}
				rw := httptest.NewRecorder()
				h.ServeHTTP(rw, r)
				got := fmt.Sprint(rw.Code)
				if rw.Code != http.StatusServiceUnavailable {
					got += " " + rw.Body.String()
				}
				if got != try.want {
					t.Errorf("step %d: got %.200q, want %.200q", i, got, try.want)
				}
			}
		})
	}
}

// Of pods that read slowly, and are many, not all have what they read kept while they do; others, and the node, have.
func TestWhatThereIsNoRoomForIsAnsweredAndNotRemembered(t *testing.T) {
	for what, test := range map[string]struct {
		readers []string // who read four at a time, and do not go on
		who     string
		want    int
	}{
		"a pod that reads much":     {[]string{"anna"}, "anna", 0},
		"another":                   {[]string{"anna", "anna", "anna", "anna", "anna", "anna", "anna", "anna", "anna"}, "bert", 1},
		"one of too many":           {[]string{"a", "b", "c", "d", "e", "f", "g", "h"}, "bert", 0},
		"the node, though they are": {[]string{"a", "b", "c", "d", "e", "f", "g", "h"}, Node, 1},
	} {
		t.Run(what, func(t *testing.T) {
			h, err := New(notes.NewBook(noDisk{}, nil), cloud{"GET /version": "200 {}"}, func(*http.Request) string { return test.who })
			if err != nil {
				t.Fatal(err)
			}
			for _, who := range test.readers {
				for range maxRecordingOf {
					_, done := h.record(httptest.NewRecorder(), who, maxDocument)
					defer done()
				}
			}
			rw := httptest.NewRecorder()
			h.ServeHTTP(rw, httptest.NewRequest(http.MethodGet, "/version", nil))
			if rw.Code != http.StatusOK || rw.Body.String() != "{}" || h.Documents() != test.want {
				t.Errorf("%d %s, %d are remembered", rw.Code, rw.Body, h.Documents())
			}
		})
	}
}
