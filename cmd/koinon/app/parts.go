package app

import (
	"context"
	"net/http"
	"os"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/edge/autonomy"
	"github.com/koinon-io/koinon/pkg/federation"
	"github.com/koinon-io/koinon/pkg/federation/cellaccess"
	"github.com/koinon-io/koinon/pkg/webhook"
)

// newFederation makes the controllers of the federation, which tell others of the endpoints of
// cells, and reach members through the tunnel, nil if there is none. Several servers over one store elect a leader.
func (o *ServerOptions) newFederation(api *rest.Config, cells *cellaccess.Endpoint, tunnel *tunnelPart, shared bool) (*federation.Manager, error) {
	api = rest.CopyConfig(api)
	api.UserAgent = "koinon-controllers"
	// Our kinds have no protobuf form.
	api.ContentType, api.AcceptContentTypes = runtime.ContentTypeJSON, ""
	return federation.New(federation.Config{
		RESTConfig:       api,
		Tunnel:           tunnel.through(),
		Namespace:        o.Namespace,
		OtherEngine:      !o.runs(componentControllers),
		FollowNative:     o.FollowNativeObjects || !o.aggregated(),
		CellEndpoint:     cells,
		ProfileNamespace: o.ProfileNamespace,
		LeaderElection:   shared,
		Identity:         identity(),
	})
}

// newFederationOf makes the controllers of a host.
func (o *ServerOptions) newFederationOf(host *rest.Config, tunnel *tunnelPart) (*federation.Manager, error) {
	cells, err := o.hostEndpoint(host)
	if err != nil {
		return nil, err
	}
	return o.newFederation(host, cells, tunnel, true)
}

// identity names this process among those that share a store.
func identity() string {
	hostname, _ := os.Hostname()
	return hostname + "_" + string(uuid.NewUUID())
}

// runFederation runs the controllers until ctx is done, beside a server that goes on
// without them.
func runFederation(ctx context.Context, manager *federation.Manager) {
	if err := manager.Run(ctx); err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Controllers of the federation ended; nothing is propagated until this server is started again")
	}
}

// newAutonomy makes what sees to pods of nodes of a host that are cut off; nil unless --components names it.
func (o *ServerOptions) newAutonomy(host *rest.Config) (*autonomy.Manager, error) {
	if !o.runs(componentAutonomy) {
		return nil, nil
	}
	host = rest.CopyConfig(host)
	host.UserAgent = "koinon-autonomy"
	return autonomy.New(autonomy.Config{RESTConfig: host, Namespace: o.Namespace, Identity: identity()})
}

// runAutonomy runs it until ctx is done, beside a server that goes on without it.
func runAutonomy(ctx context.Context, manager *autonomy.Manager) {
	if manager == nil {
		return
	}
	if err := manager.Run(ctx); err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Nobody sees to the autonomy of nodes until this server is started again")
	}
}

// newWebhook is the handler of conversion and admission for clusters that have our kinds as
// custom resources. It is nil unless --components names it.
func (o *ServerOptions) newWebhook() http.Handler {
	if !o.runs(componentWebhook) {
		return nil
	}
	return webhook.New(webhook.Config{})
}

// withWebhook answers the webhook's paths before the API server authenticates: an API
// server that calls a webhook presents no credentials, and the answers are functions of the
// request alone. The webhook has limits of its own.
func withWebhook(webhook, api http.Handler) http.Handler {
	if webhook == nil {
		return api
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/convert", "/validate", "/mutate":
			webhook.ServeHTTP(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	})
}

// alongside runs functions beside a server and waits for them when it has ended.
type alongside struct {
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// begin returns a context that ends with end.
func (a *alongside) begin(ctx context.Context) context.Context {
	ctx, a.cancel = context.WithCancel(ctx)
	return ctx
}

// end stops the functions and waits for them.
func (a *alongside) end() {
	a.cancel()
	a.running.Wait()
}
