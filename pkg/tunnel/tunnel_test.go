package tunnel_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

func TestANameReachesItsOwnAgentAndNoOther(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	names := []tunnel.Name{{Cluster: "m1"}, {Cluster: "m2"}, {Cluster: "m1", Node: "n1"}, {Cluster: "m2", Node: "n1"}}
	for i, name := range names {
		word := string(rune('0' + i))
		policy, err := agent.NewPolicy(map[string]string{tunnel.Kubelet: target(t, word)})
		if err != nil {
			t.Fatal(err)
		}
		run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(name), Policy: policy})
	}
	for i, name := range names {
		linked(t, s, name, 1)
		if got, err := hear(s, name, tunnel.Kubelet, 1); err != nil || got != string(rune('0'+i)) {
			t.Errorf("%s: reached %q: %v", name, got, err)
		}
	}
}

func TestWhatCannotBeReachedIsASentence(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	policy, err := agent.NewPolicy(map[string]string{tunnel.APIServer: "127.0.0.1:1"}, "127.0.0.1:1", "*.invalid:1", "no-such-host.invalid:80")
	if err != nil {
		t.Fatal(err)
	}
	m1 := tunnel.Name{Cluster: "m1"}
	run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1), Policy: policy})
	linked(t, s, m1, 1)
	for _, test := range []struct {
		name    tunnel.Name
		address string
		code    mux.Code
		want    string
	}{
		{tunnel.Name{Cluster: "m2"}, "10.0.0.1:443", mux.Unreachable, `cluster "m2": 10.0.0.1:443 cannot be reached through the tunnel: no agent of it is connected`},
		{tunnel.Name{Cluster: "m1", Node: "n1"}, "kubelet", mux.Unreachable, `node "n1" of cluster "m1": kubelet cannot be reached through the tunnel: no agent of it is connected`},
		{m1, "127.0.0.1:1", mux.Refused, `cluster "m1": 127.0.0.1:1 cannot be reached through the tunnel: connection refused`},
		{m1, "apiserver", mux.Refused, `cluster "m1": apiserver cannot be reached through the tunnel: connection refused at 127.0.0.1:1`},
		{m1, "127.0.0.1:2", mux.Denied, `cluster "m1": 127.0.0.1:2 cannot be reached through the tunnel: the agent's policy does not allow it: 127.0.0.1:2 is not among its targets`},
		{m1, "kubelet", mux.Denied, `cluster "m1": kubelet cannot be reached through the tunnel: the agent's policy does not allow it: it has no address for "kubelet"`},
		{m1, "no-such-host.invalid:80", mux.Unreachable, `cluster "m1": no-such-host.invalid:80 cannot be reached through the tunnel: the agent does not find no-such-host.invalid`},
	} {
		_, err := hear(s, test.name, test.address, 1)
		var failed *tunnel.DialError
		if !errors.As(err, &failed) || failed.Code != test.code || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s, %s: got %v", test.name, test.address, err)
		}
	}
}

func TestOnlyWhoseCertificateSaysSoIsAnAgent(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	m1 := tunnel.Name{Cluster: "m1"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	for what, certificates := range map[string][]tls.Certificate{
		"no certificate":       nil,
		"another authority's":  {other.Issue(time.Now().Add(time.Hour), m1.URI())},
		"one that has expired": {ca.Issue(time.Now().Add(-time.Minute), m1.URI())},
		"a server's":           {ca.Issue(time.Now().Add(time.Hour))},
		"one without a name":   {ca.Issue(time.Now().Add(time.Hour), &url.URL{Scheme: "spiffe", Host: "x", Path: "/clusters/m1"})},
		"one with two names":   {ca.Issue(time.Now().Add(time.Hour), m1.URI(), tunnel.Name{Cluster: "m2"}.URI())},
	} {
		t.Run(what, func(t *testing.T) {
			conn, err := tls.Dial("tcp", s.Address, &tls.Config{Certificates: certificates, RootCAs: ca.Pool(), NextProtos: []string{tunnel.ALPN}})
			if err == nil {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				_, err = io.ReadAll(io.LimitReader(conn, 100))
				if err == nil {
					err = io.EOF
				}
			}
			if err == nil {
				t.Error("it was greeted")
			}
			if n := len(s.Links()); n != 0 {
				t.Errorf("there are %d links", n)
			}
		})
	}
	t.Run("an agent does not take another server for its own", func(t *testing.T) {
		config := &tls.Config{Certificates: []tls.Certificate{other.Issue(time.Now().Add(time.Hour))}, ClientCAs: ca.Pool()}
		foreign := serve(t, "", server.Config{ID: "b", TLS: func() (*tls.Config, error) { return config, nil }})
		a, stop := run(t, agent.Config{Servers: []string{foreign.Address, s.Address}, TLS: ca.AgentTLS(m1)})
		linked(t, s, m1, 1)
		eventually(t, "it is linked to that one alone", func() bool { return slices.Equal(a.Replicas(), []string{"a"}) })
		stop()
	})
	t.Run("a server without authorities does not start", func(t *testing.T) {
		_, err := server.New(server.Config{ID: "a", TLS: func() (*tls.Config, error) { return &tls.Config{}, nil }})
		if err == nil {
			t.Error("anybody could be an agent")
		}
	})
}

func TestARevokedCertificateEndsItsLinkAndItsStreams(t *testing.T) {
	ca := newAuthority(t)
	m1, m2 := tunnel.Name{Cluster: "m1"}, tunnel.Name{Cluster: "m2"}
	var revoked atomic.Bool
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS(), Allowed: func(name tunnel.Name, _ *x509.Certificate) error {
		if name == m1 && revoked.Load() {
			return errRevoked
		}
		return nil
	}})
	for _, name := range []tunnel.Name{m1, m2} {
		run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(name)})
		linked(t, s, name, 1)
	}
	conn, err := s.Dial(t.Context(), m1, "tcp", target(t, "x"))
	if err != nil {
		t.Fatal(err)
	}
	revoked.Store(true)
	s.Recheck()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadAll(conn); !errors.Is(err, mux.ErrClosed) {
		t.Errorf("the stream ended with %v", err)
	}
	linked(t, s, m1, 0)
	linked(t, s, m2, 1)
}

func TestAnAgentComesBackToAServerThatWasAway(t *testing.T) {
	ca := newAuthority(t)
	m1 := tunnel.Name{Cluster: "m1"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1)})
	linked(t, s, m1, 1)
	s.Stop()
	again := serve(t, s.Address, server.Config{ID: "a-restarted", TLS: ca.ServerTLS()})
	linked(t, again, m1, 1)
	if got, err := hear(again, m1, target(t, "x"), 1); err != nil || got != "x" {
		t.Errorf("reached %q: %v", got, err)
	}
}

func TestWhatIsNewGoesToAnotherAgentOfTheNameWhenOneIsLost(t *testing.T) {
	ca := newAuthority(t)
	m1 := tunnel.Name{Cluster: "m1"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	_, stop := run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1)})
	run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1)})
	linked(t, s, m1, 2)
	address := target(t, "x")
	go stop()
	for range 100 {
		if got, err := hear(s, m1, address, 1); err != nil || got != "x" {
			t.Fatalf("reached %q: %v", got, err)
		}
	}
	linked(t, s, m1, 1)
}

func TestAnAgentThatHangsIsNotWaitedForIfThereIsAnother(t *testing.T) {
	ca := newAuthority(t)
	m1 := tunnel.Name{Cluster: "m1"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	hole := &hole{}
	run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1), DialServer: hole.dial, PingEvery: time.Hour})
	linked(t, s, m1, 1)
	hole.swallow.Store(true)
	run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1)})
	linked(t, s, m1, 2)
	address := target(t, "x")
	for range 4 {
		if got, err := hear(s, m1, address, 1); err != nil || got != "x" {
			t.Fatalf("reached %q: %v", got, err)
		}
	}
}

// hole makes connections that swallow what is written once they are told to.
type hole struct{ swallow atomic.Bool }

func (h *hole) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return swallowing{conn, h}, err
}

type swallowing struct {
	net.Conn
	hole *hole
}

func (s swallowing) Write(p []byte) (int, error) {
	if s.hole.swallow.Load() {
		return len(p), nil
	}
	return s.Conn.Write(p)
}

func TestAnAgentMeetsAllReplicasBehindOneAddress(t *testing.T) {
	ca := newAuthority(t)
	m1 := tunnel.Name{Cluster: "m1"}
	replicas := []tunnel.Replica{{ID: "a"}, {ID: "b"}, {ID: "c"}}
	var servers []*tunneltest.Replica
	for _, r := range replicas {
		s := serve(t, "", server.Config{ID: r.ID, TLS: ca.ServerTLS()})
		s.SetReplicas(replicas)
		servers = append(servers, s)
	}
	var turn atomic.Uint32
	balanced := func(ctx context.Context, network, _ string) (net.Conn, error) {
		s := servers[int(turn.Add(1))%len(servers)]
		return (&net.Dialer{}).DialContext(ctx, network, s.Address)
	}
	a, _ := run(t, agent.Config{Servers: []string{"127.0.0.1:443"}, TLS: ca.AgentTLS(m1), DialServer: balanced})
	eventually(t, "it is linked to all", func() bool { return slices.Equal(a.Replicas(), []string{"a", "b", "c"}) })
}

func TestAnAgentFollowsTheListOfReplicas(t *testing.T) {
	ca := newAuthority(t)
	m1 := tunnel.Name{Cluster: "m1"}
	first := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	second := serve(t, "", server.Config{ID: "b", TLS: ca.ServerTLS()})
	a, _ := run(t, agent.Config{Servers: []string{first.Address}, TLS: ca.AgentTLS(m1)})
	linked(t, first, m1, 1)
	first.SetReplicas([]tunnel.Replica{{ID: "a", Address: first.Address}, {ID: "b", Address: second.Address}})
	linked(t, second, m1, 1)
	first.SetReplicas([]tunnel.Replica{{ID: "a", Address: first.Address}})
	second.SetReplicas([]tunnel.Replica{{ID: "a", Address: first.Address}})
	linked(t, second, m1, 0)
	if got := a.Replicas(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("it is linked to %q", got)
	}
}

func TestADrainingReplicaKeepsWhatItCarriesAndGetsNothingNew(t *testing.T) {
	ca := newAuthority(t)
	m1 := tunnel.Name{Cluster: "m1"}
	old := serve(t, "", server.Config{ID: "old", TLS: ca.ServerTLS()})
	behind := atomic.Pointer[tunneltest.Replica]{}
	behind.Store(old)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, behind.Load().Address)
	}
	a, _ := run(t, agent.Config{Servers: []string{"127.0.0.1:443"}, TLS: ca.AgentTLS(m1), DialServer: dial})
	linked(t, old, m1, 1)
	conn, err := old.Dial(t.Context(), m1, "tcp", target(t, "x"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	next := serve(t, "", server.Config{ID: "next", TLS: ca.ServerTLS()})
	behind.Store(next)
	old.Drain(time.Minute)
	linked(t, next, m1, 1)
	eventually(t, "it is linked to both", func() bool { return slices.Equal(a.Replicas(), []string{"next", "old"}) })
	for _, said := range []string{"x", "still", "here"} {
		if said != "x" {
			_, _ = io.WriteString(conn, said)
		}
		got := make([]byte, len(said))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != said {
			t.Fatalf("got %q for %q: %v", got, said, err)
		}
	}
}

func TestAnAgentGoesByAnHTTPProxy(t *testing.T) {
	ca := newAuthority(t)
	m1 := tunnel.Name{Cluster: "m1"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	var connects atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := proxyUser(r); r.Method != http.MethodConnect || !ok || user != "u" || password != "p" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		connects.Add(1)
		there, err := net.Dial("tcp", s.Address)
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
		go func() { _, _ = io.Copy(there, here) }()
		_, _ = io.Copy(here, there)
	}))
	t.Cleanup(proxy.CloseClientConnections)
	t.Setenv("HTTPS_PROXY", strings.Replace(proxy.URL, "://", "://u:p@", 1))
	t.Setenv("NO_PROXY", "")
	config, _ := ca.AgentTLS(m1)()
	config.ServerName = "127.0.0.1"
	_, stop := run(t, agent.Config{Servers: []string{"koinon.example.org:443"}, TLS: func() (*tls.Config, error) { return config, nil }})
	linked(t, s, m1, 1)
	if connects.Load() == 0 {
		t.Error("it went another way")
	}
	stop()
}

func proxyUser(r *http.Request) (user, password string, ok bool) {
	as := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	return as.BasicAuth()
}

func TestManyAgentsAreLinkedAndReached(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	const n = 200
	certificate := func(i int) tunnel.Name {
		return tunnel.Name{Cluster: "m1", Node: "n" + string(rune('a'+i/26%26)) + string(rune('a'+i%26))}
	}
	for i := range n {
		run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(certificate(i))})
	}
	eventually(t, "all are linked", func() bool { return len(s.Links()) == n })
	address := target(t, "x")
	for i := range n {
		if got, err := hear(s, certificate(i), address, 1); err != nil || got != "x" {
			t.Fatalf("%s: reached %q: %v", certificate(i), got, err)
		}
	}
}

// Whoever has a name's certificate could make links without end, and each takes memory of the server.
func TestANameHasOnlySoManyLinks(t *testing.T) {
	ca, m1, m2 := newAuthority(t), tunnel.Name{Cluster: "m1"}, tunnel.Name{Cluster: "m2"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS(), MaxLinks: 3})
	var stops []func()
	for range 3 {
		_, stop := run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1)})
		stops = append(stops, stop)
	}
	linked(t, s, m1, 3)
	log := &lines{}
	run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1), Logger: slog.New(slog.NewTextHandler(log, nil))})
	eventually(t, "the fourth is told why it has no link", func() bool {
		return strings.Contains(log.String(), "it has 3 links with this server, as many as may be")
	})
	run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m2)})
	linked(t, s, m2, 1)
	linked(t, s, m1, 3)
	if n := s.Refusals()[server.ClassLimit]; n == 0 {
		t.Error("that was not counted")
	}
	stops[0]()
	linked(t, s, m1, 2)
	run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1)})
	linked(t, s, m1, 3)
}
