package carrier_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/enroll"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

var m1 = tunnel.Name{Cluster: "m1"}

// run runs an agent until the test ends.
func run(t *testing.T, config agent.Config) *agent.Agent {
	t.Helper()
	a, _ := tunneltest.Run(t, config)
	return a
}

// echo is an address that answers with what it is sent.
func echo(t *testing.T) string { t.Helper(); return tunneltest.Target(t, "") }

// carries sends so many bytes through the tunnel and back.
func carries(t *testing.T, tn *authoritytest.Tunnel, name tunnel.Name, n int) {
	t.Helper()
	conn, err := tn.Dial(t.Context(), name, "tcp", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(authoritytest.Patience))
	sent, got := make([]byte, n), make([]byte, n)
	_, _ = rand.Read(sent)
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := conn.Write(sent); err != nil {
			t.Error(err)
		}
	})
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("what came back is not what was sent: %v", err)
	}
	sending.Wait()
}

// ending is a reverse proxy in front of a tunnel that ends TLS, and keeps what it could read.
type ending struct {
	address string
	mu      sync.Mutex
	read    bytes.Buffer // guarded by mu
	paths   []string     // guarded by mu
}

func newEnding(t *testing.T, backend string) *ending {
	t.Helper()
	e := &ending{}
	to := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "https", Host: backend}) },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // what an operator may do
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			},
		},
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode == http.StatusSwitchingProtocols {
				r.Body = &overheard{r.Body.(io.ReadWriteCloser), e}
			}
			return nil
		},
	}
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		e.paths = append(e.paths, r.Method+" "+r.URL.Path)
		e.mu.Unlock()
		to.ServeHTTP(w, r)
	}))
	t.Cleanup(front.CloseClientConnections)
	e.address = front.Listener.Addr().String()
	return e
}

// overheard keeps what goes through it in both directions.
type overheard struct {
	io.ReadWriteCloser
	by *ending
}

func (o *overheard) keep(p []byte) {
	o.by.mu.Lock()
	defer o.by.mu.Unlock()
	o.by.read.Write(p)
}

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadWriteCloser.Read(p)
	o.keep(p[:n])
	return n, err
}

func (o *overheard) Write(p []byte) (int, error) {
	o.keep(p)
	return o.ReadWriteCloser.Write(p)
}

func TestALinkInWebSocketCarriesWhatADirectOneDoes(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	run(t, agent.Config{Servers: []string{tn.Address}, TLS: tn.AgentTLS(t, m1), Transport: carrier.WebSocket})
	if links := tn.Linked(t, m1, 1); links[0].Way != carrier.WebSocket {
		t.Errorf("it goes by %s", links[0].Way)
	}
	carries(t, tn, m1, 4<<20)
	conn, err := tn.Dial(t.Context(), m1, "tcp", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	tn.Revoke(m1, errors.New("it was revoked"))
	_ = conn.SetDeadline(time.Now().Add(authoritytest.Patience))
	if _, err := io.ReadAll(conn); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("its stream ended with %v", err)
	}
	tn.Linked(t, m1, 0)
}

func TestAProxyThatEndsTLSSeesNothingAndSpeaksForNobody(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	proxy := newEnding(t, tn.Address)
	state, err := enroll.NewDir(t.TempDir(), os.WriteFile)
	if err != nil {
		t.Fatal(err)
	}
	token := tn.Tokens.New(t, m1, time.Now(), time.Hour)
	dialer := &carrier.Dialer{}
	keeper, err := enroll.New(enroll.Config{
		Servers: []string{proxy.address}, State: state, Pins: []identity.Pin{tn.Pin()}, Dialer: dialer, Logger: authoritytest.Quiet,
		Token: func() (string, error) { return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), authoritytest.Patience)
	defer cancel()
	if err := keeper.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := keeper.Renew(ctx); err != nil {
		t.Fatal(err)
	}
	a := run(t, agent.Config{Servers: []string{proxy.address}, TLS: keeper.TLS})
	if links := tn.Linked(t, m1, 1); links[0].Way != carrier.WebSocket {
		t.Errorf("it goes by %s", links[0].Way)
	}
	carries(t, tn, m1, 1<<20)
	if got := a.Status().Links; len(got) != 1 || got[0].Way != carrier.WebSocket {
		t.Errorf("the agent says that its links are %v", got)
	}
	proxy.mu.Lock()
	defer proxy.mu.Unlock()
	for _, secret := range []string{token, token[9:], "BEGIN CERTIFICATE", "HELLO", `"network"`} {
		if bytes.Contains(proxy.read.Bytes(), []byte(secret)) {
			t.Errorf("the proxy can read %q", secret)
		}
	}
	for _, path := range proxy.paths {
		if path != "GET "+carrier.LinkPath {
			t.Errorf("the proxy was asked for %s", path)
		}
	}
}

func TestAnotherServerBehindAWebSocketIsNotBelieved(t *testing.T) {
	tn, other := authoritytest.Start(t, nil), authoritytest.Start(t, nil)
	config, _ := tn.AgentTLS(t, m1)()
	config = config.Clone()
	config.NextProtos = []string{tunnel.ALPN}
	proxy := newEnding(t, other.Address)
	conn, err := (&carrier.Dialer{}).Dial(t.Context(), proxy.address, config)
	if err == nil {
		_ = conn.Close()
		t.Fatal("it was believed")
	}
	for _, want := range []string{"direct: ", "; websocket: TLS: the server's certificate is of an authority that is not trusted here"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
}

func TestWhatWorkedIsTriedFirst(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	proxy := newEnding(t, tn.Address)
	config := &tls.Config{RootCAs: tn.Servers.Pool(), NextProtos: []string{identity.Protocol}}
	var connects atomic.Int32
	dialer := &carrier.Dialer{Connect: func(ctx context.Context, network, address string) (net.Conn, error) {
		connects.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	for _, test := range []struct {
		address string
		way     carrier.Way
		want    int32
	}{
		{proxy.address, carrier.WebSocket, 2},
		{proxy.address, carrier.WebSocket, 1},
		{tn.Address, carrier.Direct, 1},
		{tn.Address, carrier.Direct, 1},
	} {
		connects.Store(0)
		conn, err := dialer.Dial(t.Context(), test.address, config)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if got := connects.Load(); conn.Way != test.way || got != test.want {
			t.Errorf("it went by %s after %d connections, not by %s after %d", conn.Way, got, test.way, test.want)
		}
	}
}

func TestAFirewallThatDropsWithoutAWordIsGoneAround(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	hole, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	var connects atomic.Int32
	dialer := &carrier.Dialer{Connect: func(ctx context.Context, network, address string) (net.Conn, error) {
		if connects.Add(1) == 1 {
			address = hole.Addr().String()
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	dialer.GiveUpDirectAfter(50 * time.Millisecond)
	conn, err := dialer.Dial(t.Context(), tn.Address, &tls.Config{RootCAs: tn.Servers.Pool(), NextProtos: []string{identity.Protocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.Way != carrier.WebSocket {
		t.Errorf("it went by %s", conn.Way)
	}
}

func TestWhatIsClosedWhileItIsDialedIsGivenUp(t *testing.T) {
	silent := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := (&carrier.Dialer{Way: carrier.WebSocket}).Dial(ctx, silent.Listener.Addr().String(), &tls.Config{NextProtos: []string{identity.Protocol}})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "no answer in time to GET /v1/link") {
		t.Errorf("got %v", err)
	}
}

func TestADeadlineEndsAWriteThatWaits(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	config := &tls.Config{Certificates: []tls.Certificate{tn.Servers.ForServer(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))}, NextProtos: []string{identity.Protocol}}
	done := make(chan struct{})
	stalled := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := carrier.Accept(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if err := tls.Server(conn, config).HandshakeContext(r.Context()); err != nil {
			t.Error(err)
		}
		<-done // and reads nothing
	}))
	defer stalled.Close()
	defer close(done)
	conn, err := (&carrier.Dialer{Way: carrier.WebSocket}).Dial(t.Context(), stalled.Listener.Addr().String(), &tls.Config{RootCAs: tn.Servers.Pool(), NextProtos: config.NextProtos})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.NetConn().Close() // without a last word, for which there is no room
	failed := make(chan error, 1)
	var written atomic.Int64
	go func() { // ends with the deadline
		piece := make([]byte, 64<<10)
		for {
			n, err := conn.Write(piece)
			written.Add(int64(n))
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	last := int64(-1)
	authoritytest.Eventually(t, "it waits", func() bool {
		before := last
		last = written.Load()
		time.Sleep(20 * time.Millisecond) // long enough to see it move; if not, the deadline ends the next write
		return last > 0 && last == before
	})
	_ = conn.SetWriteDeadline(time.Now())
	select {
	case err := <-failed:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(authoritytest.Patience):
		t.Error("it still waits")
	}
}

func TestAWayThatIsSaidIsTheOnlyOne(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	proxy := newEnding(t, tn.Address)
	config := &tls.Config{RootCAs: tn.Servers.Pool(), NextProtos: []string{identity.Protocol}}
	conn, err := (&carrier.Dialer{Way: carrier.Direct}).Dial(t.Context(), proxy.address, config)
	if err == nil {
		_ = conn.Close()
		t.Error("it went another way")
	}
	plain := httptest.NewTLSServer(http.NotFoundHandler())
	defer plain.Close()
	_, err = (&carrier.Dialer{Way: carrier.WebSocket}).Dial(t.Context(), plain.Listener.Addr().String(), config)
	if err == nil || err.Error() != "it answers GET /v1/link with 404 Not Found, and not with a WebSocket" {
		t.Errorf("got %v", err)
	}
}

func TestWebSocketGoesByAnHTTPProxy(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	behind := newEnding(t, tn.Address)
	var connects atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "tunnel.example.org:443" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		connects.Add(1)
		there, err := net.Dial("tcp", behind.address)
		if err != nil {
			t.Error(err)
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer here.Close()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		_, _ = io.Copy(here, there)
	}))
	t.Cleanup(proxy.CloseClientConnections)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	t.Setenv("NO_PROXY", "")
	run(t, agent.Config{Servers: []string{"tunnel.example.org:443"}, TLS: tn.AgentTLS(t, m1)})
	if links := tn.Linked(t, m1, 1); links[0].Way != carrier.WebSocket {
		t.Errorf("it goes by %s", links[0].Way)
	}
	carries(t, tn, m1, 1<<20)
	if connects.Load() == 0 {
		t.Error("it went another way")
	}
}

func TestAnAnswerThatDoesNotEndIsNotReadToItsEnd(t *testing.T) {
	var sent atomic.Int64
	endless := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n")
		line := "X-Pad: " + strings.Repeat("x", 8<<10) + "\r\n"
		for err == nil {
			_, err = io.WriteString(conn, line)
			sent.Add(int64(len(line)))
		}
	}))
	defer endless.Close()
	_, err := (&carrier.Dialer{Way: carrier.WebSocket}).Dial(t.Context(), endless.Listener.Addr().String(), &tls.Config{NextProtos: []string{identity.Protocol}})
	if err == nil || !strings.Contains(err.Error(), "a header that does not end") {
		t.Errorf("got %v", err)
	}
}

func TestAWebSocketWithinAWebSocketIsNotMade(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	config := &tls.Config{RootCAs: tn.Servers.Pool(), NextProtos: []string{identity.Protocol}}
	conn, err := (&carrier.Dialer{Way: carrier.WebSocket}).Dial(t.Context(), tn.Address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(authoritytest.Patience))
	_, _ = io.WriteString(conn, "GET /v1/link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	got, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(got), "HTTP/1.1 400 ") || !strings.Contains(string(got), "a WebSocket within a WebSocket is not made") {
		t.Errorf("got %q", got)
	}
}

func TestAWayThatThereIsNotIsRefused(t *testing.T) {
	if err := carrier.Way("quic").Validate(); err == nil || err.Error() != `"quic" is no way to a server: auto, direct and websocket are allowed` {
		t.Errorf("got %v", err)
	}
}
