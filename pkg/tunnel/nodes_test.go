package tunnel_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// node runs an agent of a node whose kubelet says a word. issued is how long ago its certificate was.
func node(t *testing.T, ca *tunneltest.Authority, s *tunneltest.Replica, name tunnel.Name, word string, issued time.Duration) *agent.Agent {
	t.Helper()
	policy, err := agent.NewPolicy(map[string]string{tunnel.Kubelet: target(t, word)})
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{ca.IssueFrom(time.Now().Add(-issued), time.Now().Add(time.Hour), name.URI())}, RootCAs: ca.Pool()}
	a, _ := run(t, agent.Config{Servers: []string{s.Address}, TLS: func() (*tls.Config, error) { return config, nil }, Policy: policy})
	return a
}

func TestOfTheAgentsOfANodeTheNewestIsUsed(t *testing.T) {
	ca, n1 := newAuthority(t), tunnel.Name{Cluster: "m1", Node: "n1"}
	for what, issued := range map[string][2]time.Duration{
		"by its certificate":                              {2 * time.Hour, time.Hour},
		"by when it came, if the certificate is the same": {time.Hour, time.Hour},
	} {
		t.Run(what, func(t *testing.T) {
			s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
			old := node(t, ca, s, n1, "1", issued[0])
			linked(t, s, n1, 1)
			conn, err := s.Dial(t.Context(), n1, "tcp", tunnel.Kubelet)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(patience))

			node(t, ca, s, n1, "2", issued[1])
			linked(t, s, n1, 2)
			for range 20 {
				if got, err := hear(s, n1, tunnel.Kubelet, 1); err != nil || got != "2" {
					t.Fatalf("reached %q: %v", got, err)
				}
			}
			got := make([]byte, 2)
			_, _ = io.WriteString(conn, "!")
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != "1!" {
				t.Errorf("what is carried went on with %q: %v", got, err)
			}
			_ = conn.Close()
			eventually(t, "the old one ends once it carries nothing", func() bool { return len(old.Replicas()) == 0 })
			linked(t, s, n1, 1)
			if got, err := hear(s, n1, tunnel.Kubelet, 1); err != nil || got != "2" {
				t.Errorf("reached %q: %v", got, err)
			}
		})
	}
}

// lines are what was logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestAnOlderAgentOfANodeIsToldWhy(t *testing.T) {
	ca, n1 := newAuthority(t), tunnel.Name{Cluster: "m1", Node: "n1"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	node(t, ca, s, n1, "2", time.Hour)
	linked(t, s, n1, 1)
	config := &tls.Config{Certificates: []tls.Certificate{ca.IssueFrom(time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour), n1.URI())}, RootCAs: ca.Pool()}
	policy, err := agent.NewPolicy(nil, "127.0.0.1:*")
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	old, err := agent.New(agent.Config{
		Servers: []string{s.Address}, TLS: func() (*tls.Config, error) { return config, nil }, Policy: policy, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = old.Run(ctx) })
	defer running.Wait()
	defer cancel()
	eventually(t, "it is told", func() bool {
		return strings.Contains(log.String(), `node \"n1\" of cluster \"m1\": another agent of this node has connected`)
	})
	for range 20 {
		if got, err := hear(s, n1, tunnel.Kubelet, 1); err != nil || got != "2" {
			t.Fatalf("reached %q: %v", got, err)
		}
	}
}

func TestTheOlderAgentOfANodeIsUsedAgainWhenTheNewerHasGone(t *testing.T) {
	ca, n1 := newAuthority(t), tunnel.Name{Cluster: "m1", Node: "n1"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	node(t, ca, s, n1, "1", time.Hour)
	linked(t, s, n1, 1)
	carried, err := s.Dial(t.Context(), n1, "tcp", tunnel.Kubelet) // so that its link stays
	if err != nil {
		t.Fatal(err)
	}
	defer carried.Close()
	policy, err := agent.NewPolicy(map[string]string{tunnel.Kubelet: target(t, "2")})
	if err != nil {
		t.Fatal(err)
	}
	_, stop := run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(n1), Policy: policy})
	linked(t, s, n1, 2)
	stop()
	linked(t, s, n1, 1)
	if got, err := hear(s, n1, tunnel.Kubelet, 1); err != nil || got != "1" {
		t.Errorf("reached %q: %v", got, err)
	}
}

func TestTheAgentOfANodeThatComesBackReplacesItsLinkThatIsDead(t *testing.T) {
	ca, n1 := newAuthority(t), tunnel.Name{Cluster: "m1", Node: "n1"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	a := node(t, ca, s, n1, "1", time.Hour)
	linked(t, s, n1, 1)
	for range 3 {
		a.Reconnect() // as with a certificate that was renewed
		eventually(t, "it has one link", func() bool { return len(s.Links()) == 1 && len(a.Status().Links) == 1 })
		if got, err := hear(s, n1, tunnel.Kubelet, 1); err != nil || got != "1" {
			t.Fatalf("reached %q: %v", got, err)
		}
	}
}

// Behind the address of all servers an agent may meet the one that it knows, with a link that ends at once: a dial goes to the one that it has.
func TestANodeIsReachedWhileItsAgentLooksForOtherServers(t *testing.T) {
	ca, n1 := newAuthority(t), tunnel.Name{Cluster: "m1", Node: "n1"}
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	certificate := ca.AgentTLS(n1)
	link := func(accept func(context.Context, *mux.Incoming)) *mux.Session {
		t.Helper()
		config, err := certificate()
		if err != nil {
			t.Fatal(err)
		}
		config = config.Clone()
		config.NextProtos = []string{tunnel.ALPN}
		conn, err := (&carrier.Dialer{Way: carrier.Direct}).Dial(t.Context(), s.Address, config)
		if err != nil {
			t.Fatal(err)
		}
		session, err := mux.New(t.Context(), conn.Conn, conn.Batch, mux.Config{Made: true, Hello: mux.Hello{Info: json.RawMessage(`{"instance":"one"}`)}, Accept: accept})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = session.Close() })
		return session
	}
	link(func(_ context.Context, in *mux.Incoming) {
		stream := in.Accept()
		_, _ = io.WriteString(stream, "1")
		_ = stream.Close()
	})
	linked(t, s, n1, 1)
	var second *mux.Session
	made := make(chan struct{})
	second = link(func(context.Context, *mux.Incoming) { <-made; _ = second.Close() })
	close(made)
	linked(t, s, n1, 2)
	if got, err := hear(s, n1, tunnel.Kubelet, 1); err != nil || got != "1" {
		t.Errorf("reached %q: %v", got, err)
	}
	linked(t, s, n1, 1)
	if got, err := hear(s, n1, tunnel.Kubelet, 1); err != nil || got != "1" {
		t.Errorf("once it has ended: reached %q: %v", got, err)
	}
}

// Names that are parts of others, and ways to write them, lead to the one that is meant or to none.
func TestANodesAgentStandsForItsOwnNameOnly(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	there := []tunnel.Name{
		{Cluster: "m1", Node: "n1"}, {Cluster: "m1", Node: "n"}, {Cluster: "m1", Node: "n1.m2"}, {Cluster: "m", Node: "n1"}, {Cluster: "m2", Node: "n1"},
	}
	for i, name := range there {
		node(t, ca, s, name, string(rune('0'+i)), time.Hour)
		linked(t, s, name, 1)
	}
	for i, name := range there {
		if got, err := hear(s, name, tunnel.Kubelet, 1); err != nil || got != string(rune('0'+i)) {
			t.Errorf("%s: reached %q: %v", name, got, err)
		}
	}
	for _, name := range []tunnel.Name{
		{Cluster: "m1"}, {Cluster: "m2", Node: "n"}, {Cluster: "m1", Node: "n11"}, {Cluster: "m1", Node: "N1"}, {Cluster: "m1", Node: "n1."}, {Cluster: "m1", Node: "../m2/nodes/n1"},
		{Cluster: "m1/nodes/n1"}, {Cluster: "m1", Node: "%6e1"}, {Cluster: "m1", Node: ".."}, {Cluster: "m1", Node: "n1%2e"},
	} {
		if _, err := hear(s, name, tunnel.Kubelet, 1); !errors.Is(err, tunnel.ErrNoAgent) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
