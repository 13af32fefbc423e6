// Package service runs the tunnel's server for the KubeFedClusters of an API: agents get certificates for tokens that are Secrets there, an
// agent needs a KubeFedCluster of its name, servers over one API know each other, and events tell who came and went.
//
// A Service is used by one Run at a time; Server may be called at any time.
package service

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
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/agentaccess"
	"github.com/koinon-io/koinon/pkg/agentaccess/doors"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/keypair"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
)

const (
	// looks is how often certificates of links are looked at, and tokens that have expired are deleted: for what no
	// event tells.
	looks = time.Minute
	// memory bounds what all links hold unread, in bytes.
	memory = 256 << 20
	// apiQPS and apiBurst bound what the API is asked, in a second and at once, if its configuration does not.
	apiQPS, apiBurst = 500, 1000
)

// Serving returns the serving certificate of now, and the authorities that agents are to trust, PEM.
type Serving func() (certificate tls.Certificate, ca []byte, err error)

// Config says how a Service works. ID, Namespace, Listener and Peer are required.
type Config struct {
	// Namespace is the system namespace.
	Namespace string
	// ID is this replica's: no other process has it.
	ID string
	// Listener is where agents connect. Run closes it when its context ends, and leaves it open when it fails: it may be called again.
	Listener net.Listener
	// Addresses are where agents find Listener, HOST:PORT. Without any, agents are not told of this server, which reaches them through
	// others.
	Addresses []string
	// Peer is where other servers over the API find Listener, HOST:PORT.
	Peer string
	// Serving is asked for each connection. If it is nil, the authority of agents signs the certificate, for the hosts of Addresses.
	Serving Serving
	// Doors are the front ends; nil if there are none.
	Doors *doors.Doors
}

// Service is the tunnel's server and what belongs to it.
type Service struct {
	config Config
	// serving is there once agents can connect.
	serving atomic.Pointer[server.Server]
}

// New returns a Service that does not run yet.
func New(config Config) (*Service, error) {
	if config.Namespace == "" || config.ID == "" || config.Listener == nil || config.Peer == "" {
		return nil, errors.New("tunnel service: Namespace, ID, Listener and Peer are required")
	}
	return &Service{config: config}, nil
}

// Server returns what links are at; nil before agents can connect, and after Run.
func (s *Service) Server() *server.Server { return s.serving.Load() }

// Run serves agents until ctx ends, over the API that api leads to. ending ends earlier, when this process is told to end: agents
// are told, and what is carried goes on.
func (s *Service) Run(ctx, ending context.Context, api *rest.Config) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	upkeep, cancel := context.WithCancel(ctx)
	defer cancel()
	api = clientConfig(api)
	client, err := kubernetes.NewForConfig(api)
	if err != nil {
		return fmt.Errorf("make a client of the API: %w", err)
	}
	agents, err := agentsAuthority(ctx, client, s.config.Namespace)
	if err != nil {
		return err
	}
	members, err := s.followMembers(upkeep, &beside, api)
	if err != nil {
		return err
	}
	tokens := agentaccess.NewTokens(client.CoreV1().Secrets(s.config.Namespace))
	events := record.NewBroadcaster(record.WithContext(ctx))
	defer events.Shutdown()
	events.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: client.CoreV1().Events("")})
	recorder := events.NewRecorder(runtime.NewScheme(), corev1.EventSource{Component: "koinon-tunnel"})
	certificate := s.config.Serving
	if certificate == nil {
		certificate = signedServing(agents, s.config.Addresses, time.Now)
	}
	serving, err := s.newServer(ctx, agents, certificate, tokens, members, recorder)
	if err != nil {
		return err
	}
	stop, err := onChange(members, serving.Recheck)
	if err != nil {
		return err
	}
	defer stop()
	if err := s.publish(ctx, client, certificate); err != nil {
		return err
	}
	s.serving.Store(serving)
	defer s.serving.Store(nil)
	defer serving.Close()
	stopDrain := context.AfterFunc(ending, func() { serving.Drain(0) }) // as long as this process carries something
	defer stopDrain()
	klog.FromContext(ctx).Info("Agents can connect", "address", s.config.Listener.Addr().String(), "advertised", s.config.Addresses)
	beside.Go(func() { s.keep(upkeep, serving, certificate, tokens, client) })
	replicas := agentaccess.NewReplicas(client.CoordinationV1().Leases(s.config.Namespace), tunnel.Replica{ID: s.config.ID, Peer: s.config.Peer, Hidden: len(s.config.Addresses) == 0}, time.Now)
	beside.Go(func() { tellOfReplicas(upkeep, ending, serving, replicas) })
	var front sync.WaitGroup
	defer front.Wait() // links go on as long as it carries something
	if s.config.Doors != nil {
		front.Go(func() { // ends with ctx, and what is carried
			parts := doors.Parts{Server: serving, Members: members, Namespace: s.config.Namespace, Reviews: client.AuthorizationV1().SubjectAccessReviews()}
			if err := s.config.Doors.Run(ctx, ending, parts); err != nil {
				klog.FromContext(ctx).Error(err, "The tunnel's front ends have ended")
			}
		})
	}
	return serving.Serve(ctx, s.config.Listener)
}

// clientConfig is how the API is asked. The library's five questions in a second would be those of all clients of the front ends together, so that one
// who asks for many clusters kept the others waiting.
func clientConfig(api *rest.Config) *rest.Config {
	api = rest.CopyConfig(api)
	api.UserAgent = "koinon-tunnel"
	api.ContentType, api.AcceptContentTypes = runtime.ContentTypeJSON, "" // our kinds have no protobuf form
	if api.QPS == 0 && api.RateLimiter == nil {
		api.QPS, api.Burst = apiQPS, apiBurst
	}
	return api
}

// publish says where the tunnel is, if agents are to find it here.
func (s *Service) publish(ctx context.Context, client kubernetes.Interface, certificate Serving) error {
	if len(s.config.Addresses) == 0 {
		return nil
	}
	_, ca, err := certificate()
	if err != nil {
		return fmt.Errorf("the serving certificate: %w", err)
	}
	return agentaccess.Address{Servers: s.config.Addresses, CA: ca}.Publish(ctx, client.CoreV1().ConfigMaps(s.config.Namespace))
}

// newServer makes what agents connect to, and get their certificates from.
func (s *Service) newServer(ctx context.Context, agents keypair.Pair, serving Serving, tokens *agentaccess.Tokens, members cache.SharedIndexInformer, recorder record.EventRecorder) (*server.Server, error) {
	logger := slog.New(logr.ToSlogHandler(klog.FromContext(ctx)))
	member := func(name string) *v1beta1.KubeFedCluster {
		object, found, err := members.GetStore().GetByKey(s.config.Namespace + "/" + name)
		if err != nil || !found {
			return nil
		}
		return object.(*v1beta1.KubeFedCluster)
	}
	allowed := func(name tunnel.Name, certificate *x509.Certificate) error {
		return agentaccess.Allowed(member(name.Cluster), name, certificate)
	}
	refusals := &server.Refusals{}
	signs, err := authority.New(authority.Config{
		Signer: func() (*x509.Certificate, crypto.Signer, error) { return agents.Certificate, agents.Key, nil },
		CA: func() ([]byte, error) {
			_, ca, err := serving()
			return ca, err
		},
		Tokens: tokens, Allowed: allowed, Logger: logger,
		Refused: func(name tunnel.Name, from string, why error) { refusals.Note(server.ClassToken, name, from, why) },
	})
	if err != nil {
		return nil, err
	}
	peer, err := signs.Peer(s.config.ID)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(agents.Certificate)
	return server.New(server.Config{
		ID: s.config.ID, HTTP: signs, PeerTLS: peer.TLS, Refusals: refusals, Allowed: allowed, Budget: mux.NewBudget(memory), Logger: logger,
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
func (s *Service) keep(ctx context.Context, serving *server.Server, certificate Serving, tokens *agentaccess.Tokens, client kubernetes.Interface) {
	logger := klog.FromContext(ctx)
	ticker := time.NewTicker(looks)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		serving.Recheck()
		if err := tokens.Collect(ctx, time.Now()); err != nil && ctx.Err() == nil {
			logger.Error(err, "Failed to delete tokens of agents that have expired")
		}
		if err := s.publish(ctx, client, certificate); err != nil && ctx.Err() == nil {
			logger.Error(err, "Failed to say where the tunnel is")
		}
	}
}
