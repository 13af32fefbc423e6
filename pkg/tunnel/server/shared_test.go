package server_test

import (
	"context"
	"errors"
	"testing"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// Clients of front ends cannot take all streams of a link.
func TestSharedDialsLeaveStreamsToOthers(t *testing.T) {
	const most, left = 20, 2
	ca, m1 := tunneltest.NewAuthority(t), tunnel.Name{Cluster: "m1"}
	s := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS(), MaxStreams: most})
	target := tunneltest.Target(t, "target")
	words, err := agent.NewPolicy(map[string]string{tunnel.APIServer: target})
	if err != nil {
		t.Fatal(err)
	}
	tunneltest.Run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(m1), Policy: words})
	tunneltest.Linked(t, s, m1, 1)
	if !s.Connected(m1) || s.Connected(tunnel.Name{Cluster: "m2"}) || s.Connected(tunnel.Name{Cluster: "m1", Node: "n1"}) {
		t.Error("it does not know which agents are connected")
	}
	count := func(ctx context.Context) (n int) {
		for {
			stream, err := s.Open(ctx, m1, "tcp", tunnel.APIServer)
			var failed *tunnel.DialError
			if errors.As(err, &failed) && failed.Code == mux.Overloaded {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = stream.Close() })
			n++
		}
	}
	if n := count(tunnel.Shared(t.Context(), mux.Share{})); n != most-left {
		t.Errorf("%d streams for clients of front ends", n)
	}
	if n := count(t.Context()); n != left {
		t.Errorf("%d streams for the server", n)
	}
}
