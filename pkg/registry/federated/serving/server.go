package serving

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emicklei/go-restful/v3"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kube-openapi/pkg/aggregator"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/openapi"
	"github.com/koinon-io/koinon/pkg/registry/federated/ownership"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
	"github.com/koinon-io/koinon/pkg/registry/federated/strategy"
	"github.com/koinon-io/koinon/pkg/registry/federated/targets"
	"github.com/koinon-io/koinon/pkg/registry/federated/wire"
)

// drainTimeout is how long requests for a kind that is no longer served may go on.
const drainTimeout = 60 * time.Second

// Discovery is where clients learn which kinds there are.
type Discovery interface {
	AddGroupVersion(group string, value apidiscoveryv2.APIVersionDiscovery)
}

// Config is what a Server needs of the API server that it is part of.
type Config struct {
	RESTOptions         generic.RESTOptionsGetter
	Admission           admission.Interface
	Authorizer          authorizer.Authorizer
	Equivalents         runtime.EquivalentResourceRegistry
	Discovery           Discovery
	MinRequestTimeout   time.Duration
	MaxRequestBodyBytes int64
	// Schemas of target kinds.
	Schemas targetschema.Source
	// SchemaProblem says in a sentence what is wrong with the schema of a target kind, "" for
	// nothing; nil says that there never is anything.
	SchemaProblem func(schema.GroupVersionKind) string
	// UncachedRESTOptions are RESTOptions without watch caches: for resources that are looked
	// at once.
	UncachedRESTOptions generic.RESTOptionsGetter
	// StoredResources are the resources of the group that have objects in the store, whether
	// they are served or not.
	StoredResources func(context.Context) ([]string, error)
	// Placement checks targets at admission; nil checks nothing.
	Placement strategy.PlacementChecker
	// OtherEngine says whether another engine than ours propagates; nil says no.
	OtherEngine func(context.Context) bool
	// Namespaces of the host; nil checks no labels of FederatedNamespaces.
	Namespaces strategy.HostNamespaces
	// Targets asks members for the objects of targets; nil refuses to.
	Targets *targets.Reader
}

// Server serves all federated kinds: everything below /apis/types.kubefed.io.
type Server struct {
	config Config
	types  *wire.Types
	codec  runtime.NegotiatedSerializer

	serving atomic.Pointer[generation]

	mu         sync.Mutex // guards registries and makes Serve calls take turns
	registries map[federated.Kind]*strategy.Storage
	draining   sync.WaitGroup
	stopped    chan struct{} // closed by stop
	stop       func()        // may be called again
}

// Settings are what a FederatedTypeConfig says of its kind besides what is served.
type Settings struct {
	// Annotations are the patterns of those that propagate.
	Annotations manifest.Patterns
	// Disabled: objects are not propagated.
	Disabled bool
}

// generation is one set of kinds and the handler that serves it.
type generation struct {
	kinds    []federated.Kind
	settings map[federated.Kind]Settings
	models   func() openapi.Models
	install  func(version schema.GroupVersion) (*restful.Container, []apidiscoveryv2.APIResourceDiscovery, error)
	v1beta2  *restful.Container                 // and discovery of the group
	v1beta1  func() (*restful.Container, error) // made at the first request
	requests sync.RWMutex                       // read-locked by every request but watches
}

// NewServer returns a server of no kinds: it answers 503 until Serve was called.
func NewServer(config Config) *Server {
	types := wire.NewTypes()
	stopped := make(chan struct{})
	return &Server{config: config, types: types, codec: wire.NewSerializer(types), registries: map[federated.Kind]*strategy.Storage{},
		stopped: stopped, stop: sync.OnceFunc(func() { close(stopped) })}
}

// Serve replaces the kinds that are served, and what else is said of them. Kinds that were served and still are keep their caches and watches.
// Objects of kinds that are dropped stay in the store.
func (s *Server) Serve(kinds []federated.Kind, settings map[federated.Kind]Settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	next := &generation{kinds: slices.Clone(kinds), settings: maps.Clone(settings)}
	next.models = s.loadModels(next.kinds)
	s.types.SetKinds(next.kinds)
	registries, err := s.updateRegistries(next)
	if err != nil {
		return err
	}
	if err := s.install(next, registries); err != nil {
		return err
	}
	last := s.serving.Swap(next)
	dropped := s.dropped(registries)
	s.registries = registries
	if last != nil && len(dropped) > 0 {
		s.drain(last, dropped)
	}
	return nil
}

// Kinds are the kinds that are served now, sorted by the name of their configuration.
func (s *Server) Kinds() []federated.Kind {
	if g := s.serving.Load(); g != nil {
		return slices.Clone(g.kinds)
	}
	return nil
}

// settings are those of a kind now.
func (s *Server) settings(kind federated.Kind) Settings {
	if g := s.serving.Load(); g != nil {
		return g.settings[kind]
	}
	return Settings{}
}

// loadModels returns a function that fetches the schemas of the target kinds at its
// first call: an idle server needs none.
func (s *Server) loadModels(kinds []federated.Kind) func() openapi.Models {
	return sync.OnceValue(func() openapi.Models { return openapi.NewModels(kinds, s.config.Schemas) })
}

func (s *Server) updateRegistries(next *generation) (map[federated.Kind]*strategy.Storage, error) {
	registries := make(map[federated.Kind]*strategy.Storage, len(next.kinds))
	for _, kind := range next.kinds {
		r, ok := s.registries[kind]
		if !ok {
			var err error
			if r, err = s.newRegistry(kind); err != nil {
				return nil, err
			}
		}
		registries[kind] = r
	}
	return registries, nil
}

func (s *Server) newRegistry(kind federated.Kind) (*strategy.Storage, error) {
	schemaNow := func() *targetschema.Target {
		if g := s.serving.Load(); g != nil {
			return g.models().Target(kind.Target)
		}
		return nil
	}
	return strategy.NewStorage(strategy.Config{
		Types: s.types, Kind: kind, Schema: schemaNow, Placement: s.config.Placement, Contents: s,
		Annotations: func() manifest.Patterns { return s.settings(kind).Annotations }, Disabled: func() bool { return s.settings(kind).Disabled },
		Authorizer: s.config.Authorizer, Namespaces: s.config.Namespaces, OtherEngine: s.config.OtherEngine,
	}, s.config.RESTOptions)
}

func (s *Server) dropped(registries map[federated.Kind]*strategy.Storage) []*strategy.Storage {
	var dropped []*strategy.Storage
	for kind, r := range s.registries {
		if registries[kind] != r {
			dropped = append(dropped, r)
		}
	}
	return dropped
}

// drain closes registries once the requests that may use them have ended, or had time
// to. Watches end by it.
func (s *Server) drain(last *generation, dropped []*strategy.Storage) {
	s.draining.Add(1)
	go func() { // ends with Destroy, and after drainTimeout at the latest
		defer s.draining.Done()
		idle := make(chan struct{})
		go func() { // ends with the last request, which has a time limit of its own
			defer close(idle)
			last.requests.Lock()
			last.requests.Unlock()
		}()
		select {
		case <-idle:
		case <-s.stopped:
		case <-time.After(drainTimeout):
		}
		for _, r := range dropped {
			r.Object.Destroy()
		}
	}()
}

// Destroy closes the storage of all kinds.
func (s *Server) Destroy() {
	s.stop()
	s.draining.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.registries {
		r.Object.Destroy()
	}
	s.registries = map[federated.Kind]*strategy.Storage{}
}

// install makes the handlers of a generation and announces it to discovery. Those of
// v1beta1 are made when somebody speaks it: the routes of ten kinds take some six MiB.
func (s *Server) install(g *generation, registries map[federated.Kind]*strategy.Storage) error {
	registerEquivalents(s.config.Equivalents, g.kinds)
	converter := ownership.NewConverter(s.types, g.models)
	g.install = func(version schema.GroupVersion) (*restful.Container, []apidiscoveryv2.APIResourceDiscovery, error) {
		container := s.newContainer()
		resources, err := s.installVersion(container, version, registries, converter, g.models)
		if err != nil {
			return nil, nil, fmt.Errorf("install %s: %w", version, err)
		}
		return container, resources, nil
	}
	g.v1beta1 = sync.OnceValues(func() (*restful.Container, error) {
		container, _, err := g.install(federated.V1beta1)
		return container, err
	})
	container, resources, err := g.install(federated.V1beta2)
	if err != nil {
		return err
	}
	g.v1beta2 = container
	group := metav1.APIGroup{Name: federated.GroupName}
	for _, version := range []schema.GroupVersion{federated.V1beta2, federated.V1beta1} {
		s.config.Discovery.AddGroupVersion(federated.GroupName, apidiscoveryv2.APIVersionDiscovery{
			Version: version.Version, Resources: inVersion(resources, version.Version), Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
		})
		group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: version.String(), Version: version.Version})
	}
	group.PreferredVersion = group.Versions[0]
	g.v1beta2.Add(discovery.NewAPIGroupHandler(s.codec, group).WebService())
	return nil
}

// inVersion returns the same resources in another version of the group.
func inVersion(resources []apidiscoveryv2.APIResourceDiscovery, version string) []apidiscoveryv2.APIResourceDiscovery {
	out := make([]apidiscoveryv2.APIResourceDiscovery, len(resources))
	move := func(kind *metav1.GroupVersionKind) *metav1.GroupVersionKind {
		if kind == nil || kind.Group != "" && kind.Group != federated.GroupName {
			return kind
		}
		moved := *kind
		if moved.Version != "" {
			moved.Version = version
		}
		return &moved
	}
	for i := range resources {
		out[i] = *resources[i].DeepCopy()
		out[i].ResponseKind = move(out[i].ResponseKind)
		for j := range out[i].Subresources {
			out[i].Subresources[j].ResponseKind = move(out[i].Subresources[j].ResponseKind)
		}
	}
	return out
}

func (s *Server) newContainer() *restful.Container {
	c := restful.NewContainer()
	c.ServeMux = http.NewServeMux()
	c.Router(restful.CurlyRouter{})
	c.ServiceErrorHandler(func(e restful.ServiceError, req *restful.Request, resp *restful.Response) {
		s.fail(resp, req.Request, s.routeError(e, req.Request))
	})
	return c
}

// routeError is the answer to a request that no route takes.
func (s *Server) routeError(e restful.ServiceError, req *http.Request) error {
	if e.Code != http.StatusUnsupportedMediaType {
		err := apierrors.NewGenericServerResponse(e.Code, "", schema.GroupResource{}, "", e.Message, 0, false)
		info, ok := genericapirequest.RequestInfoFrom(req.Context())
		if ok && e.Code == http.StatusMethodNotAllowed && info.Verb == "create" && info.Namespace == "" && info.Subresource == "" {
			err.ErrStatus.Message = fmt.Sprintf("%s are in namespaces: create them at /apis/%s/%s/namespaces/<namespace>/%[1]s", info.Resource, info.APIGroup, info.APIVersion)
		}
		return err
	}
	accepted := patchTypes
	if req.Method != http.MethodPatch {
		accepted = nil
		for _, info := range s.codec.SupportedMediaTypes() {
			accepted = append(accepted, info.MediaType)
		}
	}
	return negotiation.NewUnsupportedMediaTypeError(accepted)
}

// patchTypes are the kinds of patches that are taken: see dropStrategicMerge.
var patchTypes = []string{string(types.JSONPatchType), string(types.MergePatchType), string(types.ApplyYAMLPatchType)}

func (s *Server) installVersion(container *restful.Container, version schema.GroupVersion, registries map[federated.Kind]*strategy.Storage, converter *ownership.Converter, models func() openapi.Models) ([]apidiscoveryv2.APIResourceDiscovery, error) {
	storage := map[string]rest.Storage{}
	keeper := ownership.NewKeeper(converter, version)
	for kind, r := range registries {
		storage[kind.Resource] = ownedObject{r.Object, keeper}
		storage[kind.Resource+"/status"] = ownedStatus{r.Status, keeper}
		storage[kind.Resource+"/"+targets.Subresource] = s.config.Targets.REST(kind, r.Object)
		if targetschema.IsScalable(kind.Target, func() *targetschema.Target { return models().Target(kind.Target) }) {
			storage[kind.Resource+"/scale"] = r.Scale
		}
	}
	creater := &installCreater{Types: s.types}
	v := &endpoints.APIGroupVersion{
		Storage:                    storage,
		Root:                       "/apis",
		GroupVersion:               version,
		OptionsExternalVersion:     &schema.GroupVersion{Version: "v1"},
		Serializer:                 ownership.Serializer(s.codec),
		ParameterCodec:             s.types.ParameterCodec(),
		Typer:                      s.types,
		Creater:                    creater,
		Convertor:                  s.types,
		UnsafeConvertor:            converter, // of the field manager
		Defaulter:                  s.types,
		Namer:                      runtime.Namer(meta.NewAccessor()),
		TypeConverter:              converter,
		EquivalentResourceRegistry: s.config.Equivalents,
		Authorizer:                 s.config.Authorizer,
		Admit:                      keeper.Admission(withWords(s.config.Admission)),
		MinRequestTimeout:          s.config.MinRequestTimeout,
		MaxRequestBodyBytes:        s.config.MaxRequestBodyBytes,
	}
	resources, _, err := v.InstallREST(container)
	creater.installed = true
	dropStrategicMerge(container)
	describeTargets(container)
	return resources, err
}

// dropStrategicMerge takes a patch type away that the library offers for all: templates
// are bytes, which it cannot merge by strategy. As with custom resources, clients take
// JSON merge patches or apply instead, once they see that.
func dropStrategicMerge(container *restful.Container) {
	for _, ws := range container.RegisteredWebServices() {
		routes := ws.Routes()
		for i := range routes {
			routes[i].Consumes = slices.DeleteFunc(slices.Clone(routes[i].Consumes), func(mediaType string) bool {
				return mediaType == string(types.StrategicMergePatchType)
			})
		}
	}
}

// installCreater hands out samples that name their model while routes are made, and
// real objects after that. It is not written to once requests are served.
type installCreater struct {
	*wire.Types
	installed bool
}

// New makes an object of the kind, or a sample of it.
func (c *installCreater) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	if !c.installed && c.IsFederated(gvk) {
		return openapi.NewRouteSample(gvk), nil
	}
	return c.Types.New(gvk)
}

// ServeHTTP answers everything below /apis/types.kubefed.io.
func (s *Server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	g := s.serving.Load()
	if g == nil {
		w.Header().Set("Retry-After", "1")
		s.fail(w, req, apierrors.NewServiceUnavailable("the federated types are being loaded"))
		return
	}
	info, ok := genericapirequest.RequestInfoFrom(req.Context())
	if ok && targets.IsWatch(req, info) && s.watchTargets(w, req, info) {
		return
	}
	if !ok || info.Verb != "watch" {
		g.requests.RLock()
		defer g.requests.RUnlock()
	}
	container := g.v1beta2
	if strings.HasPrefix(req.URL.Path, "/apis/"+federated.V1beta1.String()) {
		var err error
		if container, err = g.v1beta1(); err != nil {
			s.fail(w, req, apierrors.NewServiceUnavailable(err.Error()))
			return
		}
	}
	if ok && !info.IsResourceRequest {
		w = &discoveryWriter{ResponseWriter: w}
	}
	ctx := strategy.ForRequest(req.Context(), req.URL.Query().Get("fieldValidation"))
	container.Dispatch(w, req.WithContext(ctx))
}

func (s *Server) fail(w http.ResponseWriter, req *http.Request, err error) {
	responsewriters.ErrorNegotiated(err, s.codec, schema.GroupVersion{}, w, req)
}

// Serves says whether Serve was called: only then are there documents.
func (s *Server) Serves() bool { return s.serving.Load() != nil }

// OpenAPIV3 returns the document of one version of the group, of the kinds that are served
// now. Nothing of what it is made of is kept.
func (s *Server) OpenAPIV3(version schema.GroupVersion) (*spec3.OpenAPI, error) {
	g := s.serving.Load()
	services, err := g.services(version)
	if err != nil {
		return nil, err
	}
	return openapi.NewModels(g.kinds, s.config.Schemas).DocumentV3(services)
}

// ScaleOpenAPIV3 returns the document of autoscaling/v1, see openapi.Models. It does not
// depend on the kinds that are served.
func (s *Server) ScaleOpenAPIV3() (*spec3.OpenAPI, error) {
	return openapi.NewModels(nil, s.config.Schemas).ScaleDocumentV3()
}

// OpenAPIV2 returns the document of the group with that of the rest of the server.
func (s *Server) OpenAPIV2(rest *spec.Swagger) (*spec.Swagger, error) {
	g := s.serving.Load()
	services, err := g.services(federated.V1beta1, federated.V1beta2)
	if err != nil {
		return nil, err
	}
	doc, err := openapi.NewModels(g.kinds, s.config.Schemas).DocumentV2(services)
	if err != nil {
		return nil, err
	}
	merged := cloneSwagger(rest)
	return merged, aggregator.MergeSpecsIgnorePathConflictRenamingDefinitionsAndParameters(merged, doc)
}

// services returns routes to describe, made anew: those that serve v1beta1 may not be
// there, and need not be kept for this.
func (g *generation) services(versions ...schema.GroupVersion) ([]*restful.WebService, error) {
	var out []*restful.WebService
	for _, version := range versions {
		container, _, err := g.install(version)
		if err != nil {
			return nil, err
		}
		out = append(out, container.RegisteredWebServices()...)
	}
	return out, nil
}

// cloneSwagger copies what merging writes to.
func cloneSwagger(s *spec.Swagger) *spec.Swagger {
	out := *s
	out.Definitions, out.Parameters = maps.Clone(s.Definitions), maps.Clone(s.Parameters)
	out.Paths = &spec.Paths{VendorExtensible: s.Paths.VendorExtensible, Paths: maps.Clone(s.Paths.Paths)}
	return &out
}
