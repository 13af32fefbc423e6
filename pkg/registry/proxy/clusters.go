package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/registry/proxy/fleet"
	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/proxy/relay"
)

// Links are the ways to members; links.Links are some.
type Links interface {
	// To returns the way to a member, or an error of the API.
	To(ctx context.Context, member string) (*links.Link, error)
	// Members lists all members, and Watch says when there may be others, until ctx ends.
	Members(ctx context.Context) ([]string, error)
	Watch(ctx context.Context) <-chan struct{}
}

// Config is what the proxies work with. Every field is required.
type Config struct {
	Links      Links
	Cells      Cells
	Authorizer authorizer.Authorizer
	// Codecs encode errors.
	Codecs serializer.CodecFactory
}

// Proxies are the subresources.
type Proxies struct {
	Config
	relay  *relay.Relay
	scopes *scopes
	fleet  *fleet.Handler
	// stillThere is how often it is looked whether a cell is where it was.
	stillThere time.Duration
	// bodyTimeout is how long a body that is read whole may take.
	bodyTimeout time.Duration
}

// New makes them.
func New(config Config) (*Proxies, error) {
	if config.Links == nil || config.Cells == nil || config.Authorizer == nil {
		return nil, errors.New("proxy: links, cells and an authorizer are required")
	}
	p := &Proxies{Config: config, scopes: newScopes(), stillThere: stillThere, bodyTimeout: bodyTimeout}
	p.relay = relay.New(p.fail)
	var err error
	p.fleet, err = fleet.New(fleet.Config{Members: p.scopeOf, Via: v1alpha1.ClusterProxyPath("%s")})
	return p, err
}

// fail answers with an error of the API.
func (p *Proxies) fail(w http.ResponseWriter, r *http.Request, err error) {
	relay.Sandbox(w.Header())
	responsewriters.ErrorNegotiated(err, p.Codecs, schema.GroupVersion{Version: "v1"}, w, r)
}

// connecter is what all of them are to the API server.
type connecter struct{ proxies *Proxies }

// New implements rest.Storage.
func (connecter) New() runtime.Object { return &v1alpha1.ProxyOptions{} }

// Destroy does nothing: nothing is held.
func (connecter) Destroy() {}

// ConnectMethods are all that an API server answers.
func (connecter) ConnectMethods() []string {
	return []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}
}

// NewConnectOptions says that the path that follows is an option.
func (connecter) NewConnectOptions() (options runtime.Object, subpath bool, subpathKey string) {
	return &v1alpha1.ProxyOptions{}, true, "path"
}

// ClusterREST serves clusters/proxy.
type ClusterREST struct{ connecter }

var _ rest.Connecter = &ClusterREST{}

// ClusterProxy returns the storage of clusters/proxy.
func (p *Proxies) ClusterProxy() *ClusterREST { return &ClusterREST{connecter{p}} }

// Connect returns what carries the request on to the member.
func (c *ClusterREST) Connect(ctx context.Context, name string, _ runtime.Object, _ rest.Responder) (http.Handler, error) {
	caller, to, err := asked(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.proxies.noCell(caller, "clusters", name); err != nil {
		return nil, err
	}
	link, err := c.proxies.Links.To(ctx, name)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.proxies.mayUpgrade(r, caller); err != nil {
			c.proxies.fail(w, r, err)
			return
		}
		c.proxies.relay.Serve(w, r, relay.Request{
			Cluster: name, Link: link, Prefix: to.prefix, Path: to.path, RawQuery: to.rawQuery, Caller: caller,
		})
	}), nil
}

// asked returns who asks, and for what.
func asked(ctx context.Context) (user.Info, route, error) {
	caller, err := callerOf(ctx)
	if err != nil {
		return nil, route{}, err
	}
	to, err := routeOf(ctx)
	return caller, to, err
}

// callerOf returns who asks, or an error of the API if members cannot be told of him.
func callerOf(ctx context.Context) (user.Info, error) {
	caller, ok := request.UserFrom(ctx)
	if !ok || caller.GetName() == "" {
		return nil, apierrors.NewUnauthorized("members are reached as a user, and the request has none")
	}
	return caller, links.CheckCaller(caller)
}

// mayUpgrade has a connection that changes its protocol authorized as one that creates something:
// exec by WebSocket is a GET, and by SPDY a POST.
func (p *Proxies) mayUpgrade(r *http.Request, caller user.Info) error {
	info, ok := request.RequestInfoFrom(r.Context())
	if !ok || !relay.IsUpgrade(r.Header) || info.Verb == "create" {
		return nil
	}
	decision, reason, err := p.Authorizer.Authorize(r.Context(), authorizer.AttributesRecord{
		User: caller, Verb: "create", ResourceRequest: true, Path: info.Path,
		APIGroup: info.APIGroup, APIVersion: info.APIVersion, Resource: info.Resource, Subresource: info.Subresource,
		Namespace: info.Namespace, Name: info.Name,
	})
	if decision == authorizer.DecisionAllow {
		return nil
	}
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("ask who may connect to %s %q: %w", info.Resource, info.Name, err))
	}
	resource := schema.GroupResource{Group: info.APIGroup, Resource: info.Resource + "/" + info.Subresource}
	return apierrors.NewForbidden(resource, info.Name, fmt.Errorf("exec, attach and port-forward need the verb create: %s", reason))
}
