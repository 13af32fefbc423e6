package app

import (
	"bytes"
	"net/http"

	"k8s.io/apiserver/pkg/endpoints/responsewriter"

	"github.com/koinon-io/koinon/pkg/host"
	"github.com/koinon-io/koinon/pkg/storage"
)

// hostStorage is the store as an API server uses it.
func hostStorage(store *storage.Store, readiness *storage.Readiness, keys *host.Keys) host.Storage {
	return host.Storage{
		Transport:   store.Transport(),
		RESTOptions: store.RESTOptions,
		Admission:   store.Admission(),
		Readiness:   readiness,
		Keys:        keys,
	}
}

// withReasons makes /readyz say why the datastore, or what encrypts in it, is not usable. The library withholds all
// reasons there, and probes show what /readyz says; /readyz/datastore and /readyz/kms-providers are for those with
// more rights.
func withReasons(readiness *storage.Readiness, keys *host.Keys, api http.Handler) http.Handler {
	reasons := map[string]func() string{"datastore": readiness.Reason, host.KeysCheck: keys.Problem}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w = responsewriter.WrapForHTTP1Or2(&reasonWriter{w, reasons})
		}
		api.ServeHTTP(w, r)
	})
}

// reasonWriter puts the reasons in the places where they are withheld. They are by the name of the check.
type reasonWriter struct {
	http.ResponseWriter
	reasons map[string]func() string
}

// Unwrap implements responsewriter.UserProvidedDecorator.
func (w *reasonWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements http.ResponseWriter. The library writes its answer in one piece.
func (w *reasonWriter) Write(answer []byte) (int, error) {
	told := answer
	for check, reason := range w.reasons {
		failed := "[-]" + check + " failed: "
		withheld := []byte(failed + "reason withheld")
		if !bytes.Contains(told, withheld) {
			continue
		}
		if why := reason(); why != "" {
			told = bytes.Replace(told, withheld, []byte(failed+why), 1)
		}
	}
	if _, err := w.ResponseWriter.Write(told); err != nil {
		return 0, err
	}
	return len(answer), nil
}
