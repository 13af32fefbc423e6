package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/cainjector"
	"github.com/koinon-io/koinon/pkg/drain"
	"github.com/koinon-io/koinon/pkg/pki"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/servingcert"
)

// drainTimeout is how long requests may take to end when the webhook stops.
const drainTimeout = 10 * time.Second

// webhookSecret is the Secret in the system namespace with the authorities of the webhook
// server's certificates. It is not that of an API server: both may be in one namespace.
const webhookSecret = "koinon-webhook-ca"

// bare is a process without an API server: the controllers of another server's API, the
// webhook of a cluster that has our kinds as custom resources, the autonomy of a cluster's nodes, or
// some of them.
type bare struct {
	options  *ServerOptions
	dir      *dataDir
	listener net.Listener
	host     *rest.Config // nil: none is given

	// attempted says that the webhooks of the host were given our authority, or that this
	// was tried.
	attempted, ending atomic.Bool
}

// run runs the parts until ctx is done or one of them fails.
func (b *bare) run(ctx context.Context, ready func(url, note string)) error {
	if b.options.aggregated() {
		var err error
		if b.host, err = b.options.connectHost(ctx); err != nil {
			return err
		}
	}
	// Certificate and controllers go on until the last request is answered.
	beside := alongside{}
	background := beside.begin(context.WithoutCancel(ctx))
	defer beside.end()
	if b.options.runsHostControllers() {
		federation, err := b.options.newFederationOf(b.host, nil)
		if err != nil {
			return err
		}
		beside.running.Go(func() { runFederation(background, federation) })
	}
	nodes, err := b.options.newAutonomy(b.host)
	if err != nil {
		return err
	}
	beside.running.Go(func() { runAutonomy(background, nodes) })
	keep := b.keepOwn
	if b.options.runs(componentWebhook) && b.host != nil {
		keep = b.keepInHost
	}
	certificate, err := keep(background, &beside, func(note string) {
		b.attempted.Store(true)
		ready(b.options.url(b.listener), note)
	})
	if err != nil {
		return err
	}
	return b.serve(ctx, certificate)
}

// certificateFunc returns the serving certificate for a connection.
type certificateFunc func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// keepOwn keeps a certificate of an authority in the data directory. Whoever calls the server
// is told of that by its operator.
func (b *bare) keepOwn(ctx context.Context, beside *alongside, ready func(note string)) (certificateFunc, error) {
	keys, err := pki.Ensure(pki.Config{Dir: b.dir.file(pkiName), Hosts: b.options.certificateHosts()})
	if err != nil {
		return nil, err
	}
	beside.running.Go(func() { keys.Run(ctx) })
	ready("authority: " + keys.CAFile())
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		// Read for each connection, so that a renewal needs no restart.
		certificate, err := tls.LoadX509KeyPair(keys.ServingFile(), keys.ServingFile())
		return &certificate, err
	}, nil
}

// keepInHost keeps a certificate of an authority that the replicas share, and tells the CRDs and
// webhooks of the host of it.
func (b *bare) keepInHost(ctx context.Context, beside *alongside, ready func(note string)) (certificateFunc, error) {
	injector, keeper, err := b.newInjector()
	if err != nil {
		return nil, err
	}
	first, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	if err := keeper.Prepare(first); err != nil {
		return nil, err
	}
	beside.running.Go(func() {
		injector.Run(ctx, func() { ready("webhook of " + b.host.Host) })
	})
	return keeper.Certificate().GetCertificate, nil
}

func (b *bare) newInjector() (*cainjector.Injector, *servingcert.Keeper, error) {
	client, err := kubernetes.NewForConfig(b.host)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client of the host: %w", err)
	}
	keeper, err := b.options.newServingCertificate(client, webhookSecret)
	if err != nil {
		return nil, nil, err
	}
	dynamicClient, err := dynamic.NewForConfig(b.host)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client of the host: %w", err)
	}
	metadataClient, err := metadata.NewForConfig(b.host)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client of the host: %w", err)
	}
	injector, err := cainjector.New(cainjector.Config{
		Dynamic:     dynamicClient,
		Metadata:    metadataClient,
		Service:     types.NamespacedName{Namespace: b.options.Namespace, Name: b.options.ServiceName},
		Group:       federated.GroupName,
		Certificate: keeper,
	})
	return injector, keeper, err
}

// serve answers health checks and, if it is wanted, the webhook. When ctx is done it is not
// ready any more, goes on serving for --shutdown-delay-duration, and until API servers have left:
// one that finds its connection closed does not send its review again, and fails the request.
func (b *bare) serve(ctx context.Context, certificate certificateFunc) error {
	server, err := drain.New(drain.Config{
		Listener: b.listener,
		TLS:      &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate},
		Handler:  withWebhook(b.options.newWebhook(), b.health()),
		MaxAge:   b.options.MaxConnectionAge,
		ErrorLog: connectionLog(),
	})
	if err != nil {
		return fmt.Errorf("make the HTTPS server: %w", err)
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve() }() // ends with the server
	select {
	case err := <-failed:
		return fmt.Errorf("serve the webhook: %w", err)
	case <-ctx.Done():
	}
	b.ending.Store(true)
	server.Drain()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the webhook: %w", err)
	case <-time.After(b.options.Generic.ShutdownDelayDuration):
	}
	left, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.options.ConnectionDrainTimeout)
	defer cancel()
	if err := server.Wait(left); err != nil {
		klog.FromContext(ctx).Info("Closing connections while requests may be on their way", "err", err)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		return fmt.Errorf("requests to the webhook took longer than %s to end: %w", drainTimeout, err)
	}
	return nil
}

// health answers what probes ask.
func (b *bare) health() http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }
	mux.HandleFunc("GET /healthz", ok)
	mux.HandleFunc("GET /livez", ok)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case b.ending.Load():
			http.Error(w, "this server ends", http.StatusServiceUnavailable)
		case !b.attempted.Load():
			http.Error(w, "the webhooks were not yet given the authority of this server", http.StatusServiceUnavailable)
		default:
			ok(w, r)
		}
	})
	return mux
}
