package proxy_test

import (
	"context"
	"errors"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/testbed"
)

// TestKubectlWorksThroughTwoServersWithATunnel has a host send requests to either of two servers, to which the member's agent has links.
func TestKubectlWorksThroughTwoServersWithATunnel(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	datastore := "mysql://" + storagetest.StartMariaDB(t).NewDatabase(t)
	host, member := testbed.StartCluster(t, testbed.ClusterOptions{Name: "host"}), sharedMember.Get(t)
	api, agents := testbed.StartTurns(t), testbed.StartTurns(t)
	var servers [2]*testbed.Koinon
	for i := range servers {
		servers[i] = testbed.StartKoinon(t, testbed.KoinonOptions{HostKubeconfig: host.Kubeconfig(), Datastore: datastore, Args: slices.Concat(withTunnel, []string{
			"--service-port=" + strconv.Itoa(api.Port()), "--tunnel-advertise-address=127.0.0.1:" + strconv.Itoa(agents.Port()),
		})})
		api.Add(servers[i].Port())
	}
	p := &place{T: t, member: member, server: host.RESTConfig(t), kubeconfig: host.Kubeconfig(), direct: member.Kubeconfig(), hosted: true}
	for _, server := range servers {
		agents.Add(p.tunnelPort(server))
	}
	join(t, p.server, member, nowhere)
	testbed.StartAgent(t, testbed.AgentOptions{Kubeconfig: p.kubeconfig, Member: member})
	p.proxied = p.through(p.kubeconfig, memberName)
	for _, server := range servers {
		p.eventually("the agent has a link to "+server.URL(), func(context.Context) error {
			path := "/apis/federation.koinon.io/v1alpha1/clusters/" + memberName + "/proxy/version"
			return testbed.RunKubectl(p, p.kubeconfig, "", "--server", server.URL(), "--insecure-skip-tls-verify", "get", "--raw", path, requestTimeout).Err
		})
	}
	p.doesAsDirectly()
	p.talksToProcesses()
}

var listens = regexp.MustCompile(`"Agents can connect".* address="([^"]+)"`)

// tunnelPort is where agents connect to a server.
func (p *place) tunnelPort(server *testbed.Koinon) (port int) {
	p.Helper()
	p.eventually("a tunnel", func(context.Context) error {
		text, err := os.ReadFile(server.LogFile())
		if err != nil {
			return err
		}
		found := listens.FindSubmatch(text)
		if found == nil {
			return errors.New("it has not started")
		}
		_, number, err := net.SplitHostPort(string(found[1]))
		if err == nil {
			port, err = strconv.Atoi(number)
		}
		return err
	})
	return port
}
