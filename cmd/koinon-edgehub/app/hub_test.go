package app

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/callers"
	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/serving"
	"github.com/koinon-io/koinon/pkg/edgehub/store"
	"github.com/koinon-io/koinon/pkg/edgehub/upstream"
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
