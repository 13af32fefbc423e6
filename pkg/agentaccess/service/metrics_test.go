package service

import (
	"strings"
	"testing"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

func TestMetricsCountWhatIsAtAServer(t *testing.T) {
	ca := tunneltest.NewAuthority(t)
	a := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS(), PeerTLS: ca.PeerTLS("a")})
	b := tunneltest.Serve(t, "", server.Config{ID: "b", TLS: ca.ServerTLS(), PeerTLS: ca.PeerTLS("b")})
	tunneltest.Mesh(t, a, b)
	m1 := tunnel.Name{Cluster: "m1"}
	policy, err := agent.NewPolicy(map[string]string{tunnel.APIServer: tunneltest.Target(t, "x")})
	if err != nil {
		t.Fatal(err)
	}
	tunneltest.Run(t, agent.Config{Servers: []string{a.Address}, TLS: ca.AgentTLS(m1), Policy: policy})
	tunneltest.Run(t, agent.Config{Servers: []string{a.Address}, TLS: ca.AgentTLS(tunnel.Name{Cluster: "m1", Node: "n1"})})
	tunneltest.Linked(t, a, tunnel.Name{Cluster: "m1", Node: "n1"}, 1)
	tunneltest.Eventually(t, "b knows of it", func() bool { return b.Agents(m1) == 1 })
	if _, err := tunneltest.Hear(b, m1, tunnel.APIServer, 1); err != nil {
		t.Fatal(err)
	}
	conn, err := a.Dial(t.Context(), m1, "tcp", tunnel.APIServer)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tunneltest.Eventually(t, "one connection is open", func() bool {
		open := 0
		for _, l := range a.Links() {
			open += l.Streams
		}
		return open == 1
	})
	for _, test := range []struct {
		of    *tunneltest.Replica
		names []string
		want  string
	}{
		{a, []string{"koinon_tunnel_agent_links", "koinon_tunnel_agent_streams", "koinon_tunnel_dials_total", "koinon_tunnel_peers"}, `
			# HELP koinon_tunnel_agent_links [ALPHA] Links that agents have with this server, by cluster, and whether they are of the cluster or of its nodes.
			# TYPE koinon_tunnel_agent_links gauge
			koinon_tunnel_agent_links{cluster="m1",of="cluster"} 1
			koinon_tunnel_agent_links{cluster="m1",of="node"} 1
			# HELP koinon_tunnel_agent_streams [ALPHA] Connections that are open through links of agents with this server.
			# TYPE koinon_tunnel_agent_streams gauge
			koinon_tunnel_agent_streams{cluster="m1"} 1
			# HELP koinon_tunnel_dials_total [ALPHA] Connections that were wanted: by this server itself (own), by other servers of agents here (for_others), and of those by this one from other servers (handed_on).
			# TYPE koinon_tunnel_dials_total counter
			koinon_tunnel_dials_total{by="for_others",result="failed"} 0
			koinon_tunnel_dials_total{by="for_others",result="opened"} 1
			koinon_tunnel_dials_total{by="handed_on",result="failed"} 0
			koinon_tunnel_dials_total{by="handed_on",result="opened"} 0
			koinon_tunnel_dials_total{by="own",result="failed"} 0
			koinon_tunnel_dials_total{by="own",result="opened"} 1
			# HELP koinon_tunnel_peers [ALPHA] Other servers with a tunnel, by whether there is a link to them.
			# TYPE koinon_tunnel_peers gauge
			koinon_tunnel_peers{linked="false"} 0
			koinon_tunnel_peers{linked="true"} 1
`},
		{b, []string{"koinon_tunnel_agent_links", "koinon_tunnel_agent_streams"}, ``},
	} {
		registry := metrics.NewKubeRegistry()
		registry.CustomMustRegister(Metrics(func() *server.Server { return test.of.Server }))
		compare := func() error { return testutil.GatherAndCompare(registry, strings.NewReader(test.want), test.names...) }
		// An agent that looks for the other server by this one's address has a second link for a moment.
		tunneltest.Eventually(t, "metrics are as they should be: "+test.want, func() bool { return compare() == nil })
	}
	none := metrics.NewKubeRegistry()
	none.CustomMustRegister(Metrics(func() *server.Server { return nil }))
	if families, err := none.Gather(); err != nil || len(families) != 0 {
		t.Errorf("before the start: %v, %v", families, err)
	}
}
