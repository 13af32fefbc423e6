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
	// refused is when the member did not tell users what it serves, and how it said so.
	refused map[string]refusal
	// asking is closed when the member has been asked; nil if it is not.
	asking chan struct{}
}

type refusal struct {
	at  time.Time
	err error
}

// maxRefused bounds the users that are kept for what they may not ask.
const maxRefused = 1000

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
	for {
		known, asked, mine := s.discovered.scope(resource, s.caller.GetName())
		if asked == nil {
			if known.why != nil {
				s.err = known.why
			}
			return known.scope
		}
		if mine {
			go func() { // ends with discoveryTimeout: others wait for it, so it does not end with this request
				defer close(asked)
				s.discovered.ask(s.link, s.caller)
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

// answer is what is known of a type. If it is unknown, why says so; nil if the member does not serve it.
type answer struct {
	scope cellview.Scope
	why   error
}

// scope returns what is known of a type; or, if the member has to be asked first, what is closed when
// it was, and whether that is left to the caller of scope.
func (d *discovered) scope(resource schema.GroupVersionResource, user string) (known answer, asked chan struct{}, mine bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, scope := time.Now(), d.types.scope(resource)
	var why error
	switch age := now.Sub(d.at); {
	case scope != cellview.Unknown && age < scopesAge:
	case age < scopesRetry:
		why = d.types.away(resource)
	case now.Sub(d.failed) < scopesRetry:
		why = d.err
	case now.Sub(d.refused[user].at) < scopesRetry:
		why = d.refused[user].err
	case d.asking != nil:
		return answer{}, d.asking, false
	default:
		d.asking = make(chan struct{})
		return answer{}, d.asking, true
	}
	if scope != cellview.Unknown {
		why = nil // what is known is believed as long as there is nothing newer
	}
	return answer{scope, why}, nil, false
}

// ask asks the member. That it refuses one caller is his matter; anything else is known to all.
func (d *discovered) ask(link *links.Link, caller user.Info) {
	ctx, cancel := context.WithTimeout(link.Dead(), discoveryTimeout)
	defer cancel()
	types, err := discover(ctx, link, caller)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asking = nil
	switch {
	case apierrors.IsForbidden(err):
		if d.refused == nil || len(d.refused) >= maxRefused {
			d.refused = map[string]refusal{}
		}
		d.refused[caller.GetName()] = refusal{time.Now(), err}
	case err != nil:
		d.failed, d.err = time.Now(), err
	default:
		d.at, d.types = time.Now(), types.orAsBefore(d.types)
	}
}
