package konnectivity_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	stock "sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/client"
	wire "sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend/konnectivity"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

var m1 = tunnel.Name{Cluster: "m1"}

var (
	listen = tunneltest.Listen
	echo   = tunneltest.Echo
)

// all allows everything, and knows m1.
type all struct{}

func (all) Client(*x509.Certificate) (frontend.Client, error) {
	return frontend.Client{}, errors.New("nobody has a certificate here")
}
func (all) Allow(context.Context, frontend.Client, tunnel.Name, string) error { return nil }
func (all) Known(name tunnel.Name) bool                                       { return name == m1 }

type fixture struct {
	t      *testing.T
	server *tunneltest.Replica
	front  *frontend.Frontend
	socket string
	stop   func() // the agent
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	ca := tunneltest.NewAuthority(t)
	fx := &fixture{t: t, server: tunneltest.Serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()}), socket: filepath.Join(tunneltest.SocketDir(t), "m1.sock")}
	_, fx.stop = tunneltest.Run(t, agent.Config{Servers: []string{fx.server.Address}, TLS: ca.AgentTLS(m1)})
	tunneltest.Linked(t, fx.server, m1, 1)
	var err error
	if fx.front, err = frontend.New(frontend.Config{Opener: fx.server, Policy: all{}, Logger: tunneltest.Quiet}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fx.front.Close)
	listener, err := frontend.ListenUnix(fx.socket)
	if err != nil {
		t.Fatal(err)
	}
	tunneltest.During(t, func(ctx context.Context) error {
		err := konnectivity.Serve(ctx, listener, fx.front, frontend.Client{Tenant: "m1", Within: m1})
		if n := fx.front.Carried(); n > 0 {
			t.Errorf("%d connections are carried on", n)
		}
		return err
	})
	return fx
}

// options are those of kube-apiserver.
func (fx *fixture) options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", fx.socket)
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	}
}

// dial dials with the stock client.
func (fx *fixture) dial(ctx context.Context, target string) (net.Conn, error) {
	made, cancel := context.WithCancel(fx.t.Context())
	fx.t.Cleanup(cancel)
	through, err := stock.CreateSingleUseGrpcTunnelWithContext(ctx, made, "passthrough:///"+fx.socket, fx.options()...)
	if err != nil {
		cancel()
		return nil, err
	}
	return through.DialContext(ctx, "tcp", target)
}

func (fx *fixture) connected(target string) net.Conn {
	fx.t.Helper()
	ctx, cancel := context.WithTimeout(fx.t.Context(), tunneltest.Patience)
	defer cancel()
	conn, err := fx.dial(ctx, target)
	if err != nil {
		fx.t.Fatal(err)
	}
	return conn
}

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

func hanging(t *testing.T) (address string) {
	t.Helper()
	stop := make(chan struct{})
	address = listen(t, func(net.Conn) { <-stop })
	t.Cleanup(func() { close(stop) })
	return address
}

// closed reports whether a stock connection was closed in time: when it heard so, its tunnel is closed too, and which of
// the two it notes is left to chance.
func closed(err error) bool { return err == nil || err.Error() == "tunnel closed" }

func TestTheStockClientConnects(t *testing.T) {
	fx := newFixture(t)
	conn := fx.connected(listen(t, echo))
	sent := []byte(strings.Repeat("something ", 50_000))
	go func() {
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), 30_000)
			_, _ = conn.Write(rest[:n])
			rest = rest[n:]
		}
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != string(sent) {
		t.Fatalf("it came back otherwise: %v", err)
	}
	if err := conn.Close(); !closed(err) {
		t.Errorf("it does not close: %v", err)
	}
	fx.released()
}

// The stock client drops what comes before the goroutine that dialed has noted the connection. It gets some time for that, which a busy
// machine may not have.
func TestTheStockClientHearsATargetThatSpeaksFirstAndEnds(t *testing.T) {
	fx := newFixture(t)
	target := listen(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "welcome") })
	heard := 0
	for range 20 {
		conn := fx.connected(target)
		got, err := io.ReadAll(conn)
		if err != nil || len(got) > 0 && string(got) != "welcome" {
			t.Fatalf("got %q: %v", got, err)
		}
		if len(got) > 0 {
			heard++
		}
		_ = conn.Close()
	}
	if heard == 0 {
		t.Error("it heard nothing each time")
	}
	fx.released()
}

func TestTheStockClientLearnsWhyItIsNotConnected(t *testing.T) {
	fx := newFixture(t)
	for target, want := range map[string]string{
		"127.0.0.1:1":  `cluster "m1": 127.0.0.1:1 cannot be reached through the tunnel: connection refused`,
		"10.0.0.1:443": `cluster "m1": 10.0.0.1:443 cannot be reached through the tunnel: the agent's policy does not allow it: 10.0.0.1:443 is not among its targets`,
		"10.0.0.1":     `the target "10.0.0.1" is not HOST:PORT`,
	} {
		if _, err := fx.dial(t.Context(), target); err == nil || err.Error() != want {
			t.Errorf("%s: %v", target, err)
		}
	}
	fx.stop()
	tunneltest.Linked(t, fx.server, m1, 0)
	want := `cluster "m1": 127.0.0.1:1 cannot be reached through the tunnel: no agent of it is connected`
	if _, err := fx.dial(t.Context(), "127.0.0.1:1"); err == nil || err.Error() != want {
		t.Errorf("without an agent: %v", err)
	}
}

// What is closed before the target reads is delivered; and what a target does not read holds nothing when the client has gone.
func TestTheStockClientClosesWhateverTheTargetDoes(t *testing.T) {
	fx := newFixture(t)
	t.Run("a target that reads late", func(t *testing.T) {
		const bytes = 200_000 // more than may wait with the packets
		begin, heard := make(chan struct{}), make(chan int64, 1)
		conn := fx.connected(listen(t, func(conn net.Conn) {
			<-begin
			n, _ := io.Copy(io.Discard, conn)
			heard <- n
		}))
		for range 10 {
			_, _ = conn.Write(make([]byte, bytes/10))
		}
		if err := conn.Close(); !closed(err) {
			t.Errorf("it does not close: %v", err)
		}
		close(begin)
		if n := <-heard; n != bytes {
			t.Errorf("the target got %d bytes of %d", n, bytes)
		}
	})
	t.Run("a target that does not read", func(t *testing.T) {
		conn := fx.connected(hanging(t))
		for range 40 {
			_, _ = conn.Write(make([]byte, 8<<10))
		}
		if err := conn.Close(); !closed(err) {
			t.Errorf("it does not close: %v", err)
		}
		fx.released()
	})
	t.Run("a target that floods", func(t *testing.T) {
		conn := fx.connected(listen(t, func(conn net.Conn) {
			_, _ = io.ReadFull(conn, make([]byte, 1))
			for {
				if _, err := conn.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}))
		_, _ = conn.Write([]byte("x"))
		if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		_ = conn.Close()
		fx.released()
	})
}

func TestTheStockClientCancelsManyDials(t *testing.T) {
	fx := newFixture(t)
	target := tunneltest.Deaf(t)
	before := runtime.NumGoroutine()
	var dials sync.WaitGroup
	for range 8 {
		dials.Go(func() {
			for range 25 {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(5*time.Millisecond, cancel) // some wait for the agent then, some for their socket
				if conn, err := fx.dial(ctx, target); err == nil {
					_ = conn.Close()
				}
				cancel()
			}
		})
	}
	dials.Wait()
	fx.released()
	tunneltest.Eventually(t, "the agent does not connect any more", func() bool { return tunneltest.Connecting(t, target) == 0 })
	tunneltest.Eventually(t, "goroutines are as before", func() bool { return runtime.NumGoroutine() <= before+5 })
}

// A client may have several connections in one stream, although the stock one does not: each stands for itself.
func TestConnectionsOfOneStreamStandForThemselves(t *testing.T) {
	fx := newFixture(t)
	made, err := grpc.NewClient("passthrough:///"+fx.socket, fx.options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	ctx, cancel := context.WithTimeout(t.Context(), tunneltest.Patience)
	defer cancel()
	stream, err := wire.NewProxyServiceClient(made).Proxy(ctx)
	if err != nil {
		t.Fatal(err)
	}
	send := func(packet *wire.Packet) {
		t.Helper()
		if err := stream.Send(packet); err != nil {
			t.Fatal(err)
		}
	}
	receive := func() *wire.Packet {
		t.Helper()
		packet, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return packet
	}
	dial := func(random int64, target string) (id int64) {
		t.Helper()
		send(&wire.Packet{Type: wire.PacketType_DIAL_REQ, Payload: &wire.Packet_DialRequest{
			DialRequest: &wire.DialRequest{Protocol: "tcp", Address: target, Random: random}}})
		answer := receive().GetDialResponse()
		if answer.GetRandom() != random || answer.GetError() != "" || answer.GetConnectID() == 0 {
			t.Fatalf("the answer is %v", answer)
		}
		return answer.GetConnectID()
	}
	data := func(id int64, bytes int) {
		t.Helper()
		send(&wire.Packet{Type: wire.PacketType_DATA, Payload: &wire.Packet_Data{Data: &wire.Data{ConnectID: id, Data: make([]byte, bytes)}}})
	}
	hangs, echoes := dial(1, hanging(t)), dial(2, listen(t, echo))
	if hangs == echoes {
		t.Fatalf("both have the number %d", hangs)
	}
	for range 4 {
		data(hangs, 16<<10)
	}
	data(echoes, 10)
	if got := receive().GetData(); got.GetConnectID() != echoes || len(got.GetData()) != 10 {
		t.Errorf("got %d bytes of %d", len(got.GetData()), got.GetConnectID())
	}
	for _, id := range []int64{hangs, echoes, 99} { // one that is not there is closed, too
		send(&wire.Packet{Type: wire.PacketType_CLOSE_REQ, Payload: &wire.Packet_CloseRequest{CloseRequest: &wire.CloseRequest{ConnectID: id}}})
		if got := receive().GetCloseResponse(); got.GetConnectID() != id || got.GetError() != "" {
			t.Errorf("closing %d: %v", id, got)
		}
	}
	fx.released()
}

func TestOnlyAUnixSocketIsServed(t *testing.T) {
	fx := newFixture(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := konnectivity.Serve(t.Context(), listener, fx.front, frontend.Client{Tenant: "m1", Within: m1}); err == nil {
		t.Error("anybody is served")
	}
}
