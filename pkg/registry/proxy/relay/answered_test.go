package relay

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// A member may refuse a request before all of it has come; clients of HTTP/2 then cease to send, and wait for the end of
// the answer. A proxy that waited for the end of the request would wait for ever.
func TestAnAnswerEndsAlthoughTheRequestDoesNot(t *testing.T) {
	member := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusNotAcceptable)
	}))
	member.EnableHTTP2 = true
	member.StartTLS()
	defer member.Close()
	transport := member.Client().Transport.(*http.Transport)
	if err := http2.ConfigureTransport(transport); err != nil {
		t.Fatal(err)
	}
	body, _ := io.Pipe() // nobody writes it
	// A reverse proxy keeps from its transport to close what a client sends.
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, member.URL, io.NopCloser(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := &answered{ReadCloser: answer.Body, asked: body}
	if _, err := io.ReadAll(wrapped); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- wrapped.Close() }() // ends at once
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the end of the answer waits for the end of the request")
	}
}
