package app

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/callers"
	"github.com/koinon-io/koinon/pkg/edgehub/feed"
	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/serving"
	"github.com/koinon-io/koinon/pkg/edgehub/store"
	"github.com/koinon-io/koinon/pkg/edgehub/upstream"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

type noDisk struct{}

func (noDisk) Apply(...store.Change) error { return nil }

// reviews answers whose every token is, and whether he may; of what is not said it cannot be asked.
type reviews struct{ whose, may string }

func (r reviews) RoundTrip(request *http.Request) (*http.Response, error) {
	asked, _ := io.ReadAll(request.Body)
	var answer any
	switch {
	case strings.HasSuffix(request.URL.Path, "/tokenreviews") && r.whose != "":
		answer = authenticationv1.TokenReview{Status: authenticationv1.TokenReviewStatus{Authenticated: r.whose != "nobody", User: authenticationv1.UserInfo{Username: r.whose}}}
	case strings.HasSuffix(request.URL.Path, "/subjectaccessreviews") && r.may != "":
		var review authorizationv1.SubjectAccessReview
		_ = json.Unmarshal(asked, &review)
		review.Status.Allowed = r.may == review.Spec.User
		answer = review
	default:
		return nil, errors.New("the link is cut")
	}
	text, _ := json.Marshal(answer)
	return &http.Response{StatusCode: http.StatusCreated, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(text))}, nil
}

// asking is a hub that knows nothing of callers, and asks.
func asking(t *testing.T, says http.RoundTripper) *hub {
	t.Helper()
	var h hub
	var errs [3]error
	h.upstream, errs[0] = upstream.New(upstream.Config{Servers: []upstream.Server{{URL: "https://nowhere"}}, CAs: func() (*x509.CertPool, error) { return x509.NewCertPool(), nil }})
	h.book = notes.NewBook(noDisk{}, nil)
	h.tokens, errs[1] = callers.NewTokens(h.book, doer{says}, h.away)
	h.rights, errs[2] = callers.NewRights(h.book, doer{says}, h.away)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return &h
}

func TestAWatchGoesOnUnlessTheAPIServerSaysThatItMayNot(t *testing.T) {
	anna := &callers.Caller{User: authenticationv1.UserInfo{Username: "anna"}, Token: "a"}
	for what, test := range map[string]struct {
		as   *callers.Caller
		says reviews
		ends bool
	}{
		"he may":                       {anna, reviews{"anna", "anna"}, false},
		"he may not any more":          {anna, reviews{"anna", "nobody"}, true},
		"his token is nobody's":        {anna, reviews{"nobody", "anna"}, true},
		"his token is another's":       {anna, reviews{"bert", "anna"}, true},
		"nobody says whose it is":      {anna, reviews{"", "nobody"}, false},
		"nobody says what he may":      {anna, reviews{"anna", ""}, false},
		"programs of the node are not": {&callers.Caller{Local: true}, reviews{"nobody", "nobody"}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/pods?watch=true", nil)
		err := asking(t, test.says).still(r.WithContext(callers.With(r.Context(), test.as)), serving.Read{Verb: "watch", Version: "v1", Resource: "pods"})
		if (err != nil) != test.ends {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

// each is an API server that tells each who asks of one object, which is named after him, and of nothing more; until it is cut.
type each struct{ cut atomic.Bool }

// as answers who has a token.
func (e *each) as(token string) callers.Doer {
	return doer{roundTripper(func(r *http.Request) (*http.Response, error) {
		if e.cut.Load() {
			return nil, errors.New("the link is cut")
		}
		const meta = `"apiVersion":"g/v1","kind":"Thing","metadata":{`
		events := fmt.Sprintf(`{"type":"ADDED","object":{%s"name":%q,"resourceVersion":"5"}}}{"type":"BOOKMARK","object":{%s"resourceVersion":"5","annotations":{"k8s.io/initial-events-end":"true"}}}}`, meta, token, meta)
		events = strings.ReplaceAll(events, "g/v1", strings.Split(strings.TrimPrefix(r.URL.Path, "/apis/"), "/v1/")[0]+"/v1")
		rest, more := io.Pipe()
		context.AfterFunc(r.Context(), func() { _ = more.CloseWithError(r.Context().Err()) })
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(io.MultiReader(strings.NewReader(events), rest))}, nil
	})}
}

// OpenShift's projects are so: who may list them is shown his own.
func TestWhatAnAPITellsOneIsNotToldAnother(t *testing.T) {
	h := asking(t, reviews{})
	var err error
	if h.cache, err = view.NewCache(nil); err != nil {
		t.Fatal(err)
	}
	var api each
	askers := callers.NewAskers[view.Key](api.as("node"), api.as, h.tokens)
	pool, err := feed.NewPool(feed.PoolConfig{Cache: h.cache, Disk: noDisk{}, Logger: slog.New(slog.DiscardHandler), Ended: askers.Forget, Asker: func(key view.Key, r *http.Request) feed.Asker {
		c := callers.From(r.Context())
		return feed.Asker{Client: askers.Add(key, c), Owner: c.User.Username}
	}})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := serving.New(serving.Config{Views: pool, Owner: owner, Logger: slog.New(slog.DiscardHandler), Upstream: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusServiceUnavailable)
	})})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { pool.Run(ctx) }) // ends with cancel
	defer running.Wait()
	defer cancel()
	read := func(who, path, want string) {
		t.Helper()
		c := &callers.Caller{Local: who == "node", User: authenticationv1.UserInfo{Username: who}, Token: who}
		if !c.Local {
			h.tokens.Issued(who, c.User)
		}
		rw := httptest.NewRecorder()
		handler.ServeHTTP(rw, httptest.NewRequestWithContext(callers.With(t.Context(), c), http.MethodGet, path, nil))
		var list struct {
			Items []struct{ Metadata struct{ Name string } }
		}
		_ = json.Unmarshal(rw.Body.Bytes(), &list)
		got := fmt.Sprint(rw.Code)
		for _, item := range list.Items {
			got += " " + item.Metadata.Name
		}
		if got != want {
			t.Errorf("%s, %s: got %s, want %s", who, path, got, want)
		}
	}
	const projects, deployments = "/apis/project.openshift.io/v1/projects", "/apis/apps/v1/deployments"
	for _, who := range []string{"anna", "bert", "node"} {
		read(who, projects, "200 "+who)
		read(who, deployments, "200 anna") // which is the same for all
	}
	api.cut.Store(true)
	pool.Wake()
	for _, who := range []string{"anna", "bert", "node"} {
		read(who, projects+"?resourceVersion=0", "200 "+who)
	}
	read("bert", projects+"?resourceVersion=0&fieldSelector=metadata.name%3Danna", "200")
	read("carl", projects+"?resourceVersion=0", "503")
}
