package app

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/apiserver"
	"github.com/koinon-io/koinon/pkg/pki"
	"github.com/koinon-io/koinon/pkg/storage"
)

// hostStreams is how many requests the host may have open in one connection. Its
// aggregator sends everything through one, and every watch is a request.
const hostStreams = 10000

// aggregated is a server behind the aggregator of an existing host.
type aggregated struct {
	options  *ServerOptions
	dir      *dataDir
	listener net.Listener
	store    *storage.Store
	host     *rest.Config
}

// run serves until ctx is done, and calls ready once.
func (a *aggregated) run(ctx context.Context, ready func(url, note string)) error {
	keys, err := pki.Ensure(pki.Config{Dir: a.dir.file("pki"), Hosts: a.certificateHosts()})
	if err != nil {
		return err
	}
	server, err := a.newServer(ctx, keys)
	if err != nil {
		return err
	}
	federation, err := a.options.newFederation(a.host, true)
	if err != nil {
		return err
	}

	var beside alongside
	ctx = beside.begin(ctx)
	defer beside.end()
	beside.running.Go(func() { keys.Run(ctx) })
	beside.running.Go(func() {
		if waitReady(ctx, server.LoopbackClientConfig) == nil {
			ready(a.options.url(a.listener), "behind the host "+a.host.Host)
		}
	})
	if a.options.runs(componentControllers) {
		beside.running.Go(func() { runFederation(ctx, federation) })
	}
	return server.PrepareRun().RunWithContext(klog.NewContext(ctx, klog.Background()))
}

// certificateHosts are the names by which the host's aggregator calls the server: those of
// the Service that its APIServices name.
func (a *aggregated) certificateHosts() []string {
	service := "koinon." + a.options.Namespace + ".svc"
	return append(a.options.certificateHosts(), service, service+".cluster.local")
}

func (a *aggregated) newServer(ctx context.Context, keys *pki.PKI) (*genericapiserver.GenericAPIServer, error) {
	generic, hostInformers, err := a.genericConfig(ctx, keys)
	if err != nil {
		return nil, err
	}
	server, err := a.options.newFederationAPI(generic, a.host, genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	err = server.AddPostStartHook("koinon-host-informers", func(hook genericapiserver.PostStartHookContext) error {
		hostInformers.Start(hook.Done())
		return nil
	})
	return server, err
}

// genericConfig applies every option to a configuration in which the host authenticates,
// authorizes and says which admission policies hold.
func (a *aggregated) genericConfig(ctx context.Context, keys *pki.PKI) (*genericapiserver.Config, informers.SharedInformerFactory, error) {
	client, err := kubernetes.NewForConfig(a.host)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client of the host: %w", err)
	}
	dynamicClient, err := dynamic.NewForConfig(a.host)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client of the host: %w", err)
	}
	encryption, err := a.options.encryptionConfig(ctx, a.dir, a.store)
	if err != nil {
		return nil, nil, err
	}
	hostInformers := informers.NewSharedInformerFactory(client, 0)
	generic := genericapiserver.NewConfig(apiserver.Codecs)
	hook := a.options.newWebhook()
	generic.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		return withWebhook(hook, genericapiserver.DefaultBuildHandlerChain(api, c))
	}

	authentication := genericoptions.NewDelegatingAuthenticationOptions()
	authentication.RemoteKubeConfigFile = a.options.HostKubeconfig
	authorization := genericoptions.NewDelegatingAuthorizationOptions()
	authorization.RemoteKubeConfigFile = a.options.HostKubeconfig
	for _, apply := range []func() error{
		func() error { return a.options.Generic.ApplyTo(generic) },
		func() error { return a.servingOptions(keys).ApplyToConfig(generic) },
		func() error { return a.etcdOptions(encryption).ApplyTo(generic) },
		func() error {
			return authentication.ApplyTo(&generic.Authentication, generic.SecureServing, nil)
		},
		func() error { return authorization.ApplyTo(&generic.Authorization) },
		func() error { return a.options.Audit.ApplyTo(generic) },
		func() error { return a.options.Traces.ApplyTo(nil, generic) },
		func() error { return a.options.Features.ApplyTo(generic, client, hostInformers) },
		func() error {
			return genericoptions.NewAdmissionOptions().ApplyTo(generic, hostInformers, client, dynamicClient, utilfeature.DefaultFeatureGate, generic.EffectiveVersion)
		},
	} {
		if err := apply(); err != nil {
			return nil, nil, fmt.Errorf("configure the API server behind %s: %w", a.host.Host, err)
		}
	}
	return generic, hostInformers, nil
}

func (a *aggregated) servingOptions(keys *pki.PKI) *genericoptions.SecureServingOptionsWithLoopback {
	serving := genericoptions.NewSecureServingOptions()
	serving.Listener = a.listener
	serving.HTTP2MaxStreamsPerConnection = hostStreams
	serving.ServerCert.CertKey = genericoptions.CertKey{CertFile: keys.ServingFile(), KeyFile: keys.ServingFile()}
	return serving.WithLoopback()
}

func (a *aggregated) etcdOptions(encryption string) *genericoptions.EtcdOptions {
	etcd := genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig("/registry", apiserver.StorageCodec()))
	etcd.StorageConfig.Transport = a.store.Transport()
	etcd.StorageConfig.EncodeVersioner = schema.GroupVersions(apiserver.GroupVersions())
	etcd.EncryptionProviderConfigFilepath = encryption
	etcd.EncryptionProviderConfigAutomaticReload = true
	return etcd
}
