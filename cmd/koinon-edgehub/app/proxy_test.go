package app

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/edgehub/status"
)

// Clients send again what they are told to, and a POST that was done makes another object then.
func TestAWriteThatWasSentAndNotAnsweredIsNotToBeSentAgain(t *testing.T) {
	sends := func(r *http.Request) (*http.Response, error) {
		if trace := httptrace.ContextClientTrace(r.Context()); trace.WroteHeaders != nil {
			trace.WroteHeaders()
		}
		return nil, errors.New("the link was cut")
	}
	failsToDial := func(*http.Request) (*http.Response, error) { return nil, errors.New("nobody listens") }
	for what, test := range map[string]struct {
		method string
		to     roundTripper
		code   int
		again  bool
	}{
		"a write that was sent":     {http.MethodPost, sends, http.StatusGatewayTimeout, false},
		"a write that was not sent": {http.MethodPost, failsToDial, http.StatusServiceUnavailable, true},
		"a read that was sent":      {http.MethodGet, sends, http.StatusServiceUnavailable, true},
	} {
		h := &hub{logger: slog.New(slog.DiscardHandler), asGiven: test.to}
		rw := httptest.NewRecorder()
		h.proxy().ServeHTTP(rw, httptest.NewRequest(test.method, "/api/v1/namespaces/ns/pods", strings.NewReader("{}")))
		if again := rw.Header().Get("Retry-After") != ""; rw.Code != test.code || again != test.again || !status.IsAway(rw, rw.Code) {
			t.Errorf("%s: %d, again %v: %s", what, rw.Code, again, rw.Body)
		}
	}
}

// What a server behind the API server says, a Service's for example, is its answer, whatever header it has found out about.
func TestNobodyUpstreamSaysThatTheAPIServerIsAway(t *testing.T) {
	says := httptest.NewRecorder()
	status.WriteAway(says, errors.New("as it says"))
	says.Code = http.StatusOK
	h := &hub{logger: slog.New(slog.DiscardHandler), asGiven: roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: says.Header(), Body: io.NopCloser(says.Body), Request: r}, nil
	})}
	rw := httptest.NewRecorder()
	h.proxy().ServeHTTP(rw, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{}})
	if rw.Code != http.StatusOK || status.IsAway(rw, rw.Code) {
		t.Errorf("%d: %v", rw.Code, rw.Header())
	}
}
