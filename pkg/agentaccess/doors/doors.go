// Package doors opens the tunnel's front ends for the KubeFedClusters of an API: two Unix sockets for each of them, and a port with TLS, whose
// clients are users of the API.
//
//	DIR/CLUSTER.sock         HTTP CONNECT; who may open the file, of the mode 0660, may reach what the cluster's agents reach
//	DIR/CLUSTER.grpc.sock    the same, with konnectivity's protocol
//	Config.Proxy             HTTP CONNECT with client certificates; what a user may is asked of the API: see Right
//
// Sockets come and go with KubeFedClusters. A directory is one process' at a time. A cluster whose name ends with .grpc, or whose sockets would
// have paths of more than 103 characters, has none, and the log says so.
//
// Doors are used by one Run at a time.
package doors

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/go-logr/logr"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/agentaccess/tunnelconfig"
	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

// Config says which front ends there are.
type Config struct {
	// Sockets is where Unix sockets are; nil: there are none. Run closes it when no more clients are to come.
	Sockets *Directory
	// Proxy listens for clients with certificates; nil: there is none. Run closes it when no more clients are to come.
	Proxy net.Listener
	// TLS returns the serving certificate of Proxy, and in ClientCAs the authorities of the API's users, for each connection.
	TLS func() (*tls.Config, error)
	// Suffix of hosts that name a cluster or node: see package frontend.
	Suffix string
	// Limits say how much is carried for whom; nil is the defaults of package frontend.
	Limits *tunnelconfig.File
	// Delay is how long new clients are taken when this process is told to end, and Drain how long, after that, what is carried may go on.
	Delay, Drain time.Duration
}

// Enabled reports whether there are any.
func (c Config) Enabled() bool { return c.Sockets != nil || c.Proxy != nil }

// Server is what links are at.
type Server interface {
	Open(ctx context.Context, name tunnel.Name, network, address string) (*mux.Stream, error)
	// Connected reports whether an agent of a name is connected.
	Connected(name tunnel.Name) bool
}

// Parts are what front ends need of the service that has links.
type Parts struct {
	Server Server
	// Members are KubeFedClusters of Namespace.
	Members   cache.SharedIndexInformer
	Namespace string
	// Reviews is where it is asked what a user may.
	Reviews authorizationclient.SubjectAccessReviewInterface
}

// Doors are the front ends.
type Doors struct {
	config Config
	// remembered is how long an answer of the API is.
	remembered time.Duration
}

// New returns Doors that are not open yet.
func New(config Config) (*Doors, error) {
	if config.Proxy != nil && config.TLS == nil {
		return nil, errors.New("front ends of the tunnel: a port needs TLS with client certificates")
	}
	if config.Limits == nil {
		config.Limits, _ = tunnelconfig.Open("") // which is no file
	}
	return &Doors{config: config, remembered: remembered}, nil
}

// Run has doors open until ctx ends. ending ends earlier, when this process is told to end: new clients are taken for Config.Delay then, and what is
// carried goes on for Config.Drain after that at most, also when ctx has ended; then it is cut.
func (d *Doors) Run(ctx, ending context.Context, parts Parts) error {
	logger := slog.New(logr.ToSlogHandler(klog.FromContext(ctx)))
	carrying, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	policy := newPolicy(parts, d.remembered)
	limits := d.config.Limits
	observer := &observer{isMember: func(cluster string) bool { return member(parts, cluster) != nil }, counted: map[string]map[answer]bool{}}
	front, err := frontend.New(frontend.Config{
		Opener: parts.Server, Policy: policy, Suffix: d.config.Suffix, Observer: observer, Logger: logger,
		NameLimits: func(name tunnel.Name) frontend.Limits {
			of, _ := limits.Rules().Name(name)
			return of
		},
		TenantLimits: func(tenant string) frontend.Limits { return limits.Rules().Tenant(tenant) },
		Timeouts: func(name tunnel.Name) frontend.Timeouts {
			_, of := limits.Rules().Name(name)
			return of
		},
	})
	if err != nil {
		return err
	}
	defer front.Close()
	observer.front = front
	stopObserving, err := observer.follow(parts)
	if err != nil {
		return err
	}
	defer stopObserving()
	opening, shut := context.WithCancel(ctx)
	defer shut()
	var open, carried sync.WaitGroup
	defer carried.Wait()
	defer cut() // before it is waited
	failed := make(chan error, 1)
	open.Go(func() { // ends with opening
		limits.Run(opening, tunnelconfig.Look, func(err error) {
			configured(err)
			front.LimitsChanged()
		})
	})
	if d.config.Sockets != nil {
		sockets := newSockets(d.config.Sockets, front, carrying, &carried)
		stop, err := sockets.follow(parts)
		if err != nil {
			return err
		}
		open.Go(func() { // ends with opening
			defer d.config.Sockets.Close()
			defer stop()
			sockets.run(opening, func() map[string]bool { return members(parts) })
		})
	}
	if d.config.Proxy != nil {
		open.Go(func() { // ends with opening
			failed <- front.Serve(opening, d.config.Proxy, frontend.Door{TLS: d.config.TLS})
		})
		klog.FromContext(ctx).Info("Users of the API can connect through the tunnel", "address", d.config.Proxy.Addr().String())
	}
	err = d.wait(ctx, ending, failed)
	shut()
	open.Wait()
	if n := front.Carried(); n > 0 && ending.Err() != nil && d.config.Drain > 0 {
		klog.FromContext(ctx).Info("Waiting for what the tunnel's front ends carry", "connections", n, "timeout", d.config.Drain)
		last, cancel := context.WithTimeout(carrying, d.config.Drain)
		defer cancel()
		front.Drain(last)
	}
	return err
}

// wait returns when no more clients are to come.
func (d *Doors) wait(ctx, ending context.Context, failed <-chan error) error {
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	case <-ending.Done():
	}
	timer := time.NewTimer(d.config.Delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return nil
}

// member returns a KubeFedCluster that may have agents, nil if there is none of that name.
func member(parts Parts, name string) *v1beta1.KubeFedCluster {
	object, found, err := parts.Members.GetStore().GetByKey(parts.Namespace + "/" + name)
	if err != nil || !found {
		return nil
	}
	return memberOf(object)
}

// memberOf is a KubeFedCluster, unless it stands for a cell.
func memberOf(object any) *v1beta1.KubeFedCluster {
	cluster, ok := object.(*v1beta1.KubeFedCluster)
	if !ok || cluster.Labels[v1alpha1.TopologyLabel] != "" {
		return nil
	}
	return cluster
}

// members are the names of all.
func members(parts Parts) map[string]bool {
	names := map[string]bool{}
	for _, object := range parts.Members.GetStore().List() {
		if cluster := memberOf(object); cluster != nil {
			names[cluster.Name] = true
		}
	}
	return names
}

// ClientCAs returns a pool of what pem returns, made anew when that is another.
func ClientCAs(pem func() ([]byte, error)) func() (*x509.CertPool, error) {
	var mu sync.Mutex
	var last string         // guarded by mu
	var pool *x509.CertPool // guarded by mu
	return func() (*x509.CertPool, error) {
		text, err := pem()
		if err != nil {
			return nil, fmt.Errorf("the authorities of the API's users: %w", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if pool != nil && string(text) == last {
			return pool, nil
		}
		fresh := x509.NewCertPool()
		if !fresh.AppendCertsFromPEM(text) {
			return nil, errors.New("the authorities of the API's users: there is no certificate in PEM, so nobody can show one")
		}
		last, pool = string(text), fresh
		return pool, nil
	}
}
