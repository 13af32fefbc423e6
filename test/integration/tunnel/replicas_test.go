package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/testbed"
)

// TestAMemberIsReachedFromEveryReplica runs two servers behind a host, to which an agent has links by the addresses of both.
func TestAMemberIsReachedFromEveryReplica(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
	datastore := "mysql://" + storagetest.StartMariaDB(t).NewDatabase(t)
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "host"})
	api := testbed.StartBalancer(t)
	var servers [2]*testbed.Koinon
	agents := [len(servers)]*testbed.Balancer{testbed.StartBalancer(t), testbed.StartBalancer(t)} // addresses that stay
	advertised := fmt.Sprintf("--tunnel-advertise-address=127.0.0.1:%d,127.0.0.1:%d", agents[0].Port(), agents[1].Port())
	for i := range servers {
		servers[i] = startServer(t, testbed.KoinonOptions{HostKubeconfig: host.Kubeconfig(), Datastore: datastore, Args: []string{
			"--service-port=" + strconv.Itoa(api.Port()), advertised,
		}})
		api.Add(servers[i].Port())
	}
	f := newFederation(t, servers[0])
	var ports [2]int
	for i := range servers {
		ports[i] = f.tunnelPort(servers[i], 1)
		agents[i].Add(ports[i])
	}
	f.startAgent(f.enrol(), 0)
	for _, server := range servers {
		f.logs(server, `"An agent connected"`)
	}
	f.is(v1beta1.ClusterReady, "")
	f.propagates()
	for i := range servers {
		f.reachedFrom(servers[i])
	}

	// Who leads goes, whichever that is; the other has a link already.
	servers[0].Stop(t)
	agents[0].Remove(ports[0])
	api.Remove(servers[0].Port())
	f.reachedFrom(servers[1])
	f.reached()
	f.works()

	servers[0].Start(t)
	api.Add(servers[0].Port())
	agents[0].Add(f.tunnelPort(servers[0], 2))
	servers[1].Kill9(t)
	api.Remove(servers[1].Port())
	f.reached() // from the one that came back
	f.works()
}

// reachedFrom waits until a server itself, and no other, reaches the member.
func (f *federation) reachedFrom(server *testbed.Koinon) {
	f.Helper()
	f.eventually("the member is reached from "+server.URL(), func(context.Context) error {
		path := "/apis/federation.koinon.io/v1alpha1/clusters/" + member + "/proxy/version"
		got := testbed.RunKubectl(f, f.kubeconfig, "", "--server", server.URL(), "--insecure-skip-tls-verify", "get", "--raw", path, requestTimeout)
		if got.Err != nil || !strings.Contains(got.Stdout, "gitVersion") {
			return fmt.Errorf("%w: %s%s", got.Err, got.Stdout, got.Stderr)
		}
		return nil
	})
}

var listens = regexp.MustCompile(`"Agents can connect".* address="([^"]+)"`)

// tunnelPort is where agents connect to a server that was started for the nth time.
func (f *federation) tunnelPort(server *testbed.Koinon, nth int) (port int) {
	f.Helper()
	f.eventually("a tunnel", func(context.Context) error {
		text, err := os.ReadFile(server.LogFile())
		if err != nil {
			return err
		}
		found := listens.FindAllStringSubmatch(string(text), -1)
		if len(found) < nth {
			return errors.New("it has not started")
		}
		_, number, err := net.SplitHostPort(found[nth-1][1])
		if err == nil {
			port, err = strconv.Atoi(number)
		}
		return err
	})
	return port
}

// logs waits until a server has said something.
func (f *federation) logs(server *testbed.Koinon, want string) {
	f.Helper()
	f.eventually("a server says "+want, func(context.Context) error {
		text, err := os.ReadFile(server.LogFile())
		if err == nil && !strings.Contains(string(text), want) {
			err = errors.New("it does not yet")
		}
		return err
	})
}
