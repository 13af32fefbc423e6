package apiserver

import (
	"context"
	"errors"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/install"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	generatedopenapi "github.com/koinon-io/koinon/pkg/generated/openapi"
	"github.com/koinon-io/koinon/pkg/memberaccess"
	"github.com/koinon-io/koinon/pkg/registry/computed"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	targetschema "github.com/koinon-io/koinon/pkg/registry/federated/schema"
	memberobjects "github.com/koinon-io/koinon/pkg/registry/federated/targets"
	"github.com/koinon-io/koinon/pkg/registry/kubefedcluster"
	"github.com/koinon-io/koinon/pkg/registry/proxy"
	"github.com/koinon-io/koinon/pkg/registry/proxy/links"
)

// Scheme knows the static kinds; Codecs encode them.
var (
	Scheme = runtime.NewScheme()
	Codecs = serializer.NewCodecFactory(Scheme)
)

func init() {
	utilruntime.Must(install.Install(Scheme))
	metav1.AddToGroupVersion(Scheme, schema.GroupVersion{Version: "v1"})
}

// StorageCodec writes the static kinds as they are stored: JSON, each in its only or
// newest version.
func StorageCodec() runtime.Codec { return Codecs.LegacyCodec(install.GroupVersions()...) }

// Config is what the server is made of.
type Config struct {
	// Generic says how requests are authenticated, authorized, admitted, audited and
	// stored. Its OpenAPI is replaced.
	Generic *genericapiserver.Config
	Extra   ExtraConfig
}

// ExtraConfig is what the generic API server knows nothing of.
type ExtraConfig struct {
	// Namespace that holds KubeFedClusters and FederatedTypeConfigs. Default:
	// kube-federation-system.
	Namespace string
	// Builtin knows the schemas of Kubernetes' own kinds. Required.
	Builtin targetschema.Source
	// Remote are the API servers to ask for the schemas of other kinds. May be nil.
	Remote targetschema.APIServers
	// Host is how to reach the host, for the labels of its namespaces. Required.
	Host *rest.Config
	// StoredResources returns the resources of a group that have objects in the store, whether
	// they are served or not. Required.
	StoredResources func(ctx context.Context, group string) ([]string, error)
	// Log is the store, as far as what happens there has an order: for watches of what is computed from
	// federated objects. May be nil, which shows them what is stored alone.
	Log computed.Log
	// OtherEngine says whether another engine than ours propagates: masks and overrides by
	// selector are then warned about. May be nil, which says no.
	OtherEngine func(context.Context) bool
	// DialMember connects to members for the proxies. May be nil, which connects directly.
	DialMember links.Dialer
	// Tunnel connects to members through their agents: see memberaccess.Dialer. May be nil.
	Tunnel memberaccess.Tunnel
	// LongestTargetWatch is how long a watch of the targets of an object goes on at most; 0 leaves it
	// to that. A host in front of this server ends such a request after its own time for all requests.
	LongestTargetWatch time.Duration
	// Agents are what is connected to the tunnel. May be nil, if this server has none.
	Agents kubefedcluster.Agents
	// KindsChanged is called, if not nil, after the federated kinds may have changed. It
	// must not block.
	KindsChanged func(served []federated.Kind)
}

// CompletedConfig can only be made by Complete.
type CompletedConfig struct{ *completedConfig }

type completedConfig struct {
	generic genericapiserver.CompletedConfig
	extra   ExtraConfig
}

// Complete fills in what is left out. It returns an error if something required is
// missing.
func (c *Config) Complete() (CompletedConfig, error) {
	switch {
	case c.Generic == nil:
		return CompletedConfig{}, errors.New("the generic configuration is required")
	case c.Extra.Builtin == nil:
		return CompletedConfig{}, errors.New("the schemas of built-in kinds are required")
	case c.Extra.Host == nil:
		return CompletedConfig{}, errors.New("a client configuration for the host is required")
	case c.Extra.StoredResources == nil:
		return CompletedConfig{}, errors.New("the resources in the store are required")
	}
	extra := c.Extra
	if extra.Namespace == "" {
		extra.Namespace = corev1beta1.DefaultNamespace
	}
	if extra.Remote == nil {
		extra.Remote = func(context.Context) []rest.Interface { return nil }
	}
	namer := openapinamer.NewDefinitionNamer(Scheme)
	c.Generic.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(generatedopenapi.GetOpenAPIDefinitions, namer)
	c.Generic.OpenAPIConfig.Info.Title = "Koinon"
	c.Generic.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(generatedopenapi.GetOpenAPIDefinitions, namer)
	c.Generic.OpenAPIV3Config.Info.Title = "Koinon"
	c.Generic.SkipOpenAPIInstallation = true // documents are made on demand, see New
	c.Generic.Serializer = Codecs
	build := c.Generic.BuildHandlerChainFunc
	c.Generic.BuildHandlerChainFunc = func(api http.Handler, generic *genericapiserver.Config) http.Handler {
		return build(proxy.Front(api), generic)
	}
	known := c.Generic.LongRunningFunc
	c.Generic.LongRunningFunc = func(r *http.Request, info *request.RequestInfo) bool { return known(r, info) || LongRunning(r, info) }
	return CompletedConfig{&completedConfig{generic: c.Generic.Complete(nil), extra: extra}}, nil
}

// LongRunning picks the requests that go on for as long as somebody wants them to, beside watches:
// those to proxies, and watches of the targets of an object.
func LongRunning(r *http.Request, info *request.RequestInfo) bool {
	return info.IsResourceRequest && info.Subresource == proxy.Subresource || memberobjects.IsWatch(r, info)
}
