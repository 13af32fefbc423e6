package frontend_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

var m1 = tunnel.Name{Cluster: "m1"}

// The tests of this package use these all the time.
var (
	ask      = tunneltest.Connect
	answered = tunneltest.Answered
	listen   = tunneltest.Listen
	echoing  = tunneltest.Echoing
)

// policy allows what its maps have: tenants, and their clusters.
type policy struct {
	tenants map[string]string
	known   map[tunnel.Name]bool
}

func (p *policy) Client(certificate *x509.Certificate) (frontend.Client, error) {
	for _, uri := range certificate.URIs {
		if uri.Scheme == "tenant" {
			return frontend.Client{Tenant: uri.Opaque}, nil
		}
	}
	return frontend.Client{}, errors.New("it is no tenant's")
}

func tenantURI(tenant string) *url.URL { return &url.URL{Scheme: "tenant", Opaque: tenant} }

func (p *policy) Allow(_ context.Context, client frontend.Client, name tunnel.Name, _ string) error {
	if p.tenants[client.Tenant] != name.Cluster {
		return errors.New("it is another's")
	}
	return nil
}

func (p *policy) Known(name tunnel.Name) bool { return p.known[name] }

// events notes what an observer is told.
type events struct {
	mu       sync.Mutex
	answered []string
	ended    []string
}

func (e *events) Answered(front string, name tunnel.Name, tenant string, status int, _ time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answered = append(e.answered, fmt.Sprintf("%s %s/%s %s %d", front, name.Cluster, name.Node, tenant, status))
}

func (e *events) Ended(front string, name tunnel.Name, tenant string, _ time.Duration, sent, received int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = append(e.ended, fmt.Sprintf("%s %s/%s %s %d %d", front, name.Cluster, name.Node, tenant, sent, received))
}

// fixture is a front end before a server, with an agent of m1. Its Unix socket is that of the tenant t1, and fixes m1.
type fixture struct {
	t       *testing.T
	ca      *tunneltest.Authority
	server  *tunneltest.Replica
	front   *frontend.Frontend
	policy  *policy
	events  *events
	unix    string
	address string // with TLS
	stop    func() // the agent
}

func newFixture(t *testing.T, configure func(*frontend.Config)) *fixture {
	t.Helper()
	return newPreparedFixture(t, configure, func(*frontend.Frontend) {})
}

// newPreparedFixture has the front end prepared before it serves.
func newPreparedFixture(t *testing.T, configure func(*frontend.Config), prepare func(*frontend.Frontend)) *fixture {
	t.Helper()
	fx := &fixture{t: t, ca: tunneltest.NewAuthority(t), events: &events{}, policy: &policy{
		tenants: map[string]string{"t1": "m1", "t2": "m2"},
		known:   map[tunnel.Name]bool{m1: true, {Cluster: "m2"}: true, {Cluster: "m1", Node: "n1"}: true},
	}}
	fx.server = tunneltest.Serve(t, "", server.Config{ID: "a", TLS: fx.ca.ServerTLS(), MaxStreams: 10_000})
	_, fx.stop = tunneltest.Run(t, agent.Config{Servers: []string{fx.server.Address}, TLS: fx.ca.AgentTLS(m1), MaxStreams: 10_000})
	tunneltest.Linked(t, fx.server, m1, 1)
	config := frontend.Config{Opener: fx.server, Policy: fx.policy, Suffix: "tunnel.test", Observer: fx.events, Logger: tunneltest.Quiet}
	if configure != nil {
		configure(&config)
	}
	var err error
	if fx.front, err = frontend.New(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fx.front.Close)
	prepare(fx.front)
	fx.unix = filepath.Join(tunneltest.SocketDir(t), "m1.sock")
	listener, err := frontend.ListenUnix(fx.unix)
	if err != nil {
		t.Fatal(err)
	}
	fx.serve(listener, frontend.Door{Client: frontend.Client{Tenant: "t1", Within: m1}})
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fx.address = open.Addr().String()
	fx.serve(open, frontend.Door{TLS: fx.ca.ServerTLS()})
	return fx
}

// serve serves a listener until the test ends.
func (fx *fixture) serve(listener net.Listener, door frontend.Door) {
	tunneltest.During(fx.t, func(ctx context.Context) error { return fx.front.Serve(ctx, listener, door) })
}

// dialUnix connects to the Unix socket.
func (fx *fixture) dialUnix() *net.UnixConn {
	fx.t.Helper()
	conn, err := net.Dial("unix", fx.unix)
	if err != nil {
		fx.t.Fatal(err)
	}
	fx.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(tunneltest.Patience))
	return conn.(*net.UnixConn)
}

// tenantTLS is what a client of a tenant has.
func (fx *fixture) tenantTLS(tenant string) *tls.Config {
	return &tls.Config{
		RootCAs: fx.ca.Pool(), ServerName: "127.0.0.1",
		Certificates: []tls.Certificate{fx.ca.Issue(time.Now().Add(time.Hour), tenantURI(tenant))},
	}
}

// dialTLS connects with TLS.
func (fx *fixture) dialTLS(config *tls.Config) *tls.Conn {
	fx.t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: tunneltest.Patience}, "tcp", fx.address, config)
	if err != nil {
		fx.t.Fatal(err)
	}
	fx.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(tunneltest.Patience))
	return conn
}

// connected is a client that is connected to a target.
func connected[C net.Conn](fx *fixture, conn C, target string) C {
	fx.t.Helper()
	if status, body, _, err := ask(conn, target); err != nil || status != http.StatusOK {
		fx.t.Fatalf("CONNECT %s: %d %s: %v", target, status, body, err)
	}
	return conn
}

// released waits until nothing is carried, here and at the agent.
func (fx *fixture) released() {
	fx.t.Helper()
	tunneltest.Eventually(fx.t, "nothing is carried", func() bool {
		for _, link := range fx.server.Links() {
			if link.Streams > 0 {
				return false
			}
		}
		return fx.front.Carried() == 0
	})
}

// hanging runs a target that does nothing until the test ends.
func hanging(t *testing.T) (address string) {
	t.Helper()
	stop := make(chan struct{})
	address = listen(t, func(conn net.Conn) {
		_ = conn.(*net.TCPConn).SetReadBuffer(8 << 10) // so that less is needed to fill it
		<-stop
	})
	t.Cleanup(func() { close(stop) })
	return address
}
