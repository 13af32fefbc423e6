package host

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/admission"
	genericapifilters "k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericfeatures "k8s.io/apiserver/pkg/features"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/apiserver/pkg/util/notfoundhandler"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/featuregate"
	"k8s.io/klog/v2"
	aggregatorapiserver "k8s.io/kube-aggregator/pkg/apiserver"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
	"k8s.io/kubernetes/pkg/controlplane/apiserver/options"

	"github.com/koinon-io/koinon/pkg/openapi"
)

func init() {
	// The lease that names a server costs a synced write to disk every ten seconds, and
	// serves only the proxy between API servers of different versions.
	for _, feature := range []featuregate.Feature{genericfeatures.APIServerIdentity, genericfeatures.UnknownVersionInteroperabilityProxy} {
		utilruntime.Must(utilfeature.DefaultMutableFeatureGate.OverrideDefault(feature, false))
	}
}

// Host is an embedded host that is ready to run.
type Host struct {
	aggregator *aggregatorapiserver.APIAggregator
	// openAPI is how documents are made, of all servers in the chain.
	openAPI *openapicommon.OpenAPIV3Config
}

// configs are the configurations of the servers in the chain.
type configs struct {
	native        *controlplaneapiserver.Config
	apiExtensions *apiextensionsapiserver.Config
	aggregator    *aggregatorapiserver.Config
	// extension is nil when there is none.
	extension *genericapiserver.Config
	// reserved are the groups without custom resources.
	reserved reservedGroups
}

// New makes a host. It starts nothing that outlives an error. The context is that of the
// watchers of certificate files.
func New(ctx context.Context, config Config) (*Host, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	opts, err := completeOptions(ctx, config)
	if err != nil {
		return nil, err
	}
	chain, err := newConfigs(opts, config)
	if err != nil {
		return nil, err
	}
	if config.Front != nil {
		wrap(&chain.aggregator.GenericConfig.Config, config.Front)
	}
	aggregator, err := newChain(chain, config.Extension)
	if err != nil {
		return nil, err
	}
	if config.Administrators != "" {
		if err := addAdministrators(aggregator.GenericAPIServer, config.Administrators); err != nil {
			return nil, err
		}
	}
	if err := addClusterRoles(aggregator.GenericAPIServer, config.ClusterRoles); err != nil {
		return nil, err
	}
	if config.Controllers {
		if err := addControllers(aggregator.GenericAPIServer, config.Shared); err != nil {
			return nil, err
		}
	}
	return &Host{aggregator: aggregator, openAPI: chain.native.Generic.OpenAPIV3Config}, nil
}

// wrap puts front before the handlers of the outermost server.
func wrap(generic *genericapiserver.Config, front func(http.Handler) http.Handler) {
	build := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		return front(build(api, c))
	}
}

// LoopbackConfig is how this process talks to the host with all rights.
func (h *Host) LoopbackConfig() *rest.Config {
	return rest.CopyConfig(h.aggregator.GenericAPIServer.LoopbackClientConfig)
}

// Run serves until ctx is done, and returns when requests have been drained.
func (h *Host) Run(ctx context.Context) error {
	prepared, err := h.aggregator.PrepareRun()
	if err != nil {
		return fmt.Errorf("prepare the host: %w", err)
	}
	h.openAPI.Definitions = nil // routes are there; documents make them anew
	// Upstream's narration goes to its own logger, not to that of the caller.
	return prepared.Run(klog.NewContext(ctx, klog.Background()))
}

// newConfigs makes the configurations of the servers, which share one generic part.
func newConfigs(opts options.CompletedOptions, config Config) (*configs, error) {
	generic, informers, storageFactory, err := controlplaneapiserver.BuildGenericConfig(
		opts,
		[]*runtime.Scheme{legacyscheme.Scheme, apiextensionsapiserver.Scheme, aggregatorscheme.Scheme},
		servedResources(),
		servedDefinitions,
	)
	if err != nil {
		return nil, fmt.Errorf("configure the host: %w", err)
	}
	generic.Authorization.Authorizer = patient{generic.Authorization.Authorizer, rulesOf(informers)}
	if extension := config.Extension; extension != nil && extension.LongRunning != nil {
		known := generic.LongRunningFunc
		generic.LongRunningFunc = func(r *http.Request, info *request.RequestInfo) bool {
			return known(r, info) || extension.LongRunning(r, info)
		}
	}
	resolver := webhook.NewDefaultServiceResolver()
	native, initializers, err := controlplaneapiserver.CreateConfig(opts, generic, informers, storageFactory, resolver, nil)
	if err != nil {
		return nil, fmt.Errorf("configure the native resources: %w", err)
	}
	config.Storage.ApplyTo(native.Generic)
	reserved := newReservedGroups(config.Extension)
	native.Generic.AdmissionControl = admission.NewChainHandler(reserved, native.Generic.AdmissionControl, namespaceChanges{config.Extension})
	authInfo := webhook.NewDefaultAuthenticationInfoResolverWrapper(native.ProxyTransport, generic.EgressSelector, generic.LoopbackClientConfig, generic.TracerProvider)
	apiExtensions, err := controlplaneapiserver.CreateAPIExtensionsConfig(*native.Generic, informers, initializers, opts, 1, resolver, authInfo)
	if err != nil {
		return nil, fmt.Errorf("configure custom resources: %w", err)
	}
	apiExtensions.GenericConfig.RESTOptionsGetter = config.Storage.wrap(apiExtensions.GenericConfig.RESTOptionsGetter)
	apiExtensions.ExtraConfig.CRDRESTOptionsGetter = reserved.restOptions(config.Storage.wrap(apiExtensions.ExtraConfig.CRDRESTOptionsGetter))
	native.Generic.SkipOpenAPIInstallation = true // documents are made on demand, see newNative
	aggregator, err := controlplaneapiserver.CreateAggregatorConfig(*native.Generic, opts, informers, resolver, native.ProxyTransport, nil, initializers)
	if err != nil {
		return nil, fmt.Errorf("configure the aggregator: %w", err)
	}
	aggregator.GenericConfig.RESTOptionsGetter = config.Storage.wrap(aggregator.GenericConfig.RESTOptionsGetter)
	// It would wait for Services and EndpointSlices, which are not served here.
	aggregator.ExtraConfig.DisableRemoteAvailableConditionController = true

	all := &configs{native: native, apiExtensions: apiExtensions, aggregator: aggregator, reserved: reserved}
	if config.Extension != nil {
		if all.extension, err = extensionConfig(*native.Generic, opts, config.Extension); err != nil {
			return nil, err
		}
		all.extension.RESTOptionsGetter = config.Storage.wrap(all.extension.RESTOptionsGetter)
	}
	return all, nil
}

// extensionConfig is the generic configuration with storage options of its own and without
// hooks, which may be there once in a chain.
func extensionConfig(generic genericapiserver.Config, opts options.CompletedOptions, extension *Extension) (*genericapiserver.Config, error) {
	generic.PostStartHooks = map[string]genericapiserver.PostStartHookConfigEntry{}
	generic.RESTOptionsGetter = nil
	etcd := *opts.Etcd
	etcd.SkipHealthEndpoints = true
	etcd.DefaultStorageMediaType = runtime.ContentTypeJSON
	etcd.StorageConfig.Codec = extension.Codec
	etcd.StorageConfig.EncodeVersioner = schema.GroupVersions(slices.SortedFunc(maps.Keys(extension.GroupVersions), func(a, b schema.GroupVersion) int {
		return int(extension.GroupVersions[b].Version - extension.GroupVersions[a].Version)
	}))
	if err := etcd.ApplyTo(&generic); err != nil {
		return nil, fmt.Errorf("configure the storage of the extension: %w", err)
	}
	return &generic, nil
}

// newChain makes the servers from the innermost to the outermost.
func newChain(chain *configs, extension *Extension) (*aggregatorapiserver.APIAggregator, error) {
	notFound := notfoundhandler.New(chain.native.Generic.Serializer, genericapifilters.NoMuxAndDiscoveryIncompleteKey)
	apiExtensions, err := chain.apiExtensions.Complete().New(genericapiserver.NewEmptyDelegateWithCustomHandler(notFound))
	if err != nil {
		return nil, fmt.Errorf("make the server of custom resources: %w", err)
	}
	if err := addReservedCRDs(apiExtensions, chain.reserved); err != nil {
		return nil, err
	}
	delegate, err := newNative(chain.native, apiExtensions.GenericAPIServer)
	if err != nil {
		return nil, err
	}
	if extension != nil {
		if delegate, err = newExtension(extension, chain.extension, delegate); err != nil {
			return nil, err
		}
	}
	crds := apiExtensions.Informers.Apiextensions().V1().CustomResourceDefinitions()
	crdsEnabled := chain.apiExtensions.GenericConfig.MergedResourceConfig.ResourceEnabled(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions"))
	aggregator, err := controlplaneapiserver.CreateAggregatorServer(chain.aggregator.Complete(), delegate, crds, crdsEnabled, priorities(extension))
	if err != nil {
		return nil, fmt.Errorf("make the aggregator: %w", err)
	}
	return aggregator, nil
}

func newNative(config *controlplaneapiserver.Config, delegate genericapiserver.DelegationTarget) (genericapiserver.DelegationTarget, error) {
	completed := config.Complete()
	native, err := completed.New("koinon-host", delegate)
	if err != nil {
		return nil, fmt.Errorf("make the server of native resources: %w", err)
	}
	client, err := kubernetes.NewForConfig(config.Generic.LoopbackClientConfig)
	if err != nil {
		return nil, fmt.Errorf("make a client for the host itself: %w", err)
	}
	providers, err := completed.GenericStorageProviders(client.Discovery())
	if err != nil {
		return nil, fmt.Errorf("make the storage of native resources: %w", err)
	}
	if err := native.InstallAPIs(providers...); err != nil {
		return nil, fmt.Errorf("install native resources: %w", err)
	}
	openapi.Install(openapi.Config{
		Routes: native.GenericAPIServer.Handler.GoRestfulContainer,
		V2:     config.Generic.OpenAPIConfig, V3: config.Generic.OpenAPIV3Config,
	}, native.GenericAPIServer.Handler.NonGoRestfulMux)
	return native.GenericAPIServer, nil
}

func newExtension(extension *Extension, config *genericapiserver.Config, delegate genericapiserver.DelegationTarget) (genericapiserver.DelegationTarget, error) {
	server, err := extension.New(config, delegate)
	if err != nil {
		return nil, fmt.Errorf("make the extension: %w", err)
	}
	return &listedDelegate{DelegationTarget: server, groupVersions: extension.GroupVersions}, nil
}

// listedDelegate lists the paths of every group version of the extension, so that each gets
// an APIService even while it serves no resource.
type listedDelegate struct {
	genericapiserver.DelegationTarget
	groupVersions map[schema.GroupVersion]Priority
}

// ListedPaths implements genericapiserver.DelegationTarget.
func (d *listedDelegate) ListedPaths() []string {
	paths := d.DelegationTarget.ListedPaths()
	listed := make(map[string]bool, len(paths))
	for _, path := range paths {
		listed[path] = true
	}
	for gv := range d.groupVersions {
		if path := "/apis/" + gv.String(); !listed[path] {
			paths = append(paths, path)
		}
	}
	return paths
}

// priorities orders the groups of the host and of the extension in discovery.
func priorities(extension *Extension) map[schema.GroupVersion]controlplaneapiserver.APIServicePriority {
	all := maps.Clone(controlplaneapiserver.DefaultGenericAPIServicePriorities())
	if extension == nil {
		return all
	}
	for gv, priority := range extension.GroupVersions {
		all[gv] = controlplaneapiserver.APIServicePriority{Group: priority.Group, Version: priority.Version}
	}
	return all
}
