package closure

import (
	"errors"
	"net/http"
	"strings"

	"github.com/koinon-io/koinon/pkg/edgehub/status"
	"github.com/koinon-io/koinon/pkg/edgehub/target"
)

// errUnseen is why an API server's EndpointSlices are not handed on.
var errUnseen = errors.New("EndpointSlices are seen as this node sees them, which is not known of what is asked for: list them as JSON")

// Guard has nobody get EndpointSlices from an API server as they are there, but for the table that somebody looks at. Whatever else it says of them is handed on, such as who may not read them: for
// that it is asked for one of them, whatever of them is asked for.
func Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		t, ok := target.Parse(r.URL)
		if ok && r.Method == http.MethodGet && t.Group+"/"+t.Version+"/"+t.Resource == slicesKind && !strings.Contains(r.Header.Get("Accept"), "as=Table") {
			r = r.Clone(r.Context())
			r.URL.RawQuery = "limit=1" // a watch would not end
			rw = &guard{ResponseWriter: rw}
		}
		next.ServeHTTP(rw, r)
	})
}

// guard answers otherwise than with an EndpointSlice.
type guard struct {
	http.ResponseWriter
	began, held bool
}

// WriteHeader implements http.ResponseWriter.
func (g *guard) WriteHeader(code int) {
	if g.began {
		return
	}
	if g.began = code >= http.StatusOK; code < http.StatusOK || code >= http.StatusMultipleChoices {
		g.ResponseWriter.WriteHeader(code)
		return
	}
	g.held = true
	clear(g.Header())
	status.WriteUnusable(g.ResponseWriter, errUnseen)
}

// Write implements http.ResponseWriter.
func (g *guard) Write(p []byte) (int, error) {
	g.WriteHeader(http.StatusOK)
	if g.held {
		return len(p), nil
	}
	return g.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController, which would begin an answer past the guard.
func (g *guard) FlushError() error {
	if g.WriteHeader(http.StatusOK); g.held {
		return nil
	}
	return http.NewResponseController(g.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (g *guard) Unwrap() http.ResponseWriter { return g.ResponseWriter }
