package app

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/callers"
	"github.com/koinon-io/koinon/pkg/edgehub/remembered"
)

// documentsEvery is how often it is looked whether there are other kinds.
const documentsEvery = 30 * time.Minute

// aggregated is the type of the discovery of all groups in one document.
const aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// documents reads what programs read when they start, so that they can start without the cloud: which kinds there are.
type documents struct {
	from *remembered.Handler
	// whole: all were read since the hub was started; keepDocuments' alone.
	whole bool
}

// read reads all, if there is something new. It reports whether all is as the API server has it now.
func (d *documents) read(ctx context.Context) bool {
	unchanged := true
	for _, path := range []string{"/api", "/apis"} {
		code, _ := d.get(ctx, path, aggregated, d.from.ETag(path, aggregated))
		unchanged = unchanged && code == http.StatusNotModified
	}
	if unchanged && d.whole {
		return true
	}
	all := true
	plain := func(path string) []byte {
		code, body := d.get(ctx, path, "", "")
		all = all && code < http.StatusInternalServerError // what there is not, or what the node may not read, is no matter
		return body
	}
	for _, path := range []string{"/version", "/api", "/api/v1"} {
		plain(path)
	}
	var groups metav1.APIGroupList
	if json.Unmarshal(plain("/apis"), &groups) != nil {
		all = false
	}
	for i := range groups.Groups {
		for _, version := range groups.Groups[i].Versions {
			plain("/apis/" + version.GroupVersion)
		}
	}
	d.whole = all
	return all
}

// get has one be remembered, and returns what is answered.
func (d *documents) get(ctx context.Context, path, accept, etag string) (code int, body []byte) {
	ctx, cancel := context.WithTimeout(callers.With(ctx, &callers.Caller{Local: true}), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return 0, nil
	}
	if accept == "" {
		accept = "application/json"
	}
	r.Header.Set("Accept", accept)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := &kept{header: http.Header{}}
	d.from.ServeHTTP(w, r)
	return w.code, w.body.Bytes()
}

// kept is what is answered to the hub itself.
type kept struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (k *kept) Header() http.Header { return k.header }

// WriteHeader implements http.ResponseWriter.
func (k *kept) WriteHeader(code int) { k.code = code }

// Write implements http.ResponseWriter.
func (k *kept) Write(p []byte) (int, error) {
	if k.code == 0 {
		k.code = http.StatusOK
	}
	return k.body.Write(p)
}

// keepDocuments reads documents when an API server is back, and from time to time, until ctx ends.
func (h *hub) keepDocuments(ctx context.Context) {
	for {
		changed := h.upstream.Changes()
		next := time.After(documentsEvery/2 + rand.N(documentsEvery))
		if h.upstream.Available() && h.documents.read(ctx) {
			changed = nil // the next time is soon enough
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-next:
		}
	}
}
