package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/version"
)

// certificate is what the status says of it.
type certificate interface {
	Certificate() (name tunnel.Name, until time.Time)
}

// links are what the status says of them.
type links interface {
	Status() agent.Status
}

// status serves /healthz and /metrics, and at another address /healthz alone. The few metrics are written by hand: Prometheus' library is a third of this binary.
type status struct {
	listener    net.Listener // nil if nobody asked for it
	health      net.Listener // the same
	certificate certificate
	links       links
}

func (o *Options) newStatus(c certificate, l links) (*status, error) {
	s := &status{certificate: c, links: l}
	var err error
	if o.StatusAddress != "" {
		if s.listener, err = net.Listen("tcp", o.StatusAddress); err != nil {
			return nil, fmt.Errorf("--status-address: %w", err)
		}
	}
	if o.HealthAddress != "" {
		if s.health, err = net.Listen("tcp", o.HealthAddress); err != nil {
			if s.listener != nil {
				_ = s.listener.Close()
			}
			return nil, fmt.Errorf("--health-address: %w", err)
		}
	}
	return s, nil
}

// run serves until ctx ends.
func (s *status) run(ctx context.Context) {
	healthy := http.NewServeMux()
	healthy.HandleFunc("GET /healthz", s.healthz)
	var serving sync.WaitGroup // all end with ctx
	serving.Go(func() { serve(ctx, s.listener, s.handler()) })
	serving.Go(func() { serve(ctx, s.health, healthy) })
	serving.Wait()
}

// serve serves until ctx ends, if there is a listener.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) {
	if listener == nil {
		return
	}
	server := &http.Server{Handler: handler, MaxHeaderBytes: 8 << 10, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	_ = server.Serve(listener) // it was closed
}

func (s *status) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /metrics", s.metrics)
	return mux
}

// healthz is good with a link to any replica.
func (s *status) healthz(w http.ResponseWriter, _ *http.Request) {
	if len(s.links.Status().Links) == 0 {
		http.Error(w, "not linked to any server: the log says why", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

func (s *status) metrics(w http.ResponseWriter, _ *http.Request) {
	now := s.links.Status()
	name, until := s.certificate.Certificate()
	ways := map[carrier.Way]int{}
	for _, l := range now.Links {
		ways[l.Way]++
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	metric := func(name, kind, help, labels string, value any) {
		_, _ = fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s%s %v\n", name, help, name, kind, name, labels, value)
	}
	metric("koinon_agent_info", "gauge", "What this agent is.", fmt.Sprintf("{version=%q,cluster=%q,node=%q}", version.Version(), name.Cluster, name.Node), 1)
	metric("koinon_agent_links", "gauge", "Links to replicas of the server, by how they go.", `{way="direct"}`, ways[carrier.Direct])
	_, _ = fmt.Fprintf(w, "koinon_agent_links{way=\"websocket\"} %d\n", ways[carrier.WebSocket])
	metric("koinon_agent_streams", "gauge", "Connections that are carried.", "", now.Streams())
	metric("koinon_agent_received_bytes_total", "counter", "Bytes that have come from servers.", "", now.Received)
	metric("koinon_agent_sent_bytes_total", "counter", "Bytes that were sent to servers.", "", now.Sent)
	metric("koinon_agent_certificate_expiry_timestamp_seconds", "gauge", "When the certificate ends.", "", until.Unix())
}
