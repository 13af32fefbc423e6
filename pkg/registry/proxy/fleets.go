package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/proxy/fleet"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// FleetREST serves fleets/proxy: all members at once. See package fleet.
type FleetREST struct{ connecter }

var _ rest.Connecter = &FleetREST{}

// FleetProxy returns the storage of fleets/proxy.
func (p *Proxies) FleetProxy() *FleetREST { return &FleetREST{connecter{p}} }

// Connect returns what asks all members of the caller's scope.
func (f *FleetREST) Connect(ctx context.Context, name string, _ runtime.Object, _ rest.Responder) (http.Handler, error) {
	caller, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := f.proxies.noCell(caller, "fleets", name); err != nil {
		return nil, err
	}
	if name != v1alpha1.FleetAll {
		return nil, apierrors.NewNotFound(v1alpha1.Resource("fleets"), name)
	}
	to, err := routeOf(ctx)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if relay.IsUpgrade(r.Header) {
			f.proxies.fail(w, r, apierrors.NewBadRequest("all members at once cannot be connected to: exec, attach and port-forward go through clusters/NAME/proxy"))
			return
		}
		leave, err := f.proxies.relay.EnterFleet(caller.GetName(), r.Method, to.path, to.rawQuery)
		if err != nil {
			f.proxies.fail(w, r, err)
			return
		}
		defer leave()
		relay.Sandbox(w.Header())
		inner := r.WithContext(r.Context())
		inner.URL = &url.URL{Path: unescaped(to.path), RawPath: to.path, RawQuery: to.rawQuery}
		f.proxies.fleet.ServeHTTP(w, inner)
	}), nil
}

// scopeOf implements fleet.Config.Members.
func (p *Proxies) scopeOf(r *http.Request) (fleet.Members, error) {
	caller, err := callerOf(r.Context())
	if err != nil {
		return nil, err
	}
	return &fleetScope{p, caller}, nil
}

// fleetScope are the members that a caller may ask.
type fleetScope struct {
	proxies *Proxies
	caller  user.Info
}

// authorizations is how many members an authorizer is asked about at once.
const authorizations = 16

// List implements fleet.Members.
func (s *fleetScope) List(ctx context.Context) ([]fleet.Member, error) {
	names, err := s.proxies.Links.Members(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	if names, err = s.allowed(ctx, names); err != nil {
		return nil, err
	}
	members := make([]fleet.Member, len(names))
	for i, name := range names {
		members[i] = fleet.Member{Name: name, Transport: &memberTransport{s, name}}
	}
	return members, nil
}

// allowed returns the members that the caller may ask for something: all, or those that his rights
// name.
func (s *fleetScope) allowed(ctx context.Context, names []string) ([]string, error) {
	all, err := s.mayGet(ctx, "")
	if all {
		return names, nil
	}
	if err != nil {
		return nil, err
	}
	may := make([]bool, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(authorizations)
	for i, name := range names {
		group.Go(func() (err error) {
			may[i], err = s.mayGet(ctx, name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var allowed []string
	for i, name := range names {
		if may[i] {
			allowed = append(allowed, name)
		}
	}
	return allowed, nil
}

// mayGet asks whether the caller may get from a member through clusters/proxy, any if name is empty.
func (s *fleetScope) mayGet(ctx context.Context, name string) (bool, error) {
	gv := v1alpha1.SchemeGroupVersion
	decision, _, err := s.proxies.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: s.caller, Verb: "get", ResourceRequest: true, APIGroup: gv.Group, APIVersion: gv.Version,
		Resource: "clusters", Subresource: Subresource, Name: name,
	})
	if decision == authorizer.DecisionAllow {
		return true, nil
	}
	if err != nil && decision == authorizer.DecisionNoOpinion {
		return false, apierrors.NewServiceUnavailable(fmt.Sprintf("who may ask which cluster is not known: %v", err))
	}
	return false, nil
}

const (
	// scopePause is the least time between two looks at a scope, and scopeAge the most: nobody tells
	// when rights change.
	scopePause, scopeAge = time.Second, time.Minute
)

// Watch implements fleet.Members.
func (s *fleetScope) Watch(ctx context.Context) <-chan struct{} {
	members, changed := s.proxies.Links.Watch(ctx), make(chan struct{}, 1)
	go func() { // ends with ctx
		for {
			select {
			case <-ctx.Done():
				return
			case <-members:
			case <-time.After(scopeAge):
			}
			select {
			case changed <- struct{}{}:
			default: // there is one that was not read
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(scopePause):
			}
		}
	}()
	return changed
}

// memberTransport finds the way to a member with each request, so that one without a way fails by
// itself.
type memberTransport struct {
	scope  *fleetScope
	member string
}

// RoundTrip implements http.RoundTripper.
func (t *memberTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	link, err := t.scope.proxies.Links.To(r.Context(), t.member)
	if err != nil {
		return nil, err
	}
	return relay.NewTransport(t.member, link, t.scope.caller).RoundTrip(r)
}
