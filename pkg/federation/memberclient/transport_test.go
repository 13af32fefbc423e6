package memberclient

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestRedirectsOfMembersAreRefused(t *testing.T) {
	var reached atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, code := range []int{http.StatusFound, http.StatusTemporaryRedirect} {
		conn := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/internal?token", code)
		}))
		for name, call := range calls(conn) {
			var answer *AnswerError
			err := call(t.Context())
			if !errors.As(err, &answer) || !answer.Misdirected || !strings.Contains(Problem(err), elsewhere.URL) || strings.Contains(Problem(err), "token") {
				t.Errorf("%d, %s: got error %v, want one that says where the redirect leads", code, name, err)
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests were sent on", n)
	}
}

// flood answers without an end, and counts.
func flood(sent *atomic.Int64, head, repeated string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, err := io.WriteString(w, head)
		for chunk := bytes.Repeat([]byte(repeated), 64<<10); err == nil; {
			_, err = w.Write(chunk)
			sent.Add(int64(len(chunk)))
		}
	}
}

// bomb answers with little that is large once decompressed.
func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	zipped := gzip.NewWriter(w)
	_, _ = io.WriteString(zipped, `{"gitVersion":"v1`)
	for range 128 {
		_, _ = zipped.Write(bytes.Repeat([]byte("x"), 64<<10))
	}
	_, _ = io.WriteString(zipped, `"}`)
	_ = zipped.Close()
}

func TestAnswersOfMembersAreBounded(t *testing.T) {
	var sent atomic.Int64
	text := flood(&sent, `{"kind":"`, "x")
	for name, test := range map[string]struct {
		member *fakeMember
		call   string
	}{
		"/healthz without an end":              {&fakeMember{healthz: text}, "a check of health"},
		"/version without an end":              {&fakeMember{version: text}, "a check of health"},
		"/version that is large decompressed":  {&fakeMember{version: bomb}, "a check of health"},
		"discovery without an end":             {&fakeMember{discovery: text}, "discovery"},
		"the answer to a creation":             {&fakeMember{object: text}, "a creation"},
		"the answer to a get":                  {&fakeMember{object: text}, "a get"},
		"the answer to a namespace's creation": {&fakeMember{object: text}, "a namespace's creation"},
		"a key of a list":                      {&fakeMember{list: flood(&sent, `{"`, "x")}, "a list"},
		"the version of a list":                {&fakeMember{list: flood(&sent, `{"metadata":{"resourceVersion":"`, "x")}, "a list"},
		"an object of a list":                  {&fakeMember{list: flood(&sent, `{"items":[{"metadata":{"name":"`, "x")}, "a list"},
	} {
		t.Run(name, func(t *testing.T) {
			sent.Store(0)
			conn := serve(t, test.member)
			err := calls(conn)[test.call](t.Context())
			var answer *AnswerError
			if !errors.As(err, &answer) || !strings.HasSuffix(Problem(err), "is longer than 4 MiB, and is not read further") {
				t.Errorf("got error %v", err)
			}
			if n := sent.Load(); n > 32<<20 {
				t.Errorf("%d bytes were read", n)
			}
		})
	}
}

func TestWhatMembersSayIsCut(t *testing.T) {
	long := strings.Repeat("E", 2<<20)
	member := &fakeMember{version: say(map[string]string{"gitVersion": "v1." + long}), object: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		say(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Message: long, Reason: "Invalid", Code: 422})(w, r)
	}}
	conn := serve(t, member)
	healthy, version, err := conn.Health(t.Context())
	if err != nil || !healthy || len(version) > maxVersionBytes || !strings.HasPrefix(version, "v1.EEE") {
		t.Errorf("got healthy %v, version of %d bytes, error %v", healthy, len(version), err)
	}
	if problem := Problem(calls(conn)["a creation"](t.Context())); len(problem) > v1beta2.MaxMessageBytes || !strings.HasPrefix(problem, "EEE") {
		t.Errorf("got a problem of %d bytes", len(problem))
	}
}

func TestAnswersToAppliesThatNoAPIServerGivesAreRefused(t *testing.T) {
	for name, metadata := range map[string]map[string]any{
		"another name":           {"name": "z", "namespace": "ns"},
		"another namespace":      {"name": "a", "namespace": "other"},
		"a long resourceVersion": {"name": "a", "namespace": "ns", "resourceVersion": strings.Repeat("9", 100000)},
		"a long uid":             {"name": "a", "namespace": "ns", "uid": strings.Repeat("u", 100000)},
	} {
		t.Run(name, func(t *testing.T) {
			conn := serve(t, &fakeMember{object: say(map[string]any{"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata})})
			var answer *AnswerError
			if err := calls(conn)["a creation"](t.Context()); !errors.As(err, &answer) || len(err.Error()) > 256 {
				t.Errorf("got error %v, want one sentence", err)
			}
		})
	}
}

// TestEveryRequestHasADeadline: a member that answers a byte a second, or begins a watch
// and never speaks again, holds nobody for ever.
func TestEveryRequestHasADeadline(t *testing.T) {
	var seen sync.Map
	server := httptest.NewServer(&fakeMember{})
	t.Cleanup(server.Close)
	config := guarded(&rest.Config{Host: server.URL})
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			_, ok := r.Context().Deadline()
			seen.Store(fmt.Sprintf("%s %s watch=%s", r.Method, r.URL.Path, r.URL.Query().Get("watch")), ok)
			return next.RoundTrip(r)
		})
	})
	conn, err := NewConn(t.Context(), config, func(schema.GroupVersionResource, Event) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	for name, call := range calls(conn) {
		if name == "a check of health" {
			continue // the caller's
		}
		if err := call(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	seen.Range(func(request, ok any) bool {
		if !ok.(bool) {
			t.Errorf("%s has no deadline", request)
		}
		return true
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestEventsOfAnyNumberAreNotTooLong(t *testing.T) {
	event := `{"type":"ADDED","object":{"text":"}\"{[","list":[{},[]]}}` + "\n"
	stream := strings.Repeat(event, 2*maxAnswerBytes/len(event))
	body := &eventBody{ReadCloser: io.NopCloser(strings.NewReader(stream)), length: newLength("an event", maxAnswerBytes)}
	if n, err := io.Copy(io.Discard, body); err != nil || n != int64(len(stream)) {
		t.Errorf("read %d of %d bytes, error %v", n, len(stream), err)
	}
}
