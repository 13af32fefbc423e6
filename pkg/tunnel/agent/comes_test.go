package agent_test

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// Behind the address of all servers an agent has met the one that it knows, and would not look again for long.
func TestAnAgentLooksAgainWhenAnotherReplicaComes(t *testing.T) {
	ca, m1 := tunneltest.NewAuthority(t), tunnel.Name{Cluster: "m1"}
	a := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	var behind atomic.Pointer[string]
	behind.Store(&a.Address)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, *behind.Load())
	}
	var met sawLine
	policy, err := agent.NewPolicy(nil, "127.0.0.1:*")
	if err != nil {
		t.Fatal(err)
	}
	links, err := agent.New(agent.Config{
		Servers: []string{"127.0.0.1:443"}, TLS: ca.AgentTLS(m1), DialServer: dial, Policy: policy,
		Logger: slog.New(slog.NewTextHandler(&met, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	links.SetFirstKnown(24 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = links.Run(ctx) })
	defer running.Wait()
	defer cancel()
	tunneltest.Linked(t, a, m1, 1)
	a.SetReplicas([]tunnel.Replica{{ID: "a"}, {ID: "lost"}})
	tunneltest.Eventually(t, "it has looked for the other", func() bool { return met.has("Met a replica that is known") })
	b := tunneltest.Serve(t, "", server.Config{ID: "b", TLS: ca.ServerTLS()})
	behind.Store(&b.Address)
	a.SetReplicas([]tunnel.Replica{{ID: "a"}, {ID: "b"}})
	tunneltest.Linked(t, b, m1, 1)
	tunneltest.Eventually(t, "it knows that it is linked to both", func() bool { return slices.Equal(links.Replicas(), []string{"a", "b"}) })
}

// sawLine is a log.
type sawLine struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (s *sawLine) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *sawLine) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}
