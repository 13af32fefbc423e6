package proxy

import (
	"encoding/json"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// Explain has errors of discovery through a proxy say why in a warning too. Clients begin with
// discovery, and client-go shows of an error there its code and the word "unknown", whatever the
// Status says; of a NotFound it shows nothing. It shows warnings as they are.
func Explain(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isDiscovery(r) {
			api.ServeHTTP(w, r)
			return
		}
		explaining := &explainingWriter{ResponseWriter: w}
		defer explaining.finish()
		api.ServeHTTP(explaining, r)
	})
}

// isDiscovery reports whether a request asks a member what it serves.
func isDiscovery(r *http.Request) bool {
	if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, "/apis/"+v1alpha1.GroupName+"/") {
		return false
	}
	return strings.HasSuffix(r.URL.Path, "/"+Subresource+"/api") || strings.HasSuffix(r.URL.Path, "/"+Subresource+"/apis")
}

// explainingWriter keeps the header of an error until its body is there.
type explainingWriter struct {
	http.ResponseWriter
	code    int // of an error that is kept; 0 if there is none
	decided bool
	body    []byte
}

// maxStatusBytes is how long a Status may be that is looked at, and maxWarningBytes how much of its
// message is a warning: servers on the way take headers of 8 KiB.
const maxStatusBytes, maxWarningBytes = 64 << 10, 1 << 10

// Unwrap lets http.ResponseController reach what is below.
func (e *explainingWriter) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (e *explainingWriter) WriteHeader(code int) {
	if e.decided {
		return
	}
	e.decided = true
	if code >= http.StatusBadRequest {
		e.code = code
		return
	}
	e.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (e *explainingWriter) Write(p []byte) (int, error) {
	if !e.decided {
		e.WriteHeader(http.StatusOK)
	}
	if e.code == 0 {
		return e.ResponseWriter.Write(p)
	}
	e.body = append(e.body, p...)
	if len(e.body) > maxStatusBytes {
		e.finish()
	}
	return len(p), nil
}

// Flush implements http.Flusher.
func (e *explainingWriter) Flush() {
	if e.code == 0 {
		_ = http.NewResponseController(e.ResponseWriter).Flush() // an answer that cannot be flushed comes at its end
	}
}

// finish sends what was kept.
func (e *explainingWriter) finish() {
	if e.code == 0 {
		return
	}
	var status metav1.Status
	if json.Unmarshal(e.body, &status) == nil && status.Kind == "Status" && status.Message != "" {
		if warning, err := utilnet.NewWarningHeader(299, "-", shortened(status.Message)); err == nil {
			e.Header().Add("Warning", warning)
		}
	}
	e.ResponseWriter.WriteHeader(e.code)
	e.code = 0
	_, _ = e.ResponseWriter.Write(e.body) // whoever asked has gone
	e.body = nil
}

// shortened is the beginning of a message that is too long for a warning.
func shortened(message string) string {
	if len(message) <= maxWarningBytes {
		return message
	}
	return strings.ToValidUTF8(message[:maxWarningBytes], "") + "…"
}
