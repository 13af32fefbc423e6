package proxy

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/koinon-io/koinon/pkg/registry/proxy/cellview"
	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
)

// scopesAge is how long a member's discovery is believed, and scopesRetry how long a type that it did
// not have is not asked for again.
const scopesAge, scopesRetry = 10 * time.Minute, 5 * time.Second

// scopes know which types of members have a namespace. They are kept by the way to a member, and
// go with it.
type scopes struct {
	mu    sync.Mutex
	known map[*links.Link]*discovered // guarded by mu
}

// discovered is what one member serves. Requests that need to know more wait for one that asks.
type discovered struct {
	mu    sync.Mutex // guards what follows
	at    time.Time
	types served
	// failed is when it could not be asked, and err why.
	failed time.Time
	err    error
	// asking is closed when the member has been asked; nil if it is not.
	asking chan struct{}
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
	var refused error // of this caller
	for {
		scope, asked, mine := s.discovered.scope(resource, refused == nil)
		if asked == nil {
			if scope == cellview.Unknown { // what is known is believed as long as there is nothing newer
				s.err = s.discovered.why(resource, refused)
			}
			return scope
		}
		if mine {
			go func() { // ends with discoveryTimeout: others wait for it, so it does not end with this request
				refused = s.discovered.ask(s.link, s.caller)
				close(asked)
			}()
		}
		select {
		case <-asked:
		case <-s.ctx.Done():
			s.err = apierrors.NewServiceUnavailable(fmt.Sprintf("cluster %q: the request was ended", s.link.Member))
			return cellview.Unknown
		}
	}
}

// scope returns what is known of a type; or, if the member has to be asked first, what is closed when
// it was, and whether that is left to the caller of scope.
func (d *discovered) scope(resource schema.GroupVersionResource, mayAsk bool) (scope cellview.Scope, asked chan struct{}, mine bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	scope = d.types.scope(resource)
	age := time.Since(d.at)
	switch {
	case age < scopesRetry, scope != cellview.Unknown && age < scopesAge, !mayAsk, time.Since(d.failed) < scopesRetry:
		return scope, nil, false
	case d.asking != nil:
		return scope, d.asking, false
	}
	d.asking = make(chan struct{})
	return scope, d.asking, true
}

// why is why a type is not known; nil if the member does not serve it.
func (d *discovered) why(resource schema.GroupVersionResource, refused error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case refused != nil:
		return refused
	case d.err != nil:
		return d.err
	}
	return d.types.away(resource)
}

// ask asks the member. That it refuses one caller is his matter and is returned; anything else is
// known to all.
func (d *discovered) ask(link *links.Link, caller user.Info) (refused error) {
	ctx, cancel := context.WithTimeout(link.Dead(), discoveryTimeout)
	defer cancel()
	types, err := discover(ctx, link, caller)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asking = nil
	switch {
	case apierrors.IsForbidden(err):
		return err
	case err != nil:
		d.failed, d.err = time.Now(), err
	default:
		d.at, d.err, d.types = time.Now(), nil, types.orAsBefore(d.types)
	}
	return nil
}
