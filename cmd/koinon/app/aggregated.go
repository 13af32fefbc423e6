package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/pkg/server/healthz"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	apiregistrationclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apiserver"
	"github.com/koinon-io/koinon/pkg/durable"
	"github.com/koinon-io/koinon/pkg/host"
	"github.com/koinon-io/koinon/pkg/hostreg"
	"github.com/koinon-io/koinon/pkg/hoststate"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/proxy"
	"github.com/koinon-io/koinon/pkg/servingcert"
	"github.com/koinon-io/koinon/pkg/storage"
	"github.com/koinon-io/koinon/pkg/webhook"
)

// aggregated is a server behind the aggregator of an existing host.
type aggregated struct {
	options  *ServerOptions
	dir      *dataDir
	listener net.Listener
	store    *storage.Store
	host     *rest.Config
	tunnel   *tunnelPart // nil: there is none
	// certificate is made with the registration, which renews it.
	certificate *servingcert.Keeper
	// encryption is the file of the EncryptionConfiguration, which is known with the configuration of the API server.
	encryption string
	// registration and federation are made before the server serves.
	registration *hostreg.Registration
	federation   *apiserver.Server
}

// run serves until ctx is done, and calls ready once, when the host knows the server.
func (a *aggregated) run(ctx context.Context, ready func(url, note string)) error {
	registration, err := a.newRegistration()
	if err != nil {
		return err
	}
	a.registration = registration
	if err := registration.Prepare(ctx); err != nil {
		return err
	}
	server, longRunning, err := a.newServer(ctx, registration)
	if err != nil {
		return err
	}
	front, err := newFront(a.listener, server, longRunning, a.options)
	if err != nil {
		return err
	}
	federation, err := a.options.newFederationOf(a.host, a.tunnel)
	if err != nil {
		return err
	}
	nodes, err := a.options.newAutonomy(a.host)
	if err != nil {
		return err
	}

	warning, err := newEncryptionWarning(a.host, a.options.Namespace, a.encryption, host.FederatedSecrets) // Secrets are the host's
	if err != nil {
		return err
	}

	// What the server carries through the tunnel goes on until the server has drained.
	var below alongside
	err = a.tunnel.runBelow(ctx, &below, func(ctx context.Context) error { return waitReady(ctx, server.LoopbackClientConfig) }, a.host, hostServing(a.certificate), a.tunnel.hostUsers(a.host))
	defer below.end()
	if err != nil {
		return err
	}

	var beside alongside
	ctx = beside.begin(ctx)
	defer beside.end()
	beside.running.Go(func() {
		if waitReady(ctx, server.LoopbackClientConfig) == nil {
			registration.Run(ctx, func() { ready(a.options.url(a.listener), "behind the host "+a.host.Host) })
		}
	})
	beside.running.Go(func() { warning.run(ctx) })
	if a.options.runsHostControllers() {
		beside.running.Go(func() { runFederation(ctx, federation) })
	}
	beside.running.Go(func() { runAutonomy(ctx, nodes) })
	return front.run(klog.NewContext(ctx, klog.Background()))
}

// newServingCertificate makes what keeps the certificate for the Service in a host. It does no
// I/O yet.
func (o *ServerOptions) newServingCertificate(client kubernetes.Interface, secretName string) (*servingcert.Keeper, error) {
	return servingcert.New(servingcert.Config{
		Client:     client,
		Namespace:  o.Namespace,
		SecretName: secretName,
		Hosts:      append(servingcert.ServiceHosts(o.Namespace, o.ServiceName), o.certificateHosts()...),
		Lifetime:   o.ServingCertificateLifetime,
	})
}

// newRegistration makes what keeps the server registered in the host.
func (a *aggregated) newRegistration() (*hostreg.Registration, error) {
	client, err := kubernetes.NewForConfig(a.host)
	if err != nil {
		return nil, fmt.Errorf("make a client of the host: %w", err)
	}
	apiServices, err := apiregistrationclient.NewForConfig(a.host)
	if err != nil {
		return nil, fmt.Errorf("make a client of the host's aggregator: %w", err)
	}
	certificate, err := a.options.newServingCertificate(client, hostreg.SecretName)
	if err != nil {
		return nil, err
	}
	a.certificate = certificate
	config := hostreg.Config{
		Client:        client,
		APIServices:   apiServices.APIServices(),
		Namespace:     a.options.Namespace,
		ServiceName:   a.options.ServiceName,
		ServicePort:   a.options.ServicePort,
		Certificate:   certificate,
		GroupVersions: map[schema.GroupVersion]hostreg.Priority{},
		KindsGroup:    federated.GroupName,
		TenantLabels:  a.options.askedLabels(),
	}
	for gv, priority := range groupVersions() {
		config.GroupVersions[gv] = hostreg.Priority(priority)
	}
	if config.ServicePort == 0 {
		config.ServicePort = 443
		if !a.options.InCluster {
			config.ServicePort = int32(a.listener.Addr().(*net.TCPAddr).Port)
		}
	}
	if !a.options.InCluster {
		config.ExternalName = a.options.Generic.ExternalHost
	}
	return hostreg.New(config)
}

// askedLabels are those of the host's namespaces of whose change the host asks this server.
func (o *ServerOptions) askedLabels() []string {
	if !o.NamespaceWebhook {
		return nil
	}
	return []string{v1alpha1.TenantLabel, v1alpha1.WorkspaceGroupLabel}
}

// newServer makes the API server, and what picks the requests that go on until it ends.
func (a *aggregated) newServer(ctx context.Context, registration *hostreg.Registration) (*genericapiserver.GenericAPIServer, func(*http.Request) bool, error) {
	generic, hostInformers, err := a.genericConfig(ctx, a.certificate.Certificate())
	if err != nil {
		return nil, nil, err
	}
	announce := func(served []federated.Kind) { registration.KindsChanged(fingerprint(served)) }
	federation, err := a.options.newFederationAPI(generic, a.store, a.host, a.tunnel, genericapiserver.NewEmptyDelegate(), announce)
	if err != nil {
		return nil, nil, err
	}
	a.federation = federation
	server := federation.GenericAPIServer
	// Admission refuses everything until it knows the host's namespaces and webhooks.
	if err := server.AddReadyzChecks(healthz.NewInformerSyncHealthz(hostInformers)); err != nil {
		return nil, nil, err
	}
	err = server.AddPostStartHook("koinon-host-informers", func(hook genericapiserver.PostStartHookContext) error {
		hostInformers.Start(hook.Done())
		return nil
	})
	return server, longRunning(generic), err
}

// namespaceReviews is how many changes of tenants of the host's namespaces are looked at at a time.
const namespaceReviews = 16

// namespaceChange refuses what would strand federated objects, as a server with a host of its own does.
func (a *aggregated) namespaceChange(ctx context.Context, now, old metav1.Object) error {
	return a.federation.NamespaceChange(ctx, now, old)
}

// longRunning picks what the API server does not wait for when it ends: watches, and what is
// carried on to members.
func longRunning(generic *genericapiserver.Config) func(*http.Request) bool {
	resolver := genericapiserver.NewRequestInfoResolver(generic)
	return func(r *http.Request) bool {
		info, err := resolver.NewRequestInfo(r)
		return err == nil && generic.LongRunningFunc(r, info)
	}
}

// fingerprint is the same for equal sets of kinds.
func fingerprint(kinds []federated.Kind) string {
	sum := sha256.Sum256(fmt.Append(nil, kinds))
	return hex.EncodeToString(sum[:6])
}

// encryptionSecret is the Secret in the host's system namespace with the
// EncryptionConfiguration that the replicas share.
const encryptionSecret = "koinon-encryption"

// encryptionConfig returns the EncryptionConfiguration to use. Unless one is given, it is in
// a Secret of the host, and made by the first replica: whoever has only the datastore
// cannot read what is in it.
func (a *aggregated) encryptionConfig(ctx context.Context, client kubernetes.Interface) (string, error) {
	if a.options.EncryptionConfig != "" {
		return a.options.EncryptionConfig, nil
	}
	path, err := host.EnsureEncryptionConfig(a.dir.file("encryption"))
	if err != nil {
		return "", err
	}
	own := func() ([]byte, error) { return os.ReadFile(path) }
	shared, err := hoststate.SharedSecret(ctx, client, a.options.Namespace, encryptionSecret, filepath.Base(path), own)
	if err != nil {
		return "", err
	}
	if err := durable.WriteFile(path, shared, 0o600); err != nil {
		return "", fmt.Errorf("write the encryption key of the host's Secret: %w", err)
	}
	if _, err := a.options.encryptionConfig(ctx, a.dir, a.store); err != nil {
		return "", fmt.Errorf("%w; the servers behind this host share the Secret %s/%s: restore it if it was removed", err, a.options.Namespace, encryptionSecret)
	}
	return path, nil
}

// genericConfig applies every option to a configuration in which the host authenticates,
// authorizes and says which admission policies hold.
func (a *aggregated) genericConfig(ctx context.Context, certificate dynamiccertificates.CertKeyContentProvider) (*genericapiserver.Config, informers.SharedInformerFactory, error) {
	client, err := kubernetes.NewForConfig(a.host)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client of the host: %w", err)
	}
	dynamicClient, err := dynamic.NewForConfig(a.host)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client of the host: %w", err)
	}
	encryption, err := a.encryptionConfig(ctx, client)
	if err != nil {
		return nil, nil, err
	}
	a.encryption = encryption
	hostInformers := informers.NewSharedInformerFactory(client, 0)
	generic := genericapiserver.NewConfig(apiserver.Codecs)
	hook := a.options.newWebhook()
	namespaces := webhook.NewNamespaces(webhook.Config{MaxInFlight: namespaceReviews}, a.namespaceChange)
	readiness, keys := a.store.Readiness(), &host.Keys{}
	generic.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		api = withWebhook(hook, withReasons(readiness, keys, proxy.Explain(genericapiserver.DefaultBuildHandlerChain(api, c))))
		return withoutOtherOrigins(true, a.registration.ServeNamespaces(namespaces, api))
	}

	authentication := genericoptions.NewDelegatingAuthenticationOptions()
	authentication.RemoteKubeConfigFile = a.options.HostKubeconfig
	authorization := genericoptions.NewDelegatingAuthorizationOptions()
	authorization.RemoteKubeConfigFile = a.options.HostKubeconfig
	for _, apply := range []func() error{
		func() error { return a.options.Generic.ApplyTo(generic) },
		func() error { return a.servingOptions(certificate).ApplyToConfig(generic) },
		func() error { return a.etcdOptions(encryption).ApplyTo(generic) },
		func() error {
			return authentication.ApplyTo(&generic.Authentication, generic.SecureServing, nil)
		},
		func() error { return authorization.ApplyTo(&generic.Authorization) },
		func() error { return a.options.Audit.ApplyTo(generic) },
		func() error { return a.options.Traces.ApplyTo(nil, generic) },
		func() error { return a.options.Features.ApplyTo(generic, client, hostInformers) },
		func() error {
			return a.options.Admission.ApplyTo(generic, hostInformers, client, dynamicClient, utilfeature.DefaultFeatureGate, generic.EffectiveVersion)
		},
	} {
		if err := apply(); err != nil {
			return nil, nil, fmt.Errorf("configure the API server behind %s: %w", a.host.Host, err)
		}
	}
	hostStorage(a.store, readiness, keys).ApplyTo(generic)
	return generic, hostInformers, nil
}

func (a *aggregated) servingOptions(certificate dynamiccertificates.CertKeyContentProvider) *genericoptions.SecureServingOptionsWithLoopback {
	serving := genericoptions.NewSecureServingOptions()
	serving.Listener = newParkedListener(a.listener.Addr())
	serving.ServerCert.GeneratedCert = certificate
	return serving.WithLoopback()
}

func (a *aggregated) etcdOptions(encryption string) *genericoptions.EtcdOptions {
	etcd := genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig(host.StoragePrefix, apiserver.StorageCodec()))
	etcd.StorageConfig.Transport = a.store.Transport()
	etcd.StorageConfig.EncodeVersioner = schema.GroupVersions(apiserver.GroupVersions())
	etcd.EncryptionProviderConfigFilepath = encryption
	etcd.EncryptionProviderConfigAutomaticReload = true
	etcd.SkipHealthEndpoints = true // see host.Storage
	return etcd
}
