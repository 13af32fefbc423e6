package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
)

var (
	pods    = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	metrics = schema.GroupVersionResource{Group: "metrics.k8s.io", Version: "v1", Resource: "pods"}
	alice   = &user.DefaultInfo{Name: "alice"}
	mallory = &user.DefaultInfo{Name: "mallory"}
)

// linkTo is the way to a member that answers with a handler.
func linkTo(t *testing.T, member http.Handler) *links.Link {
	t.Helper()
	server := httptest.NewUnstartedServer(member)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL, BearerToken: "of-the-federation"}
	config.Insecure = true
	link, err := links.NewLink("m1", config, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.End(links.ErrServerEnds) })
	return link
}

// oldDiscovery answers as members before aggregated discovery: pods, and the groups given.
func oldDiscovery(w http.ResponseWriter, r *http.Request, groups ...string) {
	var answer any
	switch path := r.URL.Path; path {
	case "/api":
		answer = metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
	case "/apis":
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList"}}
		for _, name := range groups {
			list.Groups = append(list.Groups, metav1.APIGroup{Name: name, Versions: []metav1.GroupVersionForDiscovery{{GroupVersion: name + "/v1", Version: "v1"}}})
		}
		answer = list
	default:
		answer = metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList"}, APIResources: []metav1.APIResource{{Name: "pods", Namespaced: true, Kind: "Pod"}, {Name: "nodes", Kind: "Node"}}}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func forbidden(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_ = json.NewEncoder(w).Encode(apierrors.NewForbidden(schema.GroupResource{}, "", nil).ErrStatus)
}

// scopeSoon asks for a type, and fails if that takes longer than a discovery may.
func scopeSoon(t *testing.T, s *scopes, ctx context.Context, link *links.Link, caller user.Info, resource schema.GroupVersionResource) (cellview.Scope, error) {
	t.Helper()
	of, done := s.of(ctx, link, caller), make(chan cellview.Scope, 1)
	go func() { done <- of.Scope(resource) }() // ends with the discovery
	select {
	case scope := <-done:
		return scope, of.err
	case <-time.After(2 * discoveryTimeout):
		t.Fatal("it is still asking")
		return 0, nil
	}
}

func TestWhoMayNotAskWhatAMemberServesSpoilsItForNobodyElse(t *testing.T) {
	var refused atomic.Int64
	link, s := linkTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Impersonate-User") == mallory.Name {
			refused.Add(1)
			forbidden(w)
			return
		}
		oldDiscovery(w, r)
	})), newScopes()
	for range 10 {
		if scope, err := scopeSoon(t, s, t.Context(), link, mallory, pods); scope != cellview.Unknown || !apierrors.IsForbidden(err) {
			t.Errorf("who may not ask got %v, %v", scope, err)
		}
	}
	if n := refused.Load(); n != 1 {
		t.Errorf("who may not ask asked %d times", n)
	}
	if scope, err := scopeSoon(t, s, t.Context(), link, alice, pods); scope != cellview.Namespaced || err != nil {
		t.Errorf("who may got %v, %v", scope, err)
	}
	if scope, err := scopeSoon(t, s, t.Context(), link, mallory, pods); scope != cellview.Namespaced || err != nil {
		t.Errorf("who may not ask got of what is known %v, %v", scope, err)
	}
}

func TestWhoGoesAwayWhileAMemberIsAskedSpoilsItForNobodyElse(t *testing.T) {
	asked, answer := make(chan bool), make(chan bool)
	var asks atomic.Int64
	link, s := linkTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asks.Add(1) == 1 {
			close(asked)
			<-answer
		}
		oldDiscovery(w, r)
	})), newScopes()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { // ends with leave
		of := s.of(ctx, link, mallory)
		of.Scope(pods)
		left <- of.err
	}()
	<-asked
	got := make(chan cellview.Scope, 50)
	for range cap(got) {
		go func() { got <- s.of(t.Context(), link, alice).Scope(pods) }() // ends with answer
	}
	leave()
	if err := <-left; !apierrors.IsServiceUnavailable(err) {
		t.Errorf("who left got %v", err)
	}
	close(answer)
	for range cap(got) {
		if scope := <-got; scope != cellview.Namespaced {
			t.Fatalf("who waited got %v", scope)
		}
	}
	if n := asks.Load(); n != 3 { // /api, /apis, /api/v1
		t.Errorf("the member was asked %d times", n)
	}
}

func TestGroupsThatAMemberDoesNotSayAreNotMissing(t *testing.T) {
	var away atomic.Bool
	link, s := linkTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() && r.URL.Path == "/apis/metrics.k8s.io/v1" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		oldDiscovery(w, r, "metrics.k8s.io")
	})), newScopes()
	away.Store(true)
	if scope, err := scopeSoon(t, s, t.Context(), link, alice, metrics); scope != cellview.Unknown || !apierrors.IsServiceUnavailable(err) {
		t.Errorf("before it was known: %v, %v", scope, err)
	}
	if scope, err := scopeSoon(t, s, t.Context(), link, alice, pods.GroupResource().WithVersion("v2")); scope != cellview.Unknown || err != nil {
		t.Errorf("a version that it does not serve: %v, %v", scope, err)
	}
	away.Store(false)
	s.again(link)
	if scope, err := scopeSoon(t, s, t.Context(), link, alice, metrics); scope != cellview.Namespaced || err != nil {
		t.Errorf("when it says it: %v, %v", scope, err)
	}
	away.Store(true)
	s.again(link)
	scopeSoon(t, s, t.Context(), link, alice, schema.GroupVersionResource{Version: "v1", Resource: "others"})
	if scope, err := scopeSoon(t, s, t.Context(), link, alice, metrics); scope != cellview.Namespaced || err != nil {
		t.Errorf("when it does not say it any more: %v, %v", scope, err)
	}
}

// again has what is known of a member be older than a type that is missing may be.
func (s *scopes) again(link *links.Link) {
	d := s.of(context.Background(), link, alice).discovered
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at, d.failed = d.at.Add(-2*scopesRetry), time.Time{}
}

func TestAMemberSaysWhatItServesWithinBounds(t *testing.T) {
	many := make([]string, 20_000)
	for i := range many {
		many[i] = fmt.Sprintf("g%d.example", i)
	}
	endless := strings.Repeat(" ", 1<<20)
	for name, member := range map[string]http.HandlerFunc{
		"it wants us to wait for a day": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"it has more groups than can be asked": func(w http.ResponseWriter, r *http.Request) { oldDiscovery(w, r, many...) },
		"it has groups that say much": func(w http.ResponseWriter, r *http.Request) {
			if strings.Count(r.URL.Path, "/") < 3 {
				oldDiscovery(w, r, many[:900]...)
				return
			}
			for range 6 {
				_, _ = io.WriteString(w, endless)
			}
			oldDiscovery(w, r)
		},
		"it says nothing": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"it talks without end": func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := io.WriteString(w, endless); err != nil {
					return
				}
			}
		},
		"it nests without end": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("[", 1<<20)) },
		"it leads elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/", http.StatusFound)
		},
		"it leads in circles": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			link, s := linkTo(t, member), newScopes()
			scope, err := scopeSoon(t, s, t.Context(), link, alice, schema.GroupVersionResource{Group: "no.such", Version: "v1", Resource: "types"})
			if scope != cellview.Unknown || name != "it has groups that say much" && !apierrors.IsServiceUnavailable(err) {
				t.Errorf("got %v, %v", scope, err)
			}
		})
	}
}

func TestWhatAMemberServesIsForgottenWithTheWayToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link, err := links.NewLink("m1", &rest.Config{Host: "https://127.0.0.1:1"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := newScopes()
		s.of(t.Context(), link, alice)
		link.End(links.ErrRotated)
		s.of(t.Context(), link, alice) // a request that had the way before
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.known) > 0 {
			t.Errorf("%d are still known", len(s.known))
		}
	})
}
