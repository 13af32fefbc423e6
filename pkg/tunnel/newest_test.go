package tunnel_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// nodeWith runs an agent of a node with a certificate, whose kubelet says a word, at one server.
func nodeWith(t *testing.T, ca *tunneltest.Authority, s *tunneltest.Replica, certificate tls.Certificate, word string) (a *agent.Agent, stop func()) {
	t.Helper()
	policy, err := agent.NewPolicy(map[string]string{tunnel.Kubelet: target(t, word)})
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: ca.Pool()}
	return run(t, agent.Config{Servers: []string{s.Address}, TLS: func() (*tls.Config, error) { return config, nil }, Policy: policy})
}

// reachedAt fails unless a node is the agent that says a word, from each server.
func reachedAt(t *testing.T, servers []*tunneltest.Replica, name tunnel.Name, word string) {
	t.Helper()
	for range 10 {
		for _, s := range servers {
			if got, err := hear(s, name, tunnel.Kubelet, 1); err != nil || got != word {
				t.Fatalf("from %s: reached %q, and not %q: %v", s.ID, got, word, err)
			}
		}
	}
}

// unused waits until a server does not use any agent of a node that has a link to it.
func unused(t *testing.T, s *tunneltest.Replica, name tunnel.Name) {
	t.Helper()
	eventually(t, s.ID+" uses no link of "+name.String(), func() bool {
		return !slices.ContainsFunc(s.Links(), func(l server.Link) bool { return l.Name == name && !l.Draining })
	})
}

// A node's disk was copied, or it was installed anew, and its agents are at two servers.
func TestOfTheAgentsOfANodeAtTwoServersTheNewestIsUsed(t *testing.T) {
	ca, n1 := newAuthority(t), tunnel.Name{Cluster: "m1", Node: "n1"}
	issue := func(ago time.Duration) tls.Certificate {
		return ca.IssueFrom(time.Now().Add(-ago), time.Now().Add(time.Hour), n1.URI())
	}
	disk := issue(time.Hour)
	for what, certificates := range map[string][2]tls.Certificate{
		"by its certificate":                              {issue(2 * time.Hour), disk},
		"by when it came, if the certificate is the same": {disk, disk},
	} {
		t.Run(what, func(t *testing.T) {
			servers := serveSome(t, ca, "a", "b")
			old, _ := nodeWith(t, ca, servers[0], certificates[0], "1")
			agents(t, servers[1], n1, 1)
			carried, err := servers[0].Dial(t.Context(), n1, "tcp", tunnel.Kubelet) // so that its link stays
			if err != nil {
				t.Fatal(err)
			}
			defer carried.Close()
			_ = carried.SetDeadline(time.Now().Add(patience))
			_, stop := nodeWith(t, ca, servers[1], certificates[1], "2")
			linked(t, servers[1], n1, 1)
			unused(t, servers[0], n1)
			agents(t, servers[1], n1, 1)
			reachedAt(t, servers, n1, "2")

			stop() // what comes then is the old one, which still has its link
			eventually(t, "the old one is used again", func() bool {
				got, err := hear(servers[1], n1, tunnel.Kubelet, 1)
				return err == nil && got == "1"
			})
			reachedAt(t, servers, n1, "1")
			_, _ = nodeWith(t, ca, servers[1], certificates[1], "3")
			unused(t, servers[0], n1)
			reachedAt(t, servers, n1, "3")
			got := make([]byte, 2)
			_, _ = io.WriteString(carried, "!")
			if _, err := io.ReadFull(carried, got); err != nil || string(got) != "1!" {
				t.Errorf("what is carried went on with %q: %v", got, err)
			}
			_ = carried.Close()
			eventually(t, "the old one ends once it carries nothing", func() bool { return len(old.Replicas()) == 0 })
			reachedAt(t, servers, n1, "3")
		})
	}
}

// The older one comes to another server than the newer.
func TestAnOlderAgentOfANodeIsRefusedAtAnotherServerToo(t *testing.T) {
	ca, n1 := newAuthority(t), tunnel.Name{Cluster: "m1", Node: "n1"}
	servers := serveSome(t, ca, "a", "b")
	_, _ = nodeWith(t, ca, servers[0], ca.IssueFrom(time.Now().Add(-time.Hour), time.Now().Add(time.Hour), n1.URI()), "2")
	agents(t, servers[1], n1, 1)
	var refused refusals
	old := ca.IssueFrom(time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour), n1.URI())
	refused.run(t, ca, servers[1], old)
	eventually(t, "it is told", refused.told)
	reachedAt(t, servers, n1, "2")
}

// Two servers are told of each other when each has an agent of the node already. They agree, whatever their clocks say.
func TestServersThatMeetAgreeOnTheAgentOfANode(t *testing.T) {
	ca, n1 := newAuthority(t), tunnel.Name{Cluster: "m1", Node: "n1"}
	disk := ca.IssueFrom(time.Now().Add(-time.Hour), time.Now().Add(time.Hour), n1.URI())
	var servers []*tunneltest.Replica
	for _, id := range []string{"a", "b"} {
		servers = append(servers, serve(t, "", server.Config{ID: id, TLS: ca.ServerTLS(), PeerTLS: ca.PeerTLS(id)}))
	}
	for i, word := range []string{"1", "2"} {
		_, _ = nodeWith(t, ca, servers[i], disk, word)
		linked(t, servers[i], n1, 1)
	}
	tunneltest.Mesh(t, servers...)
	used := func(s *tunneltest.Replica) (n int) {
		for _, l := range s.Links() {
			if !l.Draining {
				n++
			}
		}
		return n
	}
	eventually(t, "one of both is used", func() bool {
		return used(servers[0])+used(servers[1]) == 1 && servers[0].Agents(n1) == 1 && servers[1].Agents(n1) == 1
	})
	word, err := hear(servers[0], n1, tunnel.Kubelet, 1)
	if err != nil {
		t.Fatal(err)
	}
	reachedAt(t, servers, n1, word)
}

// refusals is the log of an agent that is refused.
type refusals struct{ lines }

func (r *refusals) run(t *testing.T, ca *tunneltest.Authority, s *tunneltest.Replica, certificate tls.Certificate) {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: ca.Pool()}
	_, _ = run(t, agent.Config{
		Servers: []string{s.Address}, TLS: func() (*tls.Config, error) { return config, nil }, Logger: slog.New(slog.NewTextHandler(&r.lines, nil)),
	})
}

func (r *refusals) told() bool {
	return strings.Contains(r.String(), "another agent of this node has connected")
}
