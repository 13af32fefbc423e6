package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/kube-openapi/pkg/cached"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/openapi"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/registry/federated/serving"
	"github.com/koinon-io/koinon/pkg/registry/federated/strategy"
	memberobjects "github.com/koinon-io/koinon/pkg/registry/federated/targets"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
	"github.com/koinon-io/koinon/pkg/registry/namespacebound"
	"github.com/koinon-io/koinon/pkg/registry/proxy"
	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
	"github.com/koinon-io/koinon/pkg/registry/seats"
	"github.com/koinon-io/koinon/pkg/registry/static"
	"github.com/koinon-io/koinon/pkg/registry/stranding"
)

// settleRetry is the time between attempts to claim the seats that are there already.
const settleRetry = 2 * time.Second

// Server is the federation layer's API server.
type Server struct {
	GenericAPIServer *genericapiserver.GenericAPIServer

	federated  *serving.Server
	controller *serving.Controller
	remote     *targetschema.Remote
	watch      *namespaceWatch
	seats      *seats.Book
	stranding  *stranding.Guard
	links      *links.Links
	cellTokens *cellTokens
	documents  *openapi.Documents

	kindsChanged func(served []federated.Kind) // may be nil
}

// New makes the server; it starts nothing. What is not the server's it passes on to
// delegate.
func (c CompletedConfig) New(delegate genericapiserver.DelegationTarget) (*Server, error) {
	generic, err := c.generic.New("koinon", delegate)
	if err != nil {
		return nil, fmt.Errorf("make the generic API server: %w", err)
	}
	generic.Handler.Director = proxy.Front(generic.Handler.Director) // for an API server that delegates to this one
	host, err := kubernetes.NewForConfig(c.extra.Host)
	if err != nil {
		return nil, fmt.Errorf("make a client of the host: %w", err)
	}
	s := &Server{GenericAPIServer: generic, kindsChanged: c.extra.KindsChanged}
	s.links, err = links.New(links.Config{API: c.generic.LoopbackClientConfig, Host: c.extra.Host, Namespace: c.extra.Namespace, Dial: c.extra.DialMember, Tunnel: c.extra.Tunnel})
	if err != nil {
		return nil, fmt.Errorf("make the ways to members: %w", err)
	}
	if s.cellTokens, err = newCellTokens(host, c.extra.Namespace); err != nil {
		return nil, err
	}
	s.watch, err = newNamespaceWatch(c.extra.Host, func(ctx context.Context, departure serving.Departure) error {
		return s.federated.DeleteLeftovers(ctx, departure)
	})
	if err != nil {
		return nil, err
	}
	binder, err := namespacebound.New(namespacebound.Config{
		Namespaces: s.watch, Authorizer: c.generic.Authorization.Authorizer, Exempt: c.extra.Namespace,
	})
	if err != nil {
		return nil, err
	}
	namespaces := hostNamespaces{host.CoreV1().Namespaces()}
	registry, err := static.New(static.Deps{
		Scheme:      Scheme,
		Codecs:      Codecs,
		RESTOptions: binder.RESTOptions(c.generic.RESTOptionsGetter),
		Namespace:   c.extra.Namespace,
		Namespaces:  namespaces,
		Authorizer:  c.generic.Authorization.Authorizer,
		Links:       s.links,
		Cells: func(registry *static.Registry) proxy.Cells {
			return cells{targets{registry, c.extra.Namespace, namespaces}, s.watch.tenantOf, s.cellTokens, func() federatedObjects { return s.federated }}
		},
		Agents:      c.extra.Agents,
		OtherEngine: c.extra.OtherEngine,
		Federated:   recordedObjects{func() *serving.Server { return s.federated }, binder},
		Log:         c.extra.Log,
		Stranding: func(registry *static.Registry) *stranding.Guard {
			return &stranding.Guard{Lookups: tenantTies{lookups{targets{registry, c.extra.Namespace, namespaces}, s.watch.tenantOf}, s}, SystemNamespace: c.extra.Namespace}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make the registries: %w", err)
	}
	s.seats, s.stranding = registry.Seats, registry.Stranding
	for _, group := range registry.Groups {
		group.NegotiatedSerializer = withoutProtobuf{group.NegotiatedSerializer}
	}
	if err := generic.InstallAPIGroups(registry.Groups...); err != nil {
		return nil, fmt.Errorf("install the static kinds: %w", err)
	}
	found := targets{registry, c.extra.Namespace, namespaces}
	reader, err := memberobjects.NewReader(memberobjects.Config{
		Members: ownWays{s.links}, Lookups: lookups{found, s.watch.tenantOf},
		Federation: federationName(registry.Configs, c.extra.Namespace), Longest: c.extra.LongestTargetWatch,
	})
	if err != nil {
		return nil, err
	}
	s.remote = targetschema.NewRemote(c.extra.Remote, func() { s.controller.Refresh() })
	s.federated = serving.NewServer(serving.Config{
		RESTOptions:         binder.RESTOptions(c.generic.RESTOptionsGetter),
		UncachedRESTOptions: binder.RESTOptions(uncached{c.generic.RESTOptionsGetter}),
		StoredResources: func(ctx context.Context) ([]string, error) {
			return c.extra.StoredResources(ctx, federated.GroupName)
		},
		Admission:           c.generic.AdmissionControl,
		Authorizer:          c.generic.Authorization.Authorizer,
		Equivalents:         generic.EquivalentResourceRegistry,
		Discovery:           generic.AggregatedDiscoveryGroupManager,
		MinRequestTimeout:   time.Duration(c.generic.MinRequestTimeout) * time.Second,
		MaxRequestBodyBytes: c.generic.MaxRequestBodyBytes,
		Schemas:             targetschema.FirstOf(c.extra.Builtin, s.remote),
		SchemaProblem:       s.remote.Problem,
		Placement:           strategy.NewPlacementChecker(found),
		Targets:             reader,
		Namespaces:          namespaces,
		OtherEngine:         c.extra.OtherEngine,
	})
	registry.Served.SetCounter(s.federated.Count)
	s.controller = serving.NewController(s.federated, typeConfigs{registry, c.extra.Namespace}, s.announce)
	generic.RegisterDestroyFunc(s.federated.Destroy)
	s.installFederated()
	s.documents = openapi.Install(openapi.Config{
		Routes: generic.Handler.GoRestfulContainer, V2: c.generic.OpenAPIConfig, V3: c.generic.OpenAPIV3Config,
		MoreV2: s.mergeDocument, MoreV3: s.addDocuments,
	}, generic.Handler.NonGoRestfulMux)
	return s, s.addHooks()
}

// installFederated makes the generic server pass on what the federated kinds answer.
func (s *Server) installFederated() {
	mux := s.GenericAPIServer.Handler.NonGoRestfulMux
	group := "/apis/" + federated.GroupName
	mux.Handle(group, s.federated)
	mux.UnlistedHandlePrefix(group+"/", s.federated)
	discovery := metav1.APIGroup{Name: federated.GroupName}
	for _, version := range []schema.GroupVersion{federated.V1beta2, federated.V1beta1} {
		mux.Handle(group+"/"+version.Version, s.federated)
		discovery.Versions = append(discovery.Versions, metav1.GroupVersionForDiscovery{GroupVersion: version.String(), Version: version.Version})
	}
	discovery.PreferredVersion = discovery.Versions[0]
	s.GenericAPIServer.DiscoveryGroupManager.AddGroup(discovery)
}

// addHooks starts the controllers with the server, and keeps it unready until the
// federated kinds are served.
func (s *Server) addHooks() error {
	err := s.GenericAPIServer.AddPostStartHook("koinon-federated-types", func(hook genericapiserver.PostStartHookContext) error {
		go s.controller.Run(hook)
		go s.watch.run(hook)
		go s.remote.Run(hook)
		go s.links.Run(hook)
		go s.cellTokens.run(hook)
		return nil
	})
	if err != nil {
		return err
	}
	err = s.GenericAPIServer.AddPostStartHook("koinon-seats", func(hook genericapiserver.PostStartHookContext) error {
		go s.settle(hook) // ends with the server, or when it is done
		return nil
	})
	if err != nil {
		return err
	}
	return s.GenericAPIServer.AddReadyzChecks(healthz.NamedCheck("koinon-federated-types-served", func(*http.Request) error {
		if !s.controller.HasSynced() {
			return errors.New("the federated types are being loaded")
		}
		return nil
	}))
}

// settle has the seats of stored cells and edge units claimed, so that the first one who
// creates another does not wait for it.
func (s *Server) settle(ctx context.Context) {
	attempts := 0
	_ = wait.PollUntilContextCancel(ctx, settleRetry, true, func(ctx context.Context) (bool, error) {
		err := s.seats.Settle(ctx)
		if attempts++; err != nil && ctx.Err() == nil && attempts > 2 { // caches may still be filling
			klog.FromContext(ctx).Error(err, "Failed to claim the namespaces of cells and edge units; it is tried again")
		}
		return err == nil, nil
	})
}

// announce tells of the kinds that are served now.
func (s *Server) announce() {
	s.documents.Changed()
	s.watch.again()
	if s.kindsChanged != nil {
		s.kindsChanged(s.federated.Kinds())
	}
}

// addDocuments adds the documents of the federated kinds that are served now.
// Before there are any it adds none: announce will tell.
func (s *Server) addDocuments(v3 *handler3.OpenAPIService) {
	if !s.federated.Serves() {
		return
	}
	for _, version := range []schema.GroupVersion{federated.V1beta1, federated.V1beta2} {
		addDocument(v3, version, func() (*spec3.OpenAPI, error) { return s.federated.OpenAPIV3(version) })
	}
	addDocument(v3, wire.ScaleKind.GroupVersion(), s.federated.ScaleOpenAPIV3)
}

// mergeDocument is addDocuments for v2, which has one document for all.
func (s *Server) mergeDocument(routes *spec.Swagger) (*spec.Swagger, error) {
	if !s.federated.Serves() {
		return routes, nil
	}
	return s.federated.OpenAPIV2(routes)
}

func addDocument(v3 *handler3.OpenAPIService, version schema.GroupVersion, makeDocument func() (*spec3.OpenAPI, error)) {
	v3.UpdateGroupVersionLazy("apis/"+version.String(), cached.Once(cached.Func(func() (*spec3.OpenAPI, string, error) {
		document, err := makeDocument()
		return document, "", err
	})))
}

// GroupVersions are all that the server serves, preferred versions first.
func GroupVersions() []schema.GroupVersion {
	versions := append(Scheme.PrioritizedVersionsAllGroups(), federated.V1beta2, federated.V1beta1)
	// The scheme knows the core group for its options only.
	return slices.DeleteFunc(versions, func(gv schema.GroupVersion) bool { return gv.Group == "" })
}
