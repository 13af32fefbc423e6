package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestErrorsOfDiscoverySayWhyInAWarning(t *testing.T) {
	const discovery, status = "/apis/federation.koinon.io/v1alpha1/clusters/m1/proxy/api", `{"kind":"Status","message":"no \"m1\""}`
	for name, test := range map[string]struct {
		path, body string
		code       int
		want       string
	}{
		"a Status":               {discovery, status, 403, `299 - "no \"m1\""`},
		"a Status of a fleet":    {"/apis/federation.koinon.io/v1alpha1/fleets/all/proxy/apis", status, 503, `299 - "no \"m1\""`},
		"what is no Status":      {discovery, "<html>", 502, ""},
		"an error without end":   {discovery, strings.Repeat(" ", 2*maxStatusBytes), 502, ""},
		"a long Status":          {discovery, `{"kind":"Status","message":"` + strings.Repeat("é", 10_000) + `"}`, 503, `299 - "` + strings.Repeat("é", maxWarningBytes/2) + `…"`},
		"another request":        {discovery + "/v1/pods", status, 403, ""},
		"another API's":          {"/apis", status, 403, ""},
		"an answer without fail": {discovery, status, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			api := Explain(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.code)
				_, _ = io.WriteString(w, test.body[:len(test.body)/2])
				_ = http.NewResponseController(w).Flush()
				_, _ = io.WriteString(w, test.body[len(test.body)/2:])
			}))
			answer := httptest.NewRecorder()
			api.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.path, nil))
			if got := answer.Result().Header.Get("Warning"); answer.Code != test.code || got != test.want || answer.Body.String() != test.body {
				t.Errorf("got %d, warning %q and %d bytes; want %d, %q and %d", answer.Code, got, answer.Body.Len(), test.code, test.want, len(test.body))
			}
		})
	}
}
