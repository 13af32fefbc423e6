package openapi

import (
	"bytes"
	"net/http"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/util/responsewriter"
)

// index is the list of the documents of v3 with their hashes. An aggregator asks for it every
// second, which keeps no document.
type index struct {
	of *transient

	mu   sync.Mutex
	last *list // nil until somebody asks
}

// list is an index as it was answered.
type list struct {
	made   time.Time
	header http.Header
	body   []byte
}

// ServeHTTP implements http.Handler.
func (i *index) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	l, failed := i.get(req)
	if failed != nil {
		failed.ServeHTTP(w, req)
		return
	}
	for name, values := range l.header {
		w.Header()[name] = values
	}
	http.ServeContent(w, req, "", l.made, bytes.NewReader(l.body))
}

// get returns the list, or a handler that says why there is none. One that failed is tried
// again at the next request.
func (i *index) get(req *http.Request) (*list, http.Handler) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.last != nil {
		return i.last, nil
	}
	documents := i.of.once()
	whole := req.Clone(req.Context()) // the list, whatever the client has already
	whole.Method, whole.Header = http.MethodGet, http.Header{}
	answer := responsewriter.NewInMemoryResponseWriter()
	documents.ServeHTTP(answer, whole)
	if answer.RespCode() != http.StatusOK {
		return nil, documents
	}
	header := http.Header{}
	for _, name := range []string{"Content-Type", "Etag"} {
		header[name] = answer.Header()[name]
	}
	i.last = &list{made: time.Now(), header: header, body: answer.Data()}
	return i.last, nil
}

func (i *index) forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last = nil
}
