package relay_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// newRawMember is a member that answers bytes of its own, whatever it is asked, and closes the
// connection. It returns its address.
func newRawMember(t *testing.T, says string) string {
	t.Helper()
	member := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString(says)
		_ = rw.Flush()
	}))
	t.Cleanup(member.Close)
	return member.URL
}

// sent sends a request as it is written and returns the connection and the answer.
func (b *bench) sent(request string) (net.Conn, *http.Response) {
	b.Helper()
	front, err := url.Parse(b.front.URL)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", front.Host)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // a test that hangs says where
	if _, err := io.WriteString(conn, request); err != nil {
		b.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = answer.Body.Close() })
	return conn, answer
}

func TestAnswersThatAreNoneAreSentences(t *testing.T) {
	for name, test := range map[string]struct {
		says    string
		code    int
		message string
	}{
		"a code of zeros":                       {"HTTP/1.1 000 Fine\r\nContent-Length: 2\r\n\r\n{}", http.StatusBadGateway, ": it answers with a code that is none"},
		"a code below those there are":          {"HTTP/1.1 042 Fine\r\nContent-Length: 2\r\n\r\n{}", http.StatusBadGateway, ": it answers with a code that is none"},
		"a negative length":                     {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", http.StatusServiceUnavailable, " does not answer"},
		"two lengths":                           {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", http.StatusServiceUnavailable, " does not answer"},
		"no HTTP":                               {"SSH-2.0-OpenSSH_9.9\r\n", http.StatusServiceUnavailable, " does not answer"},
		"a header with a line that is none":     {"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", http.StatusServiceUnavailable, " does not answer"},
		"answers before the answer without end": {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 10000), http.StatusServiceUnavailable, " does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, http.NotFoundHandler())
			b.link = b.linkTo(newRawMember(t, test.says), &rest.Config{})
			b.refused(b.get("/api/v1/pods"), test.code, `cluster "m1"`+test.message)
		})
	}
}

func TestTrailersOfARequestAreNotSentToAMember(t *testing.T) {
	seen := make(chan http.Header, 1)
	b := newBench(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		seen <- r.Trailer
	}))
	_, answer := b.sent("POST " + prefix + "/api/v1/namespaces/a/pods HTTP/1.1\r\nHost: koinon\r\nTransfer-Encoding: chunked\r\nTrailer: Impersonate-User, X-Of-Mine\r\n\r\n" +
		"2\r\n{}\r\n0\r\nImpersonate-User: root\r\nX-Of-Mine: 1\r\n\r\n")
	if answer.StatusCode != http.StatusOK {
		t.Errorf("got %d", answer.StatusCode)
	}
	if got := <-seen; len(got) > 0 {
		t.Errorf("the member got the trailers %v", got)
	}
}

// Clients begin another watch; the end of a log is that of its container.
func TestOnlyWhatAMemberTakesForAWatchEndsWhole(t *testing.T) {
	b := newBench(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"items":[`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	for path, whole := range map[string]bool{
		"/api/v1/pods?watch":                                    true,
		"/api/v1/pods?watch=1":                                  true,
		"/api/v1/pods?watch=yes":                                true,
		"/api/v1/pods?watch=true&watch=false":                   true,
		"/api/v1/watch/pods":                                    true,
		"/api/v1/namespaces/a/pods/b/log?follow=true":           false,
		"/api/v1/namespaces/a/pods/b/log?follow=t":              false,
		"/api/v1/pods?watch=false&watch=true":                   false,
		"/api/v1/pods?watch=False":                              false,
		"/api/v1/pods?follow=true":                              false,
		"/api/v1/namespaces/a/pods/b/log?follow=0":              false,
		"/api/v1/namespaces/a/services/b/proxy/file?watch=true": false,
		"/api/v1/namespaces/a/services/b/proxy/log?follow=true": false,
		"/api/v1/namespaces/a/pods/b/proxy/api/v1/watch/pods?x": false,
	} {
		t.Run(path, func(t *testing.T) {
			b.link = b.linkTo(b.member.URL, &rest.Config{})
			answer := b.get(path)
			b.link.End(links.ErrRotated)
			if !whole {
				b.link.End(links.ErrMemberGone) // they would have a minute
			}
			_, err := io.ReadAll(answer.Body)
			if (err == nil) != whole {
				t.Errorf("the answer ended with %v; want a whole one: %v", err, whole)
			}
		})
	}
}

func TestAMemberThatDoesNotReadHoldsNobodyElse(t *testing.T) {
	b := newBench(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early": // answers, and does not read
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case "/deaf":
			<-r.Context().Done()
		}
	}))
	endless := func(path string) (*http.Response, error) {
		reader, writer := io.Pipe()
		go func() { // ends with reader
			for {
				if _, err := writer.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}()
		defer reader.Close()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.front.URL+prefix+path, reader)
		if err != nil {
			return nil, err
		}
		return (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	}
	if answer, err := endless("/early"); err != nil {
		t.Logf("a client that goes on sending: %v", err) // whether it sees the answer is its library's luck
	} else {
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("got %d", answer.StatusCode)
		}
	}
	deaf := make(chan int, 1)
	go func() { // ends with the link
		answer, err := endless("/deaf")
		if err != nil {
			deaf <- 0
			return
		}
		_ = answer.Body.Close()
		deaf <- answer.StatusCode
	}()
	if answer := b.get("/other"); answer.StatusCode != http.StatusOK {
		t.Errorf("another request: %d", answer.StatusCode)
	}
	b.link.End(links.ErrMemberGone)
	if code := <-deaf; code != 0 && code != http.StatusServiceUnavailable {
		t.Errorf("got %d", code)
	}
}

func TestAWatchThatNobodyReadsEndsWithItsMember(t *testing.T) {
	b := newBench(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 64<<10))
		}
	}))
	relay.SetUnreadFor(b.relay, time.Millisecond)
	ended := make(chan struct{})
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		b.serve(w, r)
	}))
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)
	answer, err := front.Client().Get(front.URL + prefix + "/api/v1/pods?watch=true")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() // not read
	b.link.End(links.ErrMemberGone)
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the watch goes on")
	}
}
