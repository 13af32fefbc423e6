package tunnelscenarios

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// besieged is a server with an honest agent, whose target counts who reaches it.
type besieged struct {
	t       *testing.T
	ca      *tunneltest.Authority
	server  *tunneltest.Replica
	honest  tunnel.Name
	target  string
	reached atomic.Int64
	dials   int64

	mu sync.Mutex
	// certificates that were issued already, guarded by mu.
	certificates map[tunnel.Name]*tls.Config
}

func besiege(t *testing.T, honest tunnel.Name) *besieged {
	t.Helper()
	b := &besieged{t: t, ca: tunneltest.NewAuthority(t), honest: honest, certificates: map[tunnel.Name]*tls.Config{}}
	b.server = tunneltest.Serve(t, "", server.Config{ID: "a", TLS: b.ca.ServerTLS()})
	b.target = listen(t, func(conn net.Conn) {
		b.reached.Add(1)
		echo(conn)
	})
	tunneltest.Run(t, agent.Config{Servers: []string{b.server.Address}, TLS: b.ca.AgentTLS(honest)})
	tunneltest.Linked(t, b.server, honest, 1)
	return b
}

// unharmed checks that the honest one is reached as ever.
func (b *besieged) unharmed() {
	b.t.Helper()
	b.dials++
	if err := echoed(b.server, b.honest, b.target); err != nil {
		b.t.Fatalf("%s is not reached any more: %v", b.honest, err)
	}
}

// alone checks that the honest one is the only one with a link, that it carries nothing, and that nobody else got to its target.
func (b *besieged) alone() {
	b.t.Helper()
	eventually(b.t, "nobody else has a link, and nothing is carried", func() bool {
		return len(b.server.Links()) == 1 && streams(b.server) == 0
	})
	if got := b.server.Links()[0].Name; got != b.honest {
		b.t.Errorf("%s has the link", got)
	}
	if n := b.reached.Load(); n != b.dials {
		b.t.Errorf("the target was reached %d times, and dialed %d times", n, b.dials)
	}
}

// config is what an agent of a name has.
func (b *besieged) config(name tunnel.Name) *tls.Config {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.certificates[name] == nil {
		b.certificates[name], _ = b.ca.AgentTLS(name)()
	}
	config := b.certificates[name].Clone()
	config.NextProtos, config.ServerName = []string{tunnel.ALPN}, "127.0.0.1"
	return config
}

// agent connects as an agent of a name. hello is what it says of itself.
func (b *besieged) agent(name tunnel.Name, serverName, hello string) *tls.Conn {
	config := b.config(name)
	if serverName != "" {
		config.ServerName, config.InsecureSkipVerify = serverName, true
	}
	conn, err := tls.Dial("tcp", b.server.Address, config)
	if err != nil {
		panic(err) // it may be in any goroutine
	}
	_ = conn.SetDeadline(time.Now().Add(tunneltest.Patience))
	_, _ = conn.Write(frame(typeHello, 0, 0, hello))
	return conn
}

// Whatever an agent says of itself, its certificate says who it is.
func TestWhatAnAgentSaysMakesItNobodyElse(t *testing.T) {
	leavesNothing(t)
	b := besiege(t, tunnel.Name{Cluster: "m11"})
	asking := "\x00\x10\x00\x00" + `{"network":"tcp","address":"` + b.target + `","cluster":"m11","name":{"Cluster":"m11"}}`
	for what, test := range map[string]struct {
		name              tunnel.Name
		serverName, hello string
		then              []byte
	}{
		"in its HELLO":                      {m1, "", `{"features":["m11"],"info":{"cluster":"m11","name":{"cluster":"m11"},"Name":{"Cluster":"m11"},"version":"m11","host":"m11"}}`, nil},
		"by SNI":                            {m1, "m11.tunnel.test", `{}`, nil},
		"in NEWS":                           {m1, "", `{}`, frame(typeNews, 0, 0, `{"replicas":[{"id":"a","address":"192.0.2.1:1"}],"name":{"Cluster":"m11"}}`)},
		"in DRAIN":                          {m1, "", `{}`, frame(typeDrain, 0, 0, `{"untilMillis":1,"name":{"Cluster":"m11"}}`)},
		"by a stream that it opens":         {m1, "", `{}`, frame(typeOpen, 0, 2, asking)},
		"by a name with another's in front": {tunnel.Name{Cluster: "m11.x"}, "", `{}`, nil},
		"by a node of that name":            {tunnel.Name{Cluster: "m1", Node: "m11"}, "", `{}`, nil},
		"by a node of another cluster":      {tunnel.Name{Cluster: "m111", Node: "n1"}, "", `{"info":{"cluster":"m11"}}`, nil},
	} {
		t.Run(what, func(t *testing.T) {
			conn := b.agent(test.name, test.serverName, test.hello)
			_, _ = conn.Write(test.then)
			tunneltest.Linked(t, b.server, test.name, 1)
			tunneltest.Linked(t, b.server, b.honest, 1)
			for range 8 { // it would get some of them
				b.unharmed()
			}
			_ = conn.Close()
			tunneltest.Linked(t, b.server, test.name, 0)
		})
	}
	b.alone()
}

// There are no paths by which somebody without a certificate gets a link, or anything else than an answer that says no.
func TestPathsLeadNowhere(t *testing.T) {
	leavesNothing(t)
	b := besiege(t, m1)
	const upgrade = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	for _, path := range []string{
		"/", "//", "/v1/../v1/link", "/v1//link", "//v1/link", "/v1/%2e%2e/v1/link", "/%2e%2e/v1/link", "/v1/link/", "/v1/link/..", "/v1/link%2f..%2f..", "/v1/link%00",
		"/v1/link;x=1", "/V1/LINK", "/v1\\link", "http://m1/v1/link/x", "*", "/v1/certificate/../link", "/metrics", "/debug/pprof/", "/clusters/m1", "/v1/links",
	} {
		conn, err := tls.Dial("tcp", b.server.Address, &tls.Config{RootCAs: b.ca.Pool(), NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(tunneltest.Patience))
		_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\n"+upgrade+"\r\n")
		answer, err := io.ReadAll(conn)
		_ = conn.Close()
		if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 ")) || bytes.HasPrefix(answer, []byte("HTTP/1.1 1")) || bytes.HasPrefix(answer, []byte("HTTP/1.1 2")) {
			t.Errorf("%s: %.80q: %v", path, answer, err)
		}
	}
	b.unharmed()
	b.alone()
}

// An agent with a good certificate sends what it wants: its own link ends or goes on, others are as they were, and nothing is left.
func TestAHostileAgentHarmsItselfOnly(t *testing.T) {
	leavesNothing(t)
	random := newDice(t)
	b := besiege(t, m1)
	evil := tunnel.Name{Cluster: "evil"}
	t.Run("random bytes", func(t *testing.T) {
		each(t, size(50, 5000), 8, func(int) error {
			conn := b.agent(evil, "", "{}")
			_, _ = conn.Write(random.bytes(1 + random.n(4096)))
			_ = conn.Close()
			return nil
		})
		b.unharmed()
	})
	t.Run("random frames that are cut off", func(t *testing.T) {
		each(t, size(50, 5000), 8, func(int) error {
			conn := b.agent(evil, "", "{}")
			var sent []byte
			for range 1 + random.n(20) {
				sent = append(sent, frame(byte(random.n(14)), byte(random.n(2)*0x80), uint32(random.n(6)), string(random.bytes(random.n(64))))...)
			}
			_, _ = conn.Write(sent[:random.n(len(sent)+1)])
			if random.n(2) == 0 {
				reset(conn.NetConn())
			}
			_ = conn.Close()
			return nil
		})
		b.unharmed()
	})
	t.Run("frames longer than they may be", func(t *testing.T) {
		for _, kind := range []byte{typeHello, typeResult, typeData, typeReset, typePing, typeDrain, typeNews} {
			conn := b.agent(evil, "", "{}")
			_, _ = conn.Write(frame(kind, 0, 1, strings.Repeat("x", 60_000)))
			if _, err := io.Copy(io.Discard, conn); err != nil && errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a link goes on after a long frame of type %d", kind)
			}
			_ = conn.Close()
		}
		b.unharmed()
	})
	t.Run("a byte at a time", func(t *testing.T) {
		conn := b.agent(evil, "", "{}")
		tunneltest.Linked(t, b.server, evil, 1)
		for _, x := range frame(typePing, 0, 0, "12345678") {
			if _, err := conn.Write([]byte{x}); err != nil {
				t.Fatal(err)
			}
		}
		if !hears(conn, typePong) {
			t.Error("a PING in pieces is not answered")
		}
		_ = conn.Close()
		b.unharmed()
	})
	t.Run("answers that are none", func(t *testing.T) {
		for what, answer := range map[string]func(stream uint32) []byte{
			"bytes before the result":  func(id uint32) []byte { return frame(typeData, 0, id, "too early") },
			"an end before the result": func(id uint32) []byte { return frame(typeFin, 0, id, "") },
			"two results": func(id uint32) []byte {
				r := frame(typeResult, 0, id, "\x00\x01\x00\x00\x00\x00no")
				return append(r, r...)
			},
			"a result of another stream": func(id uint32) []byte { return frame(typeResult, 0, id+2, "\x00\x00\x00\x01\x00\x00") },
			"a code that there is not":   func(id uint32) []byte { return frame(typeResult, 0, id, "\xff\xff\x00\x00\x00\x00\x1b[31m\r\nno\x00") },
			"a reset":                    func(id uint32) []byte { return frame(typeReset, 0, id, "\x00\x08gone") },
			"more than there is credit":  func(id uint32) []byte { return flooding(id) },
		} {
			conn := b.agent(evil, "", "{}")
			tunneltest.Linked(t, b.server, evil, 1)
			go func() { // ends with conn
				if id, ok := hear(conn, typeOpen); ok {
					_, _ = conn.Write(answer(id))
				}
				_, _ = io.Copy(io.Discard, conn)
			}()
			stream, err := b.server.Open(t.Context(), evil, "tcp", b.target)
			if err == nil {
				_ = stream.SetReadDeadline(time.Now().Add(tunneltest.Patience))
				_, err = io.Copy(io.Discard, stream)
				_ = stream.Close()
			}
			if err == nil || strings.ContainsAny(err.Error(), "\r\n\x00\x1b") {
				t.Errorf("%s: got %q", what, err)
			}
			_ = conn.Close()
			tunneltest.Linked(t, b.server, evil, 0)
		}
		b.unharmed()
	})
	t.Run("links that are reset", func(t *testing.T) {
		each(t, size(200, 5000), 16, func(i int) error {
			raw, err := net.Dial("tcp", b.server.Address)
			if err != nil {
				return err
			}
			if i%2 == 0 {
				_, _ = raw.Write(random.bytes(1 + random.n(200)))
			}
			reset(raw)
			return nil
		})
		b.unharmed()
	})
	b.alone()
}

// flooding accepts a stream, and sends more than there is credit for.
func flooding(id uint32) []byte {
	b := frame(typeResult, 0, id, "\x00\x00\x00\x10\x00\x00")
	for range 64 {
		b = append(b, frame(typeData, 0, id, strings.Repeat("x", 32<<10))...)
	}
	return b
}

// hear reads frames until one of a type comes, and returns its stream.
func hear(conn net.Conn, kind byte) (stream uint32, ok bool) {
	for {
		var h [8]byte
		if _, err := io.ReadFull(conn, h[:]); err != nil {
			return 0, false
		}
		if _, err := io.CopyN(io.Discard, conn, int64(h[2])<<8|int64(h[3])); err != nil {
			return 0, false
		}
		if h[0] == kind {
			return uint32(h[4])<<24 | uint32(h[5])<<16 | uint32(h[6])<<8 | uint32(h[7]), true
		}
	}
}

func hears(conn net.Conn, kind byte) bool { _, ok := hear(conn, kind); return ok }

// noted notes whose agents are asked.
type noted struct {
	frontend.Opener
	mu    sync.Mutex
	names map[tunnel.Name]int // guarded by mu
}

func (n *noted) Open(ctx context.Context, name tunnel.Name, network, address string) (*mux.Stream, error) {
	n.mu.Lock()
	n.names[name]++
	n.mu.Unlock()
	return n.Opener.Open(ctx, name, network, address)
}

// A client that may reach m1 does not reach m11, whatever it sends; and whatever it does, others are served and nothing is left.
func TestAHostileClientGetsNothing(t *testing.T) {
	leavesNothing(t)
	random := newDice(t)
	b := besiege(t, tunnel.Name{Cluster: "m11"})
	opener := &noted{Opener: b.server, names: map[tunnel.Name]int{}}
	own := newFront(t, frontend.Config{Opener: opener, Suffix: "tunnel.test", Policy: policy{}}, frontend.Client{Tenant: "evil", Within: m1})
	honest := newFront(t, frontend.Config{Opener: b.server, Policy: policy{}}, frontend.Client{Tenant: "honest", Within: b.honest})
	served := func(t *testing.T) {
		t.Helper()
		b.dials++
		conn, status, body, err := honest.connect(b.target)
		if err != nil || status != 200 {
			t.Fatalf("others are not served: %d %s: %v", status, body, err)
		}
		defer conn.Close()
		if err := said(conn, "something"); err != nil {
			t.Fatal(err)
		}
	}
	dial := func(t *testing.T) *net.UnixConn {
		t.Helper()
		conn, err := net.Dial("unix", own.socket)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(tunneltest.Patience))
		return conn.(*net.UnixConn)
	}
	t.Run("requests", func(t *testing.T) {
		const end = " HTTP/1.1\r\nHost: 127.0.0.1\r\n"
		for _, request := range []string{
			"CONNECT m11.tunnel.test:443" + end + "\r\n",
			"CONNECT m1.tunnel.test.m11.tunnel.test:443" + end + "\r\n",
			"CONNECT m11.tunnel.test.:443" + end + "\r\n",
			"CONNECT M11.TUNNEL.TEST:443" + end + "\r\n",
			"CONNECT m1%2e.m11.tunnel.test:443" + end + "\r\n",
			"CONNECT m11%2etunnel.test:443" + end + "\r\n",
			"CONNECT //m11.tunnel.test:443" + end + "\r\n",
			"CONNECT ../m11:443" + end + "\r\n",
			"CONNECT http://m11.tunnel.test:443/" + end + "\r\n",
			"CONNECT m1@m11.tunnel.test:443" + end + "\r\n",
			"CONNECT " + b.target + end + "Koinon-Cluster: m11\r\n\r\n",
			"CONNECT " + b.target + end + "koinon-cluster: m11\r\n\r\n",
			"CONNECT " + b.target + end + "Koinon-Cluster: m1\r\nKoinon-Cluster: m11\r\n\r\n",
			"CONNECT " + b.target + end + "Koinon-Cluster: m1\r\nKOINON-CLUSTER:\tm11\r\n\r\n",
			"CONNECT " + b.target + end + "Koinon-Cluster: m1,m11\r\n\r\n",
			"CONNECT " + b.target + end + "Koinon-Cluster: ../m11\r\n\r\n",
			"CONNECT " + b.target + end + "Koinon-Cluster: m1%2fm11\r\n\r\n",
			"CONNECT " + b.target + end + "Koinon-Cluster: m1\r\n m11\r\n\r\n",
			"CONNECT " + b.target + end + "Koinon-Cluster : m11\r\n\r\n",
			"CONNECT " + b.target + end + "X: y\nKoinon-Cluster: m11\r\n\r\n",
			"CONNECT " + b.target + end + "X: y\rKoinon-Cluster: m11\r\n\r\n",
			"CONNECT " + b.target + end + "Content-Length: 70\r\n\r\nCONNECT " + b.target + end + "Koinon-Cluster: m11\r\n\r\n",
			"CONNECT " + b.target + end + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nCONNECT m11.tunnel.test:443" + end + "\r\n",
			"CONNECT " + b.target + end + "\r\nCONNECT m11.tunnel.test:443" + end + "\r\n",
			"CONNECT " + b.target + "\x00 HTTP/1.1\r\n\r\n",
			"GET http://m11.tunnel.test/" + end + "\r\n",
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		} {
			conn := dial(t)
			_, _ = io.WriteString(conn, request)
			status, _, _, err := answered(conn)
			_ = conn.Close()
			if err != nil || status < 400 {
				t.Errorf("%q: %d: %v", request, status, err)
			}
		}
		served(t)
	})
	t.Run("random bytes", func(t *testing.T) {
		each(t, size(200, 10_000), 16, func(int) error {
			conn := dial(t)
			defer conn.Close()
			_, _ = io.WriteString(conn, "CONNECT ")
			_, _ = conn.Write(random.bytes(1 + random.n(500)))
			_, err := io.WriteString(conn, "\r\n\r\n")
			if status, _, _, told := answered(conn); err == nil && told == nil && status < 400 {
				return fmt.Errorf("it was answered %d", status)
			}
			return nil
		})
		served(t)
	})
	t.Run("heads that do not end", func(t *testing.T) {
		var slow []net.Conn
		for range size(200, 500) {
			conn := dial(t)
			_, _ = io.WriteString(conn, "CONNECT m1.tunnel.test:443 HTTP/1.1\r\nX: ")
			slow = append(slow, conn)
		}
		served(t)
		for _, conn := range slow {
			_ = conn.Close()
		}
	})
	t.Run("connections that are reset", func(t *testing.T) {
		open, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		own.serve(open, frontend.Door{TLS: b.ca.ServerTLS()})
		each(t, size(200, 5000), 16, func(i int) error {
			conn, err := net.Dial("tcp", open.Addr().String())
			if err != nil {
				return err
			}
			if i%2 == 0 {
				_, _ = conn.Write(random.bytes(1 + random.n(300)))
			}
			reset(conn)
			return nil
		})
		served(t)
	})
	eventually(t, "nothing is carried", func() bool { return own.Carried()+honest.Carried() == 0 })
	opener.mu.Lock()
	defer opener.mu.Unlock()
	for name, n := range opener.names {
		if name.Cluster != "m1" {
			t.Errorf("%s was asked %d times", name, n)
		}
	}
	b.alone()
}
