package tlsproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

const patience = 30 * time.Second

// front is a server with TLS that wants certificates, and serves each connection.
func front(t *testing.T, config *tls.Config, serve func(*tls.Conn)) (address string) {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer conn.Close(); serve(conn.(*tls.Conn)) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); all.Wait() })
	return listener.Addr().String()
}

// run runs a proxy to a server.
func run(t *testing.T, config Config) (p *Proxy, address string) {
	t.Helper()
	config.Logger = tunneltest.Quiet
	p, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		p.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return p, listener.Addr().String()
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

// lent are configurations of the two ends.
func lent(t *testing.T) (ca *tunneltest.Authority, serving *tls.Config, client func() (*tls.Config, error)) {
	t.Helper()
	ca = tunneltest.NewAuthority(t)
	serving, err := ca.ServerTLS()()
	if err != nil {
		t.Fatal(err)
	}
	serving = serving.Clone()
	serving.ClientAuth, serving.NextProtos = tls.RequireAndVerifyClientCert, nil
	return ca, serving, ca.AgentTLS(tunnel.Name{Cluster: "m1"})
}

func TestConnectionsArriveWithTheCertificateAndEachDirectionEndsByItself(t *testing.T) {
	_, serving, client := lent(t)
	names := make(chan int, 1)
	address := front(t, serving, func(conn *tls.Conn) {
		text, _ := io.ReadAll(conn) // until the client has ended its direction
		names <- len(conn.ConnectionState().PeerCertificates)
		_, _ = conn.Write([]byte(strings.ToUpper(string(text))))
	})
	_, proxy := run(t, Config{Server: address, TLS: client})
	conn := dial(t, proxy)
	_, _ = io.WriteString(conn, "hello")
	_ = conn.CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "HELLO" {
		t.Errorf("got %q, %v", got, err)
	}
	if n := <-names; n == 0 {
		t.Error("the front end was shown no certificate")
	}
}

func TestWhoBreaksOffBreaksOffAtTheOtherEnd(t *testing.T) {
	_, serving, client := lent(t)
	ends := make(chan error, 1)
	address := front(t, serving, func(conn *tls.Conn) {
		_, _ = conn.Write([]byte("x"))
		_, err := io.Copy(io.Discard, conn)
		ends <- err
	})
	_, proxy := run(t, Config{Server: address, TLS: client})
	conn := dial(t, proxy)
	_, _ = io.ReadFull(conn, make([]byte, 1))
	_ = conn.SetLinger(0)
	_ = conn.Close()
	if err := <-ends; err == nil {
		t.Error("a reset looks like an end")
	}
}

// What a certificate is lent for is read anew each time, so that it can be replaced.
func TestACertificateThatIsReplacedIsUsed(t *testing.T) {
	ca, serving, _ := lent(t)
	shown := make(chan string, 1)
	address := front(t, serving, func(conn *tls.Conn) {
		_ = conn.Handshake()
		shown <- conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	})
	var now atomic.Pointer[func() (*tls.Config, error)]
	first, second := ca.AgentTLS(tunnel.Name{Cluster: "m1"}), ca.AgentTLS(tunnel.Name{Cluster: "m2"})
	now.Store(&first)
	_, proxy := run(t, Config{Server: address, TLS: func() (*tls.Config, error) { return (*now.Load())() }})
	dial(t, proxy)
	before := <-shown
	now.Store(&second)
	dial(t, proxy)
	if after := <-shown; after == before {
		t.Error("the certificate before is shown")
	}
}

func TestWhoCannotBeConnectedIsToldWhy(t *testing.T) {
	_, serving, client := lent(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := silent.Addr().String()
	_ = silent.Close()
	other, _, _ := lent(t)
	taken := front(t, serving, func(conn *tls.Conn) { _, _ = io.Copy(io.Discard, conn) })
	_, foreign, _ := lent(t)
	wrong := front(t, foreign, func(conn *tls.Conn) { _ = conn.Handshake() })
	for what, test := range map[string]struct {
		server string
		tls    func() (*tls.Config, error)
		want   string
	}{
		"nobody listens":                           {gone, client, "connection refused"},
		"another authority answers":                {wrong, client, "an authority that is not trusted here"},
		"a certificate that is not taken":          {taken, mixed(client, other.AgentTLS(tunnel.Name{Cluster: "m1"})), "does not know the authority"},
		"a certificate that cannot be read by now": {taken, failing(client), "the certificate has gone"},
	} {
		t.Run(what, func(t *testing.T) {
			_, proxy := run(t, Config{Server: test.server, TLS: test.tls})
			conn := dial(t, proxy)
			_, _ = io.WriteString(conn, "CONNECT m1:443 HTTP/1.1\r\nHost: m1\r\n\r\n")
			got, err := io.ReadAll(conn)
			if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 502 the tunnel's front end "+test.server) || !strings.Contains(string(got), test.want) || strings.Contains(string(got), "readfrom") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// mixed trusts as one does, and shows the other's certificate.
func mixed(trust, show func() (*tls.Config, error)) func() (*tls.Config, error) {
	return func() (*tls.Config, error) {
		config, err := trust()
		if err != nil {
			return nil, err
		}
		shown, err := show()
		if err != nil {
			return nil, err
		}
		config = config.Clone()
		config.Certificates, config.GetClientCertificate = nil, func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &shown.Certificates[0], nil
		}
		return config, nil
	}
}

// failing fails after the first time.
func failing(then func() (*tls.Config, error)) func() (*tls.Config, error) {
	var asked atomic.Bool
	return func() (*tls.Config, error) {
		if asked.Swap(true) {
			return nil, errors.New("the certificate has gone")
		}
		return then()
	}
}

func TestNobodyElseOfTheNetworkIsLentACertificate(t *testing.T) {
	_, _, client := lent(t)
	p, err := New(Config{Server: "127.0.0.1:1", TLS: client})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Serve(t.Context(), listener); err == nil || !strings.Contains(err.Error(), "no address of loopback") {
		t.Errorf("got %v", err)
	}
}

// Those who come when as many are carried as may be wait, and are served then.
func TestWhoComesTooManyWaits(t *testing.T) {
	_, serving, client := lent(t)
	address := front(t, serving, func(conn *tls.Conn) { _, _ = io.Copy(conn, conn) })
	_, proxy := run(t, Config{Server: address, TLS: client, Connections: 4})
	echo := func(conn net.Conn) error {
		if _, err := io.WriteString(conn, "x"); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 1))
		return err
	}
	var held []*net.TCPConn
	for range 4 {
		conn := dial(t, proxy)
		if err := echo(conn); err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	fifth := dial(t, proxy)
	answered := make(chan error, 1)
	go func() { answered <- echo(fifth) }()
	for _, conn := range held[1:] { // they are still served
		if err := echo(conn); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-answered:
		t.Fatalf("a fifth was served beside four: %v", err)
	default:
	}
	_ = held[0].Close()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestWhatIsCarriedGoesOnUntilItIsDone(t *testing.T) {
	_, serving, client := lent(t)
	address := front(t, serving, func(conn *tls.Conn) { _, _ = io.Copy(conn, conn) })
	config := Config{Server: address, TLS: client, Logger: tunneltest.Quiet}
	p, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, listener) }()
	conn := dial(t, listener.Addr().String())
	one := make([]byte, 1)
	for range 2 {
		if _, err := conn.Write(one); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, one); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		ended <- nil
	}
	_ = conn.CloseWrite()
	p.Drain(t.Context()) // returns
	if _, err := conn.Read(one); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	p.Close()
}
