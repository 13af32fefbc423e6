package app

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/callers"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
	"github.com/koinon-io/koinon/pkg/edgehub/writes"
)

// issuing is a hub whose kubelet has a token of a pod, with an API server that is away since.
func issuing(t *testing.T, uid, node string) (h *hub, token string, again func() (code int)) {
	t.Helper()
	claims := fmt.Sprintf(`{"exp":2000000000,"kubernetes.io":{"pod":{"uid":%q},"node":{"name":%q}}}`, uid, node)
	token = "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	h = asking(t, reviews{})
	h.node = "n1"
	var err error
	if h.cache, err = view.NewCache(nil); err != nil {
		t.Fatal(err)
	}
	away := false
	spec := fmt.Sprintf(`{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","spec":{"audiences":[],"boundObjectRef":{"kind":"Pod","name":"p","uid":%q}}`, uid)
	h.writes, err = writes.New(writes.Config{
		Node: h.node, Who: whoWrites, NodeObject: h.nodeObject, Knows: &knowledge{h.tokens, h.rights}, Send: h.send, Book: h.book, Logger: slog.New(slog.DiscardHandler),
		Away: func() bool { return away },
		Next: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			if away {
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(http.StatusCreated)
			fmt.Fprintf(rw, `%s,"status":{"token":%q,"expirationTimestamp":"2033-01-01T00:00:00Z"}}`, spec, token)
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	again = func() int {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/namespaces/ns/serviceaccounts/sa/token", strings.NewReader(spec+"}"))
		r.Header.Set("Content-Type", "application/json")
		rw := httptest.NewRecorder()
		h.writes.ServeHTTP(rw, r.WithContext(callers.With(t.Context(), &callers.Caller{Local: true})))
		return rw.Code
	}
	if code := again(); code != http.StatusCreated {
		t.Fatalf("a token is not issued: %d", code)
	}
	away = true
	return h, token, again
}

func TestTokensAreForgottenWhosePodsAreReallyGone(t *testing.T) {
	pod := func(uid string) string {
		return fmt.Sprintf(`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"ns","uid":%q,"resourceVersion":"5"}}`, uid)
	}
	for what, test := range map[string]struct {
		node   string   // where the token says that its pod is
		looks  []string // UIDs of the pod that there is, each for long; "" none, "?" unknown
		forgot bool
	}{
		"the pod is there":                       {"n1", []string{"1", "1"}, false},
		"it is gone":                             {"n1", []string{"1", "", ""}, true},
		"another one has its name":               {"n1", []string{"2", "2"}, true},
		"it has just not been there":             {"n1", []string{""}, false},
		"it was late":                            {"n1", []string{"", "1", "", "1"}, false},
		"it is not known which there are":        {"n1", []string{"?", "?", "?"}, false},
		"it was not there before that was known": {"n1", []string{"?", ""}, false},
		"older API servers do not say where":     {"", []string{"", ""}, true},
	} {
		h, token, again := issuing(t, "1", test.node)
		var before missing
		now := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
		pods := h.cache.View(podsKey(h.node))
		for _, uid := range test.looks {
			if uid != "?" {
				var all []*view.Object
				if uid != "" {
					o, err := pods.Parse([]byte(pod(uid)))
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, o)
				}
				pods.Replace(all, 10)
			}
			before = h.forgetTokens(before, now)
			now = now.Add(goneFor)
		}
		if _, known := h.tokens.Remembered(token); known == test.forgot {
			t.Errorf("%s: whose the token is is known: %t", what, known)
		}
		if code, want := again(), map[bool]int{true: http.StatusServiceUnavailable, false: http.StatusCreated}[test.forgot]; code != want {
			t.Errorf("%s: kubelet is answered %d", what, code)
		}
	}
	h, token, _ := issuing(t, "1", "n2")
	h.cache.View(podsKey(h.node)).Replace(nil, 10)
	before := h.forgetTokens(nil, time.Unix(0, 0))
	h.forgetTokens(before, time.Unix(0, 0).Add(goneFor))
	if _, known := h.tokens.Remembered(token); !known {
		t.Error("the token of a pod of another node is forgotten")
	}
}
