package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// overEach runs a test with a client and a member that speak HTTP/1.1 or HTTP/2 each.
func overEach(t *testing.T, member http.HandlerFunc, test func(t *testing.T, b *bench)) {
	t.Helper()
	for _, client := range []bool{false, true} {
		for _, server := range []bool{false, true} {
			t.Run(fmt.Sprintf("the client speaks HTTP/2: %v, the member: %v", client, server), func(t *testing.T) {
				start := func(handler http.Handler, http2 bool) *httptest.Server {
					s := httptest.NewUnstartedServer(handler)
					s.EnableHTTP2 = http2
					s.StartTLS()
					t.Cleanup(s.Close)
					return s
				}
				b := &bench{T: t, member: start(member, server), caller: &user.DefaultInfo{Name: "alice"}, relay: relay.New(fail)}
				relay.SetUnsentFor(b.relay, 100*time.Millisecond)
				b.link = b.linkTo(b.member.URL, &rest.Config{})
				b.front = start(http.HandlerFunc(b.serve), client)
				test(t, b)
			})
		}
	}
}

// posted is what comes of a request.
type posted struct {
	*http.Response
	err error
}

// post begins a request with a body that the caller goes on to write, of no known length.
func (b *bench) post() (*io.PipeWriter, <-chan posted) {
	b.Helper()
	body, sends := io.Pipe()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, b.front.URL+prefix+"/api/v1/namespaces/a/services/b/proxy/", body)
	if err != nil {
		b.Fatal(err)
	}
	answers := make(chan posted, 1)
	go func() { // ends with the answer
		answer, err := b.front.Client().Do(request)
		answers <- posted{answer, err}
	}()
	b.Cleanup(func() { _ = sends.Close() })
	return sends, answers
}

// echo answers with what it is sent, at once.
func echo(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // of HTTP/2 it is always
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()
	piece := make([]byte, 1<<10)
	for {
		n, err := r.Body.Read(piece)
		_, _ = w.Write(piece[:n])
		_ = control.Flush()
		if err != nil {
			return
		}
	}
}

func TestARequestAndItsAnswerStreamBothWays(t *testing.T) {
	overEach(t, echo, func(t *testing.T, b *bench) {
		sends, answers := b.post()
		const rounds = 100
		wrote := make(chan error, 1)
		answer := <-answers
		if answer.err != nil {
			t.Fatal(answer.err)
		}
		defer answer.Body.Close()
		for i := range rounds { // each waits for the answer to the one before
			line := fmt.Sprintf("%03d\n", i)
			go func() {
				_, err := io.WriteString(sends, line)
				wrote <- err
			}()
			back := make([]byte, len(line))
			if _, err := io.ReadFull(answer.Body, back); err != nil || string(back) != line {
				t.Fatalf("sent %q, got %q, %v", line, back, err)
			}
			if err := <-wrote; err != nil {
				t.Fatal(err)
			}
		}
		_ = sends.Close()
		if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) > 0 {
			t.Errorf("after the end there is %q, %v", rest, err)
		}
	})
}

// Nothing of a request is lost where its answer begins before it has ended.
func TestARequestIsWholeAlthoughItsAnswerBeginsEarly(t *testing.T) {
	const lines = 80
	overEach(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		_ = control.Flush()
		body, err := io.ReadAll(r.Body)
		fmt.Fprintln(w, len(body), err)
	}, func(t *testing.T, b *bench) {
		sends, answers := b.post()
		go func() {
			for i := range lines {
				_, _ = fmt.Fprintf(sends, "%016383d\n", i)
			}
			_ = sends.Close()
		}()
		answer := <-answers
		if answer.err != nil {
			t.Fatal(answer.err)
		}
		defer answer.Body.Close()
		got, err := io.ReadAll(answer.Body)
		if want := fmt.Sprintln(lines*(16<<10), nil); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}

// A client that neither sends on nor leaves keeps no request to a member that is gone, and no server that ends.
func TestARequestThatIsNotAllSentEndsWithItsMember(t *testing.T) {
	reads := make(chan struct{}, 4)
	overEach(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, len("begin")))
		reads <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
	}, func(t *testing.T, b *bench) {
		sends, answers := b.post()
		if _, err := io.WriteString(sends, "begin"); err != nil {
			t.Fatal(err)
		}
		<-reads
		b.link.End(links.ErrMemberGone)
		select {
		case answer := <-answers:
			if answer.err != nil {
				t.Fatal(answer.err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("got %d", answer.StatusCode)
			}
		case <-time.After(20 * time.Second):
			t.Error("it goes on")
		}
	})
}

// A member may refuse a request before all of it has come. The client has the whole answer if it waits for that; if it goes on to
// send over HTTP/1.1, it is its library's luck whether it sees it before the connection ends.
func TestARefusalEndsARequestThatIsNotAllSent(t *testing.T) {
	const why = "there is no room for that"
	for name, sendsOn := range map[string]bool{"the client waits": false, "the client sends on": true} {
		t.Run(name, func(t *testing.T) {
			overEach(t, func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor == 1 {
					w.Header().Set("Connection", "close") // or the library's server waits for the rest
				}
				http.Error(w, why, http.StatusRequestEntityTooLarge)
			}, func(t *testing.T, b *bench) {
				sends, answers := b.post()
				if _, err := io.WriteString(sends, "begin"); err != nil {
					t.Fatal(err)
				}
				if sendsOn {
					go func() { // ends with the request
						for {
							if _, err := sends.Write(make([]byte, 64<<10)); err != nil {
								return
							}
						}
					}()
				}
				luck := sendsOn && !(b.front.EnableHTTP2 && b.member.EnableHTTP2)
				answer := <-answers
				if answer.err != nil {
					if !luck {
						t.Error(answer.err)
					}
					return
				}
				defer answer.Body.Close()
				got, err := io.ReadAll(answer.Body)
				if luck && (err != nil || answer.StatusCode == http.StatusServiceUnavailable) {
					return
				}
				if err != nil || strings.TrimSpace(string(got)) != why || answer.StatusCode != http.StatusRequestEntityTooLarge {
					t.Errorf("got %d %q, %v", answer.StatusCode, got, err)
				}
			})
		})
	}
}

// A client of HTTP/1.1 that waits has the end of a refusal, and not only its text, before it is known whether it sends the rest.
func TestARefusalOfNoKnownLengthEndsBeforeItsRequest(t *testing.T) {
	const piece, pieces = "there is no room for that\n", 200
	overEach(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // or the library's server waits for the rest
		}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		for range pieces {
			_, _ = io.WriteString(w, piece)
			_ = http.NewResponseController(w).Flush()
		}
	}, func(t *testing.T, b *bench) {
		relay.SetUnsentFor(b.relay, time.Hour)
		relay.SetRefusalFor(b.relay, time.Hour)
		sends, answers := b.post()
		if _, err := io.WriteString(sends, "begin"); err != nil {
			t.Fatal(err)
		}
		answer := <-answers
		if answer.err != nil {
			t.Fatal(answer.err)
		}
		defer answer.Body.Close()
		got, err := io.ReadAll(answer.Body)
		if err != nil || string(got) != strings.Repeat(piece, pieces) || answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("got %d, %d bytes, %v", answer.StatusCode, len(got), err)
		}
	})
}

// A refusal may be no end: a program behind a Service's proxy says so first, and goes on to talk. A client that sends on once it has
// seen that is not made to wait for a text that waits for it.
func TestARefusalThatWaitsForItsRequestIsPassedOn(t *testing.T) {
	const first = "not yet"
	overEach(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, first)
		_ = control.Flush()
		_, _ = io.Copy(w, r.Body)
	}, func(t *testing.T, b *bench) {
		if b.front.EnableHTTP2 || b.member.EnableHTTP2 {
			t.Skip("clients of HTTP/2 do not send on")
		}
		sends, answers := b.post()
		if _, err := io.WriteString(sends, "begin"); err != nil {
			t.Fatal(err)
		}
		select {
		case answer := <-answers:
			if answer.err != nil {
				t.Fatal(answer.err)
			}
			defer answer.Body.Close()
			if answer.ContentLength >= 0 {
				t.Errorf("its length is said to be %d", answer.ContentLength)
			}
			if _, err := io.WriteString(sends, " and end"); err != nil {
				t.Fatal(err)
			}
			_ = sends.Close()
			if got, err := io.ReadAll(answer.Body); err != nil || string(got) != first+"begin and end" {
				t.Errorf("got %q, %v", got, err)
			}
		case <-time.After(20 * time.Second):
			t.Error("there is no answer before the request has ended")
		}
	})
}
