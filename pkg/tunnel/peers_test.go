package tunnel_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/peers"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// serveSome runs servers that have links to each other.
func serveSome(t *testing.T, ca *tunneltest.Authority, ids ...string) []*tunneltest.Replica {
	t.Helper()
	var servers []*tunneltest.Replica
	for _, id := range ids {
		servers = append(servers, serve(t, "", server.Config{ID: id, TLS: ca.ServerTLS(), PeerTLS: ca.PeerTLS(id)}))
	}
	tunneltest.Mesh(t, servers...)
	return servers
}

// runAt runs an agent that reaches one server only: it is told of no other's address.
func runAt(t *testing.T, ca *tunneltest.Authority, name tunnel.Name, at *tunneltest.Replica, words map[string]string, allowed ...string) (stop func()) {
	t.Helper()
	policy, err := agent.NewPolicy(words, append(allowed, "127.0.0.1:*")...)
	if err != nil {
		t.Fatal(err)
	}
	_, stop = run(t, agent.Config{Servers: []string{at.Address}, TLS: ca.AgentTLS(name), Policy: policy})
	return stop
}

// agents waits until a server knows of so many agents of a name.
func agents(t *testing.T, s *tunneltest.Replica, name tunnel.Name, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s knows of %d agents of %s", s.ID, n, name), func() bool { return s.Agents(name) == n })
}

func TestAServerWithoutALinkHandsADialToOneThatHasIt(t *testing.T) {
	ca := newAuthority(t)
	servers := serveSome(t, ca, "a", "b", "c")
	m1, n1 := tunnel.Name{Cluster: "m1"}, tunnel.Name{Cluster: "m1", Node: "n1"}
	stop := runAt(t, ca, m1, servers[0], map[string]string{tunnel.APIServer: target(t, "cluster")})
	runAt(t, ca, n1, servers[1], map[string]string{tunnel.Kubelet: target(t, "node")})
	for _, s := range servers {
		agents(t, s, m1, 1)
		agents(t, s, n1, 1)
		if got, err := hear(s, m1, tunnel.APIServer, 7); err != nil || got != "cluster" {
			t.Errorf("from %s: %q, %v", s.ID, got, err)
		}
		if got, err := hear(s, n1, tunnel.Kubelet, 4); err != nil || got != "node" {
			t.Errorf("from %s: %q, %v", s.ID, got, err)
		}
	}
	for _, s := range servers { // what an agent says comes as it was, by whatever way
		_, err := hear(s, m1, "127.0.0.1:1", 1)
		var failed *tunnel.DialError
		if !errors.As(err, &failed) || failed.Code != mux.Refused || !strings.HasSuffix(err.Error(), "connection refused") {
			t.Errorf("from %s: %v", s.ID, err)
		}
		_, err = hear(s, m1, "example.com:1", 1)
		if !errors.As(err, &failed) || failed.Code != mux.Denied {
			t.Errorf("from %s: %v", s.ID, err)
		}
	}
	stop()
	for _, s := range servers {
		agents(t, s, m1, 0)
		if _, err := hear(s, m1, tunnel.APIServer, 7); !errors.Is(err, tunnel.ErrNoAgent) {
			t.Errorf("from %s: %v", s.ID, err)
		}
	}
}

func TestEndsPassFromServerToServer(t *testing.T) {
	ca := newAuthority(t)
	servers := serveSome(t, ca, "a", "b")
	m1 := tunnel.Name{Cluster: "m1"}
	accepted := make(chan *net.TCPConn)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn.(*net.TCPConn)
		}
	}()
	runAt(t, ca, m1, servers[0], map[string]string{tunnel.APIServer: listener.Addr().String()})
	agents(t, servers[1], m1, 1)
	connect := func() (*mux.Stream, *net.TCPConn) {
		t.Helper()
		stream, err := servers[1].Open(t.Context(), m1, "tcp", tunnel.APIServer)
		if err != nil {
			t.Fatal(err)
		}
		conn := <-accepted
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
		_ = stream.SetDeadline(time.Now().Add(patience))
		return stream, conn
	}
	t.Run("one direction ends, and the other goes on", func(t *testing.T) {
		stream, conn := connect()
		_, _ = stream.Write([]byte("all of it"))
		_ = stream.CloseWrite()
		if got, err := io.ReadAll(conn); err != nil || string(got) != "all of it" {
			t.Errorf("got %q: %v", got, err)
		}
		sent := bytes.Repeat([]byte("much"), 1<<20)
		go func() { _, _ = conn.Write(sent); _ = conn.Close() }()
		if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("got %d bytes of %d: %v", len(got), len(sent), err)
		}
	})
	t.Run("a target that breaks is told of", func(t *testing.T) {
		stream, conn := connect()
		_ = conn.SetLinger(0)
		_ = conn.Close()
		var why *mux.Error
		if _, err := io.ReadAll(stream); !errors.As(err, &why) || why.Code != mux.Broken {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a client that breaks is told of", func(t *testing.T) {
		stream, conn := connect()
		stream.Reset(mux.Broken, "the client broke")
		if _, err := io.ReadAll(conn); err == nil {
			t.Error("the target sees an end, and not that it broke")
		}
	})
	t.Run("a link that is lost ends what it carries, not as if it were complete", func(t *testing.T) {
		stream, _ := connect()
		servers[0].Stop()
		if _, err := io.ReadAll(stream); err == nil {
			t.Error("it looks complete")
		}
	})
}

func TestALostServerIsNotAskedAndOneThatComesIs(t *testing.T) {
	ca := newAuthority(t)
	servers := serveSome(t, ca, "a", "b", "c")
	m1 := tunnel.Name{Cluster: "m1"}
	words := map[string]string{tunnel.APIServer: target(t, "x")}
	runAt(t, ca, m1, servers[0], words)
	runAt(t, ca, m1, servers[1], words)
	agents(t, servers[2], m1, 2)
	servers[0].Stop()
	for range 20 { // not one fails, whether the end was noticed or not
		if _, err := hear(servers[2], m1, tunnel.APIServer, 1); err != nil {
			t.Fatal(err)
		}
	}
	agents(t, servers[2], m1, 1)
	again := serve(t, "", server.Config{ID: "d", TLS: ca.ServerTLS(), PeerTLS: ca.PeerTLS("d")})
	tunneltest.Mesh(t, servers[1], servers[2], again)
	agents(t, again, m1, 1)
	if _, err := hear(again, m1, tunnel.APIServer, 1); err != nil {
		t.Error(err)
	}
}

// A server whose Lease is gone may still carry something.
func TestAServerThatGoesKeepsWhatItCarries(t *testing.T) {
	ca := newAuthority(t)
	servers := serveSome(t, ca, "a", "b")
	m1 := tunnel.Name{Cluster: "m1"}
	runAt(t, ca, m1, servers[0], map[string]string{tunnel.APIServer: target(t, "x")})
	agents(t, servers[1], m1, 1)
	conn, err := servers[1].Dial(t.Context(), m1, "tcp", tunnel.APIServer)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	servers[0].Drain(0)
	servers[1].SetReplicas([]tunnel.Replica{{ID: "b"}})
	if n := len(servers[1].Peers()); n != 0 {
		t.Errorf("there are %d other servers", n)
	}
	for _, word := range []string{"x", "echoed"} {
		got := make([]byte, len(word))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != word {
			t.Fatalf("got %q: %v", got, err)
		}
		_, _ = conn.Write([]byte("echoed"))
	}
	_ = conn.Close()
	agents(t, servers[1], m1, 0) // the link ends when it carries nothing
}

// A cluster is revoked whose agent has a link to another server only: what goes through that ends, and nothing new is reached. So it is whether the server that
// was asked has heard of it or not: it is the one with the link that ends it.
func TestARevokedClusterIsNotReachedThroughAnotherServer(t *testing.T) {
	ca := newAuthority(t)
	m1, m2 := tunnel.Name{Cluster: "m1"}, tunnel.Name{Cluster: "m2"}
	var revoked atomic.Bool
	allowed := func(name tunnel.Name, _ *x509.Certificate) error {
		if name == m1 && revoked.Load() {
			return errRevoked
		}
		return nil
	}
	var servers []*tunneltest.Replica
	for _, id := range []string{"a", "b"} {
		servers = append(servers, serve(t, "", server.Config{ID: id, TLS: ca.ServerTLS(), PeerTLS: ca.PeerTLS(id), Allowed: allowed}))
	}
	tunneltest.Mesh(t, servers...)
	words := map[string]string{tunnel.APIServer: target(t, "x")}
	conns := map[tunnel.Name]net.Conn{}
	for _, name := range []tunnel.Name{m1, m2} {
		runAt(t, ca, name, servers[0], words)
		agents(t, servers[1], name, 1)
		conn, err := servers[1].Dial(t.Context(), name, "tcp", tunnel.APIServer)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		conns[name] = conn
	}
	revoked.Store(true)
	servers[1].Recheck() // has no link of it
	servers[0].Recheck()
	if n, err := conns[m1].Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("what was carried ended with %d bytes, %v", n, err)
	}
	agents(t, servers[1], m1, 0)
	for _, s := range servers {
		if _, err := hear(s, m1, tunnel.APIServer, 1); !errors.Is(err, tunnel.ErrNoAgent) {
			t.Errorf("from %s: %v", s.ID, err)
		}
		if _, err := hear(s, m2, tunnel.APIServer, 1); err != nil {
			t.Errorf("another cluster, from %s: %v", s.ID, err)
		}
	}
	if _, err := conns[m2].Write([]byte("!")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(conns[m2], make([]byte, 1)); err != nil {
		t.Errorf("what is carried for another cluster: %v", err)
	}
}

// liar is a server that says it has agents which it has not.
type liar struct{ asked atomic.Int64 }

func (l *liar) OpenHere(_ context.Context, name tunnel.Name, _, address string) (*mux.Stream, error) {
	l.asked.Add(1)
	return nil, &tunnel.DialError{Name: name, Address: address, Code: mux.Unreachable, Err: tunnel.ErrNoAgent}
}

func (l *liar) ReportHere(context.Context, tunnel.Name, bool) tunnel.Report { return tunnel.Report{} }

// What another server says it has, and has not any more, costs an answer, and is handed on by nobody.
func TestStaleNamesDoNotLoop(t *testing.T) {
	ca := newAuthority(t)
	servers := serveSome(t, ca, "a", "b")
	m1, m2 := tunnel.Name{Cluster: "m1"}, tunnel.Name{Cluster: "m2"}
	var stale liar
	mesh, err := peers.New(peers.Config{ID: "x", TLS: ca.PeerTLS("x"), Local: &stale, Logger: tunneltest.Quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mesh.Close)
	mesh.Changed(m1, []string{"gone"}, nil)
	mesh.Changed(m2, []string{"gone"}, nil)
	at := acceptPeers(t, mesh)
	for _, s := range servers {
		s.SetReplicas([]tunnel.Replica{{ID: "a", Peer: servers[0].Address}, {ID: "b", Peer: servers[1].Address}, {ID: "x", Peer: at}})
		agents(t, s, m1, 1)
		if _, err := hear(s, m1, tunnel.APIServer, 1); !errors.Is(err, tunnel.ErrNoAgent) {
			t.Errorf("from %s: %v", s.ID, err)
		}
	}
	if got := stale.asked.Load(); got != 2 {
		t.Errorf("it was asked %d times by two servers", got)
	}
	runAt(t, ca, m2, servers[1], map[string]string{tunnel.APIServer: target(t, "x")})
	agents(t, servers[0], m2, 2)
	for range 10 { // whoever is asked first
		if _, err := hear(servers[0], m2, tunnel.APIServer, 1); err != nil {
			t.Error(err)
		}
	}
	// b has an agent of m2, and a knows it: another server that asks a for it is told that a has none.
	mesh.Set([]tunnel.Replica{{ID: "a", Peer: servers[0].Address}})
	var link *peers.Link
	runAt(t, ca, m1, servers[0], nil)
	eventually(t, "x has a link to a", func() bool {
		links := mesh.To(m1)
		if len(links) > 0 {
			link = links[0]
		}
		return link != nil
	})
	if _, err := link.Open(t.Context(), m2, tunnel.Request{Network: "tcp", Address: tunnel.APIServer}); mux.CodeOf(err) != mux.Absent {
		t.Errorf("a dial was handed on twice, or got %v", err)
	}
}

// acceptPeers takes connections of other servers for a mesh alone.
func acceptPeers(t *testing.T, mesh *peers.Mesh) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			config, err := mesh.ServerTLS()
			if err != nil {
				t.Error(err)
				return
			}
			batch := mux.NewBatch(conn)
			secure := tls.Server(batch, config)
			if secure.Handshake() == nil {
				_ = mesh.Receive(t.Context(), secure, batch)
			}
		}
	}()
	return listener.Addr().String()
}

func TestOnlyServersAreServersToEachOther(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	s := serveSome(t, ca, "a")[0]
	m1 := tunnel.Name{Cluster: "m1"}
	runAt(t, ca, m1, s, map[string]string{tunnel.APIServer: target(t, "x")})
	linked(t, s, m1, 1)
	certificate := func(from *tunneltest.Authority, id string) tls.Certificate {
		c, _, err := from.PeerTLS(id)()
		if err != nil {
			t.Fatal(err)
		}
		return *c
	}
	asPeer := func(c tls.Certificate) error {
		conn, err := tls.Dial("tcp", s.Address, &tls.Config{Certificates: []tls.Certificate{c}, InsecureSkipVerify: true, NextProtos: []string{tunnel.ServerALPN}})
		if err != nil {
			return err
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		session, err := mux.New(ctx, conn, nil, mux.Config{Made: true})
		if err != nil {
			return err
		}
		defer session.Close()
		stream, err := session.Open(ctx, map[string]any{"dial": map[string]any{"cluster": "m1", "network": "tcp", "address": "apiserver"}})
		if err == nil {
			_ = stream.Close()
		}
		return err
	}
	if err := asPeer(certificate(ca, "b")); err != nil {
		t.Errorf("a server's: %v", err)
	}
	twice, _ := tunnel.ServerURI("b")
	for what, c := range map[string]tls.Certificate{
		"an agent's":                         ca.Issue(time.Now().Add(time.Hour), m1.URI()),
		"one of an agent and a server":       ca.Issue(time.Now().Add(time.Hour), twice, m1.URI()),
		"that of a server for agents":        ca.Issue(time.Now().Add(time.Hour)),
		"another authority's":                certificate(other, "b"),
		"one that has expired":               ca.Issue(time.Now().Add(-time.Minute), twice),
		"one with the id of this very one":   certificate(ca, "a"),
		"none":                               {},
		"one whose path has more than an id": ca.Issue(time.Now().Add(time.Hour), twice.JoinPath("x")),
	} {
		if err := asPeer(c); err == nil {
			t.Errorf("with %s: it is answered as a server", what)
		}
	}
	t.Run("a server is no agent", func(t *testing.T) {
		config := &tls.Config{Certificates: []tls.Certificate{certificate(ca, "b")}, RootCAs: ca.Pool(), NextProtos: []string{tunnel.ALPN}}
		conn, err := tls.Dial("tcp", s.Address, config)
		if err == nil {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			if n, _ := io.Copy(io.Discard, conn); n > 0 {
				t.Error("it was greeted")
			}
		}
		linked(t, s, m1, 1)
	})
	t.Run("a server does not ask one with another id", func(t *testing.T) {
		asks := serve(t, "", server.Config{ID: "z", TLS: ca.ServerTLS(), PeerTLS: ca.PeerTLS("z")})
		asks.SetReplicas([]tunnel.Replica{{ID: "z"}, {ID: "b", Peer: s.Address}, {ID: "a", Peer: s.Address}})
		agents(t, asks, m1, 1)
		for _, p := range asks.Peers() {
			if p.Linked != (p.ID == "a") {
				t.Errorf("got %+v", p)
			}
		}
	})
	t.Run("a request that is none is refused", func(t *testing.T) {
		conn, err := tls.Dial("tcp", s.Address, &tls.Config{Certificates: []tls.Certificate{certificate(ca, "h")}, InsecureSkipVerify: true, NextProtos: []string{tunnel.ServerALPN}})
		if err != nil {
			t.Fatal(err)
		}
		session, err := mux.New(t.Context(), conn, nil, mux.Config{Made: true})
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		for _, asked := range []any{"x", 1, map[string]any{}, map[string]any{"dial": map[string]any{"cluster": "../m1", "network": "tcp", "address": "apiserver"}},
			map[string]any{"report": map[string]any{"cluster": "M1"}}} {
			if _, err := session.Open(t.Context(), asked); mux.CodeOf(err) != mux.Violated {
				t.Errorf("%v: %v", asked, err)
			}
		}
	})
}

// Another agent of the name is asked if one does not reach its target.
func TestAnAgentThatDoesNotReachItsTargetIsAskedAfterOthers(t *testing.T) {
	ca := newAuthority(t)
	servers := serveSome(t, ca, "a", "b")
	m1 := tunnel.Name{Cluster: "m1"}
	runAt(t, ca, m1, servers[0], map[string]string{tunnel.APIServer: "127.0.0.1:1"})
	agents(t, servers[1], m1, 1)
	if _, err := hear(servers[0], m1, tunnel.APIServer, 1); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("alone: %v", err)
	}
	runAt(t, ca, m1, servers[1], map[string]string{tunnel.APIServer: target(t, "x")})
	for _, s := range servers {
		agents(t, s, m1, 2)
		for range 5 {
			if _, err := hear(s, m1, tunnel.APIServer, 1); err != nil {
				t.Errorf("from %s: %v", s.ID, err)
			}
		}
	}
}

func TestWhatAllServersSeeOfAClusterIsOneReport(t *testing.T) {
	ca := newAuthority(t)
	servers := serveSome(t, ca, "a", "b")
	m1, n1, m10 := tunnel.Name{Cluster: "m1"}, tunnel.Name{Cluster: "m1", Node: "n1"}, tunnel.Name{Cluster: "m10"}
	runAt(t, ca, m1, servers[0], map[string]string{tunnel.APIServer: target(t, "x")})
	runAt(t, ca, n1, servers[1], map[string]string{tunnel.Kubelet: "127.0.0.1:1"})
	runAt(t, ca, m10, servers[1], nil)
	for _, s := range servers {
		for _, name := range []tunnel.Name{m1, n1, m10} {
			agents(t, s, name, 1)
		}
		report := s.Report(t.Context(), m1, true)
		got := map[string]string{}
		for _, seen := range report.Seen {
			got[seen.Server+" "+seen.Name.Node] = seen.Probe.Error
			if seen.From != "127.0.0.1" || seen.Way != "direct" || seen.Since.IsZero() || seen.ValidUntil.IsZero() {
				t.Errorf("got %+v", seen)
			}
		}
		if len(got) != 2 || got["a "] != "" || got["b n1"] != "connection refused at 127.0.0.1:1" || len(report.Silent) > 0 {
			t.Errorf("from %s: %+v", s.ID, report)
		}
		if only := s.Report(t.Context(), n1, false); len(only.Seen) != 1 || only.Seen[0].Name != n1 || only.Seen[0].Probe != nil {
			t.Errorf("of the node: %+v", only)
		}
	}
	servers[1].SetReplicas([]tunnel.Replica{{ID: "b"}, {ID: "a", Peer: servers[0].Address}, {ID: "gone", Peer: "127.0.0.1:1"}})
	if report := servers[1].Report(t.Context(), m1, false); len(report.Silent) != 1 || report.Silent[0].Server != "gone" || len(report.Seen) != 2 {
		t.Errorf("with one that is not there: %+v", report)
	}
}

func TestItIsKeptWhyTheLastAgentOfANameWasRefused(t *testing.T) {
	ca := newAuthority(t)
	m1 := tunnel.Name{Cluster: "m1"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	expired := ca.Issue(time.Now().Add(-time.Minute), m1.URI())
	conn, err := tls.Dial("tcp", s.Address, &tls.Config{Certificates: []tls.Certificate{expired}, RootCAs: ca.Pool(), NextProtos: []string{tunnel.ALPN}})
	if err == nil {
		_, _ = io.ReadAll(conn)
		_ = conn.Close()
	}
	foreign := newAuthority(t).Issue(time.Now().Add(time.Hour), tunnel.Name{Cluster: "m2"}.URI())
	if conn, err := tls.Dial("tcp", s.Address, &tls.Config{Certificates: []tls.Certificate{foreign}, RootCAs: ca.Pool(), NextProtos: []string{tunnel.ALPN}}); err == nil {
		_, _ = io.ReadAll(conn)
		_ = conn.Close()
	}
	eventually(t, "it is kept", func() bool {
		r := s.Report(t.Context(), m1, false).Refusals
		return len(r) == 1 && strings.Contains(r[0].Reason, "expired") && r[0].From == "127.0.0.1"
	})
	if r := s.Report(t.Context(), tunnel.Name{Cluster: "m2"}, false).Refusals; len(r) != 0 {
		t.Errorf("what anybody says of himself is kept: %+v", r)
	}
}

func TestManyRandomDialsFindTheirTargets(t *testing.T) {
	if testing.Short() {
		t.Skip("500 agents: left out with -short")
	}
	ca := newAuthority(t)
	servers := serveSome(t, ca, "a", "b", "c")
	clusters, dials := 500, 10_000
	if raced {
		clusters, dials = 50, 1000
	}
	name := func(i int) tunnel.Name { return tunnel.Name{Cluster: fmt.Sprintf("m%d", i)} }
	word := func(i int) string { return fmt.Sprintf("%03d", i) }
	var starting sync.WaitGroup
	places := make(chan struct{}, 16)
	for i := range clusters {
		runAt(t, ca, name(i), servers[i%len(servers)], map[string]string{tunnel.APIServer: target(t, word(i))})
	}
	for _, s := range servers {
		for i := range clusters {
			agents(t, s, name(i), 1)
		}
	}
	for range dials {
		i, s := rand.IntN(clusters), servers[rand.IntN(len(servers))]
		places <- struct{}{}
		starting.Go(func() {
			defer func() { <-places }()
			if got, err := hear(s, name(i), tunnel.APIServer, 3); err != nil || got != word(i) {
				t.Errorf("from %s to %s: %q, %v", s.ID, name(i), got, err)
			}
		})
	}
	starting.Wait()
	var handed int64
	for _, s := range servers {
		handed += s.Stats().ForOthers.Opened
	}
	if handed < int64(dials)/2 {
		t.Errorf("%d were handed on", handed)
	}
	if got := servers[0].Peers(); !slices.ContainsFunc(got, func(p peers.Peer) bool { return p.Names > clusters/4 }) {
		t.Errorf("got %+v", got)
	}
}

// Whoever may ask which agents there are can ask often: the agents and their targets see only so many probes at once.
func TestProbesThatAreAskedForAreFewAtOnce(t *testing.T) {
	ca, m1 := newAuthority(t), tunnel.Name{Cluster: "m1"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	deaf := tunneltest.Deaf(t)
	policy, err := agent.NewPolicy(map[string]string{tunnel.APIServer: deaf})
	if err != nil {
		t.Fatal(err)
	}
	run(t, agent.Config{
		Servers: []string{s.Address}, TLS: ca.AgentTLS(m1), Policy: policy, Info: tunnel.AgentInfo{Version: "v1\x1b[2J\nI1129 all is well", Host: "h\r\u202e1"},
	})
	linked(t, s, m1, 1)
	if info := s.Links()[0].Agent; info.Version != "v1[2JI1129 all is well" || info.Host != "h1" {
		t.Errorf("what an agent says of itself is shown as %q", info)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const asking = 40
	reports := make(chan tunnel.Report, asking)
	for range asking {
		go func() { reports <- s.Report(ctx, m1, true) }()
	}
	eventually(t, "some are under way", func() bool { return s.Links()[0].Streams == 16 })
	notAsked := 0
	cancel()
	for range asking {
		if report := <-reports; len(report.Seen) != 1 || report.Seen[0].Probe == nil || report.Seen[0].Probe.Error == "" {
			t.Errorf("got %+v", report)
		} else if strings.Contains(report.Seen[0].Probe.Error, "it was not asked") {
			notAsked++
		}
	}
	if notAsked == 0 {
		t.Error("all were under way at once")
	}
}
