package openapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	restful "github.com/emicklei/go-restful/v3"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/kube-openapi/pkg/cached"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// thing is what the routes of the tests answer.
type thing struct {
	Name string `json:"name"`
}

// documented is a server whose documents are made when somebody asks.
type documented struct {
	*testing.T
	*Documents
	mux *mux.PathRecorderMux
	// madeV2 and madeV3 count, and title is that of the next.
	madeV2, madeV3 atomic.Int32
	title          atomic.Value
	failing        atomic.Bool
}

func document(t *testing.T) *documented {
	t.Helper()
	d := &documented{T: t, mux: mux.NewPathRecorderMux("test")}
	d.title.Store("first")
	service := new(restful.WebService).Path("/apis/things/v1").Produces(restful.MIME_JSON)
	service.Route(service.GET("/things").To(func(*restful.Request, *restful.Response) {}).Operation("listThings").Writes(thing{}).
		Returns(http.StatusOK, "OK", thing{}))
	container := restful.NewContainer()
	container.Add(service)
	definitions := func(common.ReferenceCallback) map[string]common.OpenAPIDefinition {
		return map[string]common.OpenAPIDefinition{"github.com/koinon-io/koinon/pkg/openapi.thing": {
			Schema: spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}}},
		}}
	}
	info := &spec.Info{InfoProps: spec.InfoProps{Title: "things"}}
	d.Documents = Install(Config{
		Routes: container,
		V2:     &common.Config{Info: info, GetDefinitions: definitions},
		V3:     &common.OpenAPIV3Config{Info: info, GetDefinitions: definitions},
		MoreV2: func(routes *spec.Swagger) (*spec.Swagger, error) {
			d.madeV2.Add(1)
			if d.failing.Load() {
				return nil, errors.New("no schema")
			}
			return routes, nil
		},
		MoreV3: func(v3 *handler3.OpenAPIService) {
			d.madeV3.Add(1)
			v3.UpdateGroupVersionLazy("apis/more/v1", cached.Once(cached.Func(func() (*spec3.OpenAPI, string, error) {
				if d.failing.Load() {
					return nil, "", errors.New("no schema")
				}
				return &spec3.OpenAPI{Info: &spec.Info{InfoProps: spec.InfoProps{Title: d.title.Load().(string)}}}, "", nil
			})))
		},
	}, d.mux)
	return d
}

// after waits, and until everybody has done what there was to do.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (d *documented) get(path string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	d.mux.ServeHTTP(answer, req)
	return answer
}

// urls reads the index: the address of each document, by its group and version.
func (d *documented) urls() map[string]string {
	d.Helper()
	answer := d.get("/openapi/v3")
	var index handler3.OpenAPIV3Discovery
	if err := json.Unmarshal(answer.Body.Bytes(), &index); err != nil {
		d.Fatalf("the index is %d %s: %v", answer.Code, answer.Body, err)
	}
	urls := map[string]string{}
	for name, document := range index.Paths {
		urls[name] = document.ServerRelativeURL
	}
	return urls
}

func TestTheIndexNamesEveryDocument(t *testing.T) {
	d := document(t)
	urls := d.urls()
	for _, want := range []string{"apis/things/v1", "apis/more/v1"} {
		answer := d.get(urls[want], "Accept", "application/json")
		if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), "openapi") {
			t.Errorf("%s at %q is %d %.100s", want, urls[want], answer.Code, answer.Body)
		}
	}
	if answer := d.get("/openapi/v2"); answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), "listThings") {
		t.Errorf("v2 is %d %.200s", answer.Code, answer.Body)
	}
}

func TestDocumentsAreForgottenWhenNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := document(t)
		url := d.urls()["apis/things/v1"]
		before := d.madeV3.Load()
		d.get(url)
		time.Sleep(keep - time.Second)
		d.get(url) // goes on reading
		time.Sleep(keep - time.Second)
		d.get(url)
		if made := d.madeV3.Load() - before; made != 1 {
			t.Errorf("documents that are read were made %d times", made)
		}
		after(keep)
		if d.v3.handler != nil {
			t.Error("documents that nobody reads are still there")
		}
		if answer := d.get(url); answer.Code != http.StatusOK {
			t.Errorf("the hash of the index is not that of the document when it is made again: %d", answer.Code)
		}
	})
}

func TestAnAggregatorThatAsksEverySecondKeepsNoDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := document(t)
		for range 100 {
			d.urls()
			time.Sleep(time.Second)
		}
		if made := d.madeV3.Load(); made != 1 || d.v3.handler != nil {
			t.Errorf("documents were made %d times, and are kept: %v", made, d.v3.handler != nil)
		}
		etag := d.get("/openapi/v3").Header().Get("Etag")
		if answer := d.get("/openapi/v3", "If-None-Match", etag); etag == "" || answer.Code != http.StatusNotModified {
			t.Errorf("with the Etag %q it was answered %d", etag, answer.Code)
		}
	})
}

func TestAChangeIsSeenAtTheNextRequest(t *testing.T) {
	d := document(t)
	first := d.urls()["apis/more/v1"]
	d.get(first)
	d.title.Store("second")
	d.Changed()
	next := d.urls()["apis/more/v1"]
	if next == first {
		t.Error("the hash is that of the document before")
	}
	if answer := d.get(next, "Accept", "application/json"); !strings.Contains(answer.Body.String(), "second") {
		t.Errorf("the document is %s", answer.Body)
	}
	if answer := d.get(first); answer.Code != http.StatusMovedPermanently {
		t.Errorf("the old hash is answered %d", answer.Code)
	}
}

func TestADocumentThatCannotBeMadeIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := document(t)
		d.failing.Store(true)
		if answer := d.get("/openapi/v2"); answer.Code != http.StatusServiceUnavailable {
			t.Errorf("v2 is %d", answer.Code)
		}
		if answer := d.get("/openapi/v3"); answer.Code != http.StatusInternalServerError {
			t.Errorf("the index is %d", answer.Code)
		}
		d.failing.Store(false)
		d.urls()
		after(keep)
		if answer := d.get("/openapi/v2"); answer.Code != http.StatusOK {
			t.Errorf("v2 is %d after a minute", answer.Code)
		}
	})
}

func TestManyClientsReadWhileKindsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := document(t)
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for range 20 {
					for _, url := range d.urls() {
						if answer := d.get(url); answer.Code != http.StatusOK && answer.Code != http.StatusMovedPermanently {
							t.Errorf("%s is %d", url, answer.Code)
						}
					}
					d.get("/openapi/v2")
				}
			})
		}
		for i := range 50 {
			d.title.Store(strings.Repeat("x", i))
			d.Changed()
			after(keep)
		}
		clients.Wait()
	})
}
