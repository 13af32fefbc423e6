package proxy_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
	"github.com/koinon-io/koinon/test/testbed"
)

// TestRealNodeThatNobodyCanConnectToIsReachedThroughItsAgent has a stock kube-apiserver reach a real node by its name, with the example's
// EgressSelectorConfiguration: a koinon-agent on the node connects to the server, and nothing connects to the node. The member is reached through an agent, too.
func TestRealNodeThatNobodyCanConnectToIsReachedThroughItsAgent(t *testing.T) {
	p, node := hiddenPlace(t, testbed.NodeOptions{Hidden: true})
	testbed.StartAgent(t, testbed.AgentOptions{Kubeconfig: p.kubeconfig, Member: p.member, Node: node.Name(), Machine: node})
	p.reachesHidden(node)
}

// TestRealNodeThatNobodyCanConnectToIsReachedThroughItsHub is the same with the agent that is a part of the node's koinon-edgehub, which is kubelet's API server.
func TestRealNodeThatNobodyCanConnectToIsReachedThroughItsHub(t *testing.T) {
	p, node := hiddenPlace(t, testbed.NodeOptions{Hidden: true, Hub: true})
	node.KillHub(t)
	node.GiveHubTunnel(t, testbed.AgentOptions{Kubeconfig: p.kubeconfig, Member: p.member, Node: node.Name()})
	node.StartHub(t)
	p.reachesHidden(node)
}

// hiddenPlace has a member with a real node, and Koinon with the tunnel's front end for the member's API server.
func hiddenPlace(t *testing.T, options testbed.NodeOptions) (*place, *testbed.Node) {
	t.Helper()
	testbed.RequireNodes(t)
	sockets := tunneltest.SocketDir(t)
	egress := filepath.Join(t.TempDir(), "egress-selector.yaml")
	if err := os.WriteFile(egress, []byte(testbed.Example(t, "tunnel/egress-selector.yaml", "/run/koinon", sockets)), 0o600); err != nil {
		t.Fatal(err)
	}
	// Kubelets' certificates are verified: the test bed has --kubelet-certificate-authority.
	member := testbed.StartCluster(t, testbed.ClusterOptions{Name: memberName, APIServerArgs: []string{
		"--egress-selector-config-file=" + egress, "--kubelet-preferred-address-types=Hostname",
	}})
	node := testbed.StartNode(t, member, "edge-1", options)
	if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", net.JoinHostPort(node.Address(), "10250")); err == nil {
		_ = conn.Close()
		t.Fatal("the kubelet can be connected to")
	}
	// For nodes/NAME/proxy, and for nothing else, kube-apiserver looks whether the name resolves. It connects by the name all the same.
	testbed.ResolveOnOwnMachine(t, node.Name(), node.Address())
	koinon := testbed.StartKoinon(t, testbed.KoinonOptions{Args: slices.Concat(withTunnel, []string{
		"--tunnel-bind-address=0.0.0.0", "--tunnel-advertise-address=" + node.Gateway(), "--tunnel-socket-directory=" + sockets,
	})})
	p := &place{T: t, member: member, server: koinon.RESTConfig(t), kubeconfig: koinon.Kubeconfig(), direct: member.Kubeconfig()}
	join(t, p.server, member, nowhere)
	p.proxied = p.through(p.kubeconfig, memberName)
	testbed.StartAgent(t, testbed.AgentOptions{Kubeconfig: p.kubeconfig, Member: member})
	return p, node
}

// reachesHidden uses pods of a node that is reached through the tunnel alone.
func (p *place) reachesHidden(node *testbed.Node) {
	p.Helper()
	p.isServed()
	ns := p.namespace()
	p.runPods(node, ns)
	p.isReached(ns)
	direct := way{"by the API server", p.direct, ns, true}
	p.usesPods(node, direct, direct, way{"through the member's proxy", p.proxied, ns, true})
	p.comesBackByItself(node, direct)
}

// isReached waits until the API server reaches the node.
func (p *place) isReached(ns string) {
	p.Helper()
	p.eventually("the node is reached", func(context.Context) error {
		got := testbed.RunKubectl(p, p.direct, "", "exec", "-n", ns, "talks", requestTimeout, "--", "true")
		if got.Err != nil {
			return fmt.Errorf("%w: %s", got.Err, got.Stderr)
		}
		return nil
	})
}

// comesBackByItself takes the cable of a node out for longer than its agent's link lasts, and puts it in again.
func (p *place) comesBackByItself(node *testbed.Node, direct way) {
	p.Helper()
	talk := p.begin(p.direct, nil, "exec", "-i", "-n", direct.ns, "talks", "--", "cat")
	talk.say("before\n")
	talk.await("before\n")
	node.Cut(p)
	// A node without an agent is for the agents of its cluster, which may not connect to it.
	p.eventually("it is said why the node is not reached", func(context.Context) error {
		got := direct.run(p, []string{"exec", "-n", "NS", "talks", "--", "true"})
		if !strings.Contains(got[1], node.Name()+":10250 is not among its targets") {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
	if _, ended := talk.ends(); !ended {
		p.Error("what was carried goes on without a link")
	}
	node.Heal(p)
	p.isReached(direct.ns)
	for _, env := range protocols {
		p.execs(direct.ns, env)
		p.forwardsTo(direct.ns, env, "serves", servedPort, "served /%d")
	}
	p.followsLogs(direct.ns)
}
