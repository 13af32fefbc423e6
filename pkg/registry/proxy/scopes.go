package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

const (
	// scopesAge is how long a member's discovery is believed, and scopesRetry how long a type that
	// it did not have is not asked for again.
	scopesAge, scopesRetry = 10 * time.Minute, 5 * time.Second
	// discoveryTimeout bounds it, and discoveryBytes one answer.
	discoveryTimeout = 10 * time.Second
	discoveryBytes   = 8 << 20
)

// scopes know which types of members have a namespace. They are kept by the way to a member, and
// go with it.
type scopes struct {
	mu    sync.Mutex
	known map[*links.Link]*discovered // guarded by mu
}

// discovered is what one member serves.
type discovered struct {
	mu sync.Mutex // guards what follows, and has one ask at a time
	at time.Time
	// failed is when it could not be asked, and err why.
	failed time.Time
	err    error
	types  map[schema.GroupVersionResource]cellview.Scope
}

func newScopes() *scopes { return &scopes{known: map[*links.Link]*discovered{}} }

// of returns what a member serves, for one request.
func (s *scopes) of(ctx context.Context, link *links.Link, caller user.Info) *scopesOf {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.known[link]
	if d == nil {
		d = &discovered{}
		s.known[link] = d
		context.AfterFunc(link.Replaced(), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.known, link)
		})
	}
	return &scopesOf{ctx: ctx, link: link, caller: caller, discovered: d}
}

// scopesOf are the scopes of one member, for one request. If it cannot be asked, err says so.
type scopesOf struct {
	ctx        context.Context // the request's
	link       *links.Link
	caller     user.Info
	discovered *discovered
	err        error
}

var _ cellview.Scopes = &scopesOf{}

// Scope implements cellview.Scopes.
func (s *scopesOf) Scope(resource schema.GroupVersionResource) cellview.Scope {
	d := s.discovered
	d.mu.Lock()
	defer d.mu.Unlock()
	scope, age := d.lookup(resource), time.Since(d.at)
	if age < scopesRetry || scope != cellview.Unknown && age < scopesAge {
		return scope
	}
	if time.Since(d.failed) >= scopesRetry { // those who waited for who asked do not ask again
		if d.types, d.err = s.again(d.types); d.err != nil {
			d.failed = time.Now()
		} else {
			d.at = time.Now()
		}
	}
	if scope = d.lookup(resource); scope == cellview.Unknown {
		s.err = d.err // what is known is believed as long as there is nothing newer
	}
	return scope
}

// again asks the member anew; what was known stays if that fails.
func (s *scopesOf) again(known map[schema.GroupVersionResource]cellview.Scope) (map[schema.GroupVersionResource]cellview.Scope, error) {
	types, err := discover(s.ctx, s.link, s.caller)
	if err != nil {
		return known, err
	}
	return types, nil
}

// lookup finds a type; an empty version is any. d.mu is held.
func (d *discovered) lookup(resource schema.GroupVersionResource) cellview.Scope {
	if resource.Version != "" {
		return d.types[resource]
	}
	for known, scope := range d.types {
		if known.GroupResource() == resource.GroupResource() {
			return scope
		}
	}
	return cellview.Unknown
}

// discover asks a member what it serves, as the caller.
func discover(ctx context.Context, link *links.Link, caller user.Info) (map[schema.GroupVersionResource]cellview.Scope, error) {
	ctx, cancel := context.WithTimeout(ctx, discoveryTimeout)
	defer cancel()
	transport := boundedTransport{ctx: ctx, next: relay.NewTransport(link.Member, link, caller)}
	client, err := discovery.NewDiscoveryClientForConfigAndClient(&rest.Config{Host: "https://member"}, &http.Client{Transport: transport})
	if err != nil {
		return nil, err
	}
	_, lists, err := client.ServerGroupsAndResources()
	if len(lists) == 0 && err != nil {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("cluster %q does not say what it serves: %v", link.Member, err))
	}
	types := map[schema.GroupVersionResource]cellview.Scope{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue // nobody can ask for it
		}
		for i := range list.APIResources {
			scope := cellview.ClusterScoped
			if list.APIResources[i].Namespaced {
				scope = cellview.Namespaced
			}
			types[gv.WithResource(list.APIResources[i].Name)] = scope
		}
	}
	return types, nil
}

// boundedTransport bounds time and answers of a client that knows no contexts.
type boundedTransport struct {
	ctx  context.Context
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(r.WithContext(t.ctx))
	if err != nil {
		return nil, err
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, discoveryBytes), answer.Body}
	return answer, nil
}
