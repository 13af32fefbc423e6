package frontend_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
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
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- fx.front.Serve(ctx, listener, door) }()
	fx.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			fx.t.Error(err)
		}
	})
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
	conn, err := tls.Dial("tcp", fx.address, config)
	if err != nil {
		fx.t.Fatal(err)
	}
	fx.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(tunneltest.Patience))
	return conn
}

// ask sends a request for a target as kube-apiserver does, and reads the answer.
func ask(conn net.Conn, target string, headers ...string) (status int, body string, answer *http.Response, err error) {
	request := "CONNECT " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return 0, "", nil, err
	}
	return answered(conn)
}

// answered reads an answer, and nothing behind it.
func answered(conn net.Conn) (status int, body string, answer *http.Response, err error) {
	reader := bufio.NewReader(conn)
	answer, err = http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return 0, "", nil, err
	}
	if answer.StatusCode == http.StatusOK {
		if n := reader.Buffered(); n > 0 {
			err = fmt.Errorf("%d bytes are behind the answer", n)
		}
		return answer.StatusCode, "", answer, err
	}
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, strings.TrimSuffix(string(text), "\n"), answer, err
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

// listen runs a target that serves its connections; they are closed at the end of the test.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		conns = map[net.Conn]bool{}
	)
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			all.Go(func() {
				serve(conn)
				_ = conn.Close()
				mu.Lock()
				delete(conns, conn)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return listener.Addr().String()
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

// echoing runs a target that says what it hears.
func echoing(t *testing.T) (address string) {
	t.Helper()
	return listen(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
}
