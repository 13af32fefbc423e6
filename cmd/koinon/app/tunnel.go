package app

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	koinoninformers "github.com/koinon-io/koinon/pkg/generated/informers/externalversions"
	"github.com/koinon-io/koinon/pkg/memberaccess"
	"github.com/koinon-io/koinon/pkg/pki"
	"github.com/koinon-io/koinon/pkg/servingcert"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
)

const (
	// tunnelLooks is how often certificates of links are looked at, and tokens that have expired are deleted: for what no
	// event tells.
	tunnelLooks = time.Minute
	// replicaLooks is how often it is looked which other servers have a tunnel.
	replicaLooks = 5 * time.Second
	// leaveTimeout is how long a server that ends tries to say so.
	leaveTimeout = 2 * time.Second
	// tunnelRetry is when a start of the tunnel is tried again.
	tunnelRetry = 5 * time.Second
	// tunnelMemory bounds what all links hold unread.
	tunnelMemory = 256 << 20
)

// tunnelPart is the tunnel of this server: agents connect to it, and members are reached through them. A nil one is a server
// without.
type tunnelPart struct {
	options  *ServerOptions
	listener net.Listener
	// serving is there once agents can connect.
	serving atomic.Pointer[server.Server]
}

// openTunnel binds the port; it returns nil if this process has no tunnel.
func (o *ServerOptions) openTunnel() (*tunnelPart, error) {
	if !o.runs(componentTunnel) {
		return nil, nil
	}
	listener, err := listen(o.TunnelBindAddress, o.TunnelPort, "--tunnel-bind-address", "--tunnel-port")
	if err != nil {
		return nil, err
	}
	return &tunnelPart{options: o, listener: listener}, nil
}

func (p *tunnelPart) close() {
	if p != nil {
		_ = p.listener.Close()
	}
}

// checkTunnel says what is wrong with the tunnel's flags.
func (o *ServerOptions) checkTunnel() error {
	var errs []error
	if o.TunnelPort < 0 || o.TunnelPort > 65535 {
		errs = append(errs, fmt.Errorf("--tunnel-port is %d: it must be between 0 and 65535", o.TunnelPort))
	}
	if o.runs(componentTunnel) && !o.runs(componentAPIServer) {
		errs = append(errs, errors.New("--components has the tunnel without the apiserver: members are reached through it in this process only"))
	}
	for _, address := range o.TunnelAdvertiseAddresses {
		host, port := splitAdvertised(address, 1)
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 || net.ParseIP(host) == nil && len(validation.IsDNS1123Subdomain(host)) > 0 {
			errs = append(errs, fmt.Errorf("--tunnel-advertise-address is %q: it must be HOST or HOST:PORT, where HOST is a DNS name or an IP address", address))
		}
	}
	return errors.Join(errs...)
}

// splitAdvertised takes HOST or HOST:PORT apart.
func splitAdvertised(address string, defaultPort int) (host, port string) {
	if host, port, err := net.SplitHostPort(address); err == nil {
		return host, port
	}
	return address, strconv.Itoa(defaultPort)
}

// tunnelHosts are the names of the tunnel in the serving certificate.
func (o *ServerOptions) tunnelHosts() (hosts []string) {
	if !o.runs(componentTunnel) {
		return nil
	}
	for _, address := range o.TunnelAdvertiseAddresses {
		host, _ := splitAdvertised(address, o.TunnelPort)
		hosts = append(hosts, host)
	}
	return hosts
}

// addresses are where agents find the tunnel, HOST:PORT.
func (p *tunnelPart) addresses() []string {
	port := p.listener.Addr().(*net.TCPAddr).Port
	advertised := p.options.TunnelAdvertiseAddresses
	if len(advertised) == 0 {
		advertised = []string{p.options.Generic.ExternalHost}
	}
	var addresses []string
	for _, address := range advertised {
		addresses = append(addresses, net.JoinHostPort(splitAdvertised(address, port)))
	}
	return addresses
}

// through is how members are reached through the tunnel; nil if there is none.
func (p *tunnelPart) through() memberaccess.Tunnel {
	if p == nil {
		return nil
	}
	return p.dial
}

// dial connects to the API server of a member, as its agent calls it.
func (p *tunnelPart) dial(ctx context.Context, member string) (net.Conn, error) {
	serving := p.serving.Load()
	if serving == nil {
		return nil, memberaccess.NotDialed("the tunnel has not started: see the log of this server")
	}
	conn, err := serving.Dial(ctx, tunnel.Name{Cluster: member}, "tcp", tunnel.APIServer)
	var failed *tunnel.DialError
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return nil, err
	case errors.Is(err, tunnel.ErrNoAgent):
		return nil, memberaccess.NotDialed("no agent of it is connected to the tunnel: koinon-agent does not run there, or does not get through")
	case errors.As(err, &failed) && failed.Code != mux.Internal:
		return nil, memberaccess.NotDialed("its agent cannot connect to the API server there: %v", failed.Err)
	}
	return nil, memberaccess.NotDialed("the connection to its agent broke")
}

// servingFunc returns the serving certificate of now, and the authorities that agents are to trust, PEM.
type servingFunc func() (certificate tls.Certificate, ca []byte, err error)

// ownServing is that of a server that runs alone. Files are read each time, so that a renewal needs no restart.
func ownServing(keys *pki.PKI) servingFunc {
	return func() (tls.Certificate, []byte, error) {
		certificate, err := tls.LoadX509KeyPair(keys.ServingFile(), keys.ServingFile())
		if err != nil {
			return tls.Certificate{}, nil, err
		}
		ca, err := os.ReadFile(keys.CAFile())
		return certificate, ca, err
	}
}

// hostServing is that of a server behind a host.
func hostServing(kept *servingcert.Keeper) servingFunc {
	return func() (tls.Certificate, []byte, error) {
		certificate, err := kept.Certificate().GetCertificate(nil)
		if err != nil {
			return tls.Certificate{}, nil, err
		}
		return *certificate, kept.Certificate().Trust(), nil
	}
}

// runBelow runs the tunnel, once ready returns, until below ends. When ctx ends, agents are told that this server will go.
func (p *tunnelPart) runBelow(ctx context.Context, below *alongside, ready func(context.Context) error, api *rest.Config, serving servingFunc) {
	serve := below.begin(context.WithoutCancel(ctx))
	if p == nil {
		return
	}
	stop := context.AfterFunc(ctx, func() {
		if s := p.serving.Load(); s != nil {
			s.Drain(0) // as long as this server carries something
		}
	})
	below.running.Go(func() {
		defer stop()
		logger := klog.FromContext(serve).WithName("tunnel")
		serve := klog.NewContext(serve, logger)
		for ready(serve) == nil && serve.Err() == nil {
			err := p.run(serve, ctx, api, serving)
			if serve.Err() != nil {
				return
			}
			logger.Error(err, "The tunnel does not run and is tried again; members that are reached through it are not", "interval", tunnelRetry)
			select {
			case <-serve.Done():
			case <-time.After(tunnelRetry):
			}
		}
	})
}

// run serves agents until ctx ends. ending ends earlier, when this server is told to end.
func (p *tunnelPart) run(ctx, ending context.Context, api *rest.Config, serving servingFunc) error {
	var beside alongside
	upkeep := beside.begin(ctx)
	defer beside.end()
	api = rest.CopyConfig(api)
	api.UserAgent = "koinon-tunnel"
	api.ContentType, api.AcceptContentTypes = runtime.ContentTypeJSON, "" // our kinds have no protobuf form
	client, err := kubernetes.NewForConfig(api)
	if err != nil {
		return fmt.Errorf("make a client of the API: %w", err)
	}
	agents, err := agentsAuthority(ctx, client, p.options.Namespace)
	if err != nil {
		return err
	}
	members, err := p.followMembers(upkeep, &beside, api)
	if err != nil {
		return err
	}
	tokens := agentaccess.NewTokens(client.CoreV1().Secrets(p.options.Namespace))
	id := identity()
	events := record.NewBroadcaster(record.WithContext(ctx))
	defer events.Shutdown()
	events.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: client.CoreV1().Events("")})
	recorder := events.NewRecorder(runtime.NewScheme(), corev1.EventSource{Component: "koinon-tunnel"})
	s, err := p.newServer(ctx, id, agents, serving, tokens, members, recorder)
	if err != nil {
		return err
	}
	stop, err := onChange(members, s.Recheck)
	if err != nil {
		return err
	}
	defer stop()
	if err := p.publish(ctx, client, serving); err != nil {
		return err
	}
	p.serving.Store(s)
	defer p.serving.Store(nil)
	defer s.Close()
	klog.FromContext(ctx).Info("Agents can connect", "address", p.listener.Addr().String(), "advertised", p.addresses())
	beside.running.Go(func() { p.keep(upkeep, s, tokens, client, serving) })
	replicas := agentaccess.NewReplicas(client.CoordinationV1().Leases(p.options.Namespace), id, time.Now)
	beside.running.Go(func() { tellOfReplicas(upkeep, ending, s, replicas) })
	return s.Serve(ctx, p.listener)
}

// publish says where the tunnel is.
func (p *tunnelPart) publish(ctx context.Context, client kubernetes.Interface, serving servingFunc) error {
	_, ca, err := serving()
	if err != nil {
		return fmt.Errorf("the serving certificate: %w", err)
	}
	return agentaccess.Address{Servers: p.addresses(), CA: ca}.Publish(ctx, client.CoreV1().ConfigMaps(p.options.Namespace))
}

// tellOfReplicas tells agents of the servers with a tunnel, and those of this one, until ctx ends or this server is to end.
func tellOfReplicas(ctx, ending context.Context, s *server.Server, replicas *agentaccess.Replicas) {
	logger := klog.FromContext(ctx)
	ticker := time.NewTicker(replicaLooks)
	defer ticker.Stop()
	var renewed time.Time
	var told []tunnel.Replica
	for {
		if time.Since(renewed) >= agentaccess.RenewEvery {
			if err := replicas.Renew(ctx); err == nil {
				renewed = time.Now()
			} else if ctx.Err() == nil {
				logger.Error(err, "Failed to tell other servers of this tunnel: agents may not connect to all")
			}
		}
		found, err := replicas.List(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			logger.Error(err, "Failed to look for other servers with a tunnel: agents may not connect to all")
		case err == nil && !slices.Equal(found, told):
			s.SetReplicas(found)
			told = found
			logger.V(2).Info("Servers with a tunnel", "replicas", found)
		}
		select {
		case <-ctx.Done():
			return
		case <-ending.Done():
			leaving, cancel := context.WithTimeout(ctx, leaveTimeout)
			if err := replicas.Leave(leaving); err != nil {
				logger.V(2).Info("Did not tell other servers that this tunnel goes", "err", err)
			}
			cancel()
			return
		case <-ticker.C:
		}
	}
}

// followMembers returns a cache of KubeFedClusters that ends with ctx.
func (p *tunnelPart) followMembers(ctx context.Context, beside *alongside, api *rest.Config) (cache.SharedIndexInformer, error) {
	ours, err := versioned.NewForConfig(api)
	if err != nil {
		return nil, fmt.Errorf("make a client of KubeFedClusters: %w", err)
	}
	// Behind a host the kinds come a moment after the server, which is nothing to complain of.
	err = wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		_, err := ours.KubeFedCoreV1beta1().KubeFedClusters(p.options.Namespace).List(ctx, metav1.ListOptions{Limit: 1})
		klog.FromContext(ctx).V(4).Info("Looked for KubeFedClusters", "err", err)
		return err == nil, nil
	})
	if err != nil {
		return nil, err
	}
	informer := koinoninformers.NewSharedInformerFactoryWithOptions(ours, 0, koinoninformers.WithNamespace(p.options.Namespace)).
		KubeFedCore().V1beta1().KubeFedClusters().Informer()
	beside.running.Go(func() { informer.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, ctx.Err()
	}
	return informer, nil
}

// onChange calls back when a KubeFedCluster says something else of its agents, until stop is called.
func onChange(members cache.SharedIndexInformer, do func()) (stop func(), err error) {
	registration, err := members.AddEventHandler(cache.ResourceEventHandlerFuncs{
		DeleteFunc: func(any) { do() },
		UpdateFunc: func(old, object any) {
			before, after := old.(*v1beta1.KubeFedCluster), object.(*v1beta1.KubeFedCluster)
			if before.Annotations[v1beta1.AgentsRevokedAnnotation] != after.Annotations[v1beta1.AgentsRevokedAnnotation] {
				do()
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("follow KubeFedClusters: %w", err)
	}
	return func() { _ = members.RemoveEventHandler(registration) }, nil
}

// newServer makes what agents connect to, and get their certificates from.
func (p *tunnelPart) newServer(ctx context.Context, id string, agents pki.Pair, serving servingFunc, tokens *agentaccess.Tokens, members cache.SharedIndexInformer, recorder record.EventRecorder) (*server.Server, error) {
	logger := slog.New(logr.ToSlogHandler(klog.FromContext(ctx)))
	member := func(name string) *v1beta1.KubeFedCluster {
		object, found, err := members.GetStore().GetByKey(p.options.Namespace + "/" + name)
		if err != nil || !found {
			return nil
		}
		return object.(*v1beta1.KubeFedCluster)
	}
	allowed := func(name tunnel.Name, certificate *x509.Certificate) error {
		return agentaccess.Allowed(member(name.Cluster), certificate)
	}
	signs, err := authority.New(authority.Config{
		Signer: func() (*x509.Certificate, crypto.Signer, error) { return agents.Certificate, agents.Key, nil },
		CA: func() ([]byte, error) {
			_, ca, err := serving()
			return ca, err
		},
		Tokens: tokens, Allowed: allowed, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(agents.Certificate)
	return server.New(server.Config{
		ID: id, HTTP: signs, Allowed: allowed, Budget: mux.NewBudget(tunnelMemory), Logger: logger,
		TLS: func() (*tls.Config, error) {
			certificate, ca, err := serving()
			if err != nil {
				return nil, fmt.Errorf("the serving certificate: %w", err)
			}
			certificate.Certificate = append(certificate.Certificate[:1:1], ders(ca)...)
			return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, ClientCAs: trusted}, nil
		},
		Changed: newComings(logger, recorder, member).changed,
	})
}

// ders are the certificates of PEM.
func ders(text []byte) (found [][]byte) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return found
		}
		found = append(found, block.Bytes)
	}
}

// keep does until ctx ends what no event tells of: certificates expire, tokens do, and the authority is replaced.
func (p *tunnelPart) keep(ctx context.Context, s *server.Server, tokens *agentaccess.Tokens, client kubernetes.Interface, serving servingFunc) {
	logger := klog.FromContext(ctx)
	ticker := time.NewTicker(tunnelLooks)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s.Recheck()
		if err := tokens.Collect(ctx, time.Now()); err != nil && ctx.Err() == nil {
			logger.Error(err, "Failed to delete tokens of agents that have expired")
		}
		if err := p.publish(ctx, client, serving); err != nil && ctx.Err() == nil {
			logger.Error(err, "Failed to say where the tunnel is")
		}
	}
}
