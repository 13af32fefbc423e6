package app

import (
	"bytes"
	"net/http"

	"k8s.io/apiserver/pkg/endpoints/responsewriter"

	"github.com/koinon-io/koinon/pkg/host"
	"github.com/koinon-io/koinon/pkg/storage"
)

// hostStorage is the store as an API server uses it.
func hostStorage(store *storage.Store, readiness *storage.Readiness) host.Storage {
	return host.Storage{
		Transport:   store.Transport(),
		RESTOptions: store.RESTOptions,
		Admission:   store.Admission(),
		Readiness:   readiness,
	}
}

// withReason makes /readyz say why the datastore is not usable. The library withholds all
// reasons there, and probes show what /readyz says; /readyz/datastore is for those with
// more rights.
func withReason(reason func() string, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w = responsewriter.WrapForHTTP1Or2(&reasonWriter{w, reason})
		}
		api.ServeHTTP(w, r)
	})
}

// withheld is the line of the check of the datastore in /readyz.
var withheld = []byte("[-]datastore failed: reason withheld")

// reasonWriter puts the reason in the place of that line.
type reasonWriter struct {
	http.ResponseWriter
	reason func() string
}

// Unwrap implements responsewriter.UserProvidedDecorator.
func (w *reasonWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements http.ResponseWriter. The library writes its answer in one piece.
func (w *reasonWriter) Write(answer []byte) (int, error) {
	reason := w.reason()
	if reason == "" || !bytes.Contains(answer, withheld) {
		return w.ResponseWriter.Write(answer)
	}
	if _, err := w.ResponseWriter.Write(bytes.Replace(answer, withheld, []byte("[-]datastore failed: "+reason), 1)); err != nil {
		return 0, err
	}
	return len(answer), nil
}
