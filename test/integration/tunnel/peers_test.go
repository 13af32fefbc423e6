package tunnel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/testbed"
)

// TestAServerThatNoAgentReachesHandsConnectionsOn runs two servers behind a host, and an agent that reaches only one of them. It is also what
// is seen of that agent, at both.
func TestAServerThatNoAgentReachesHandsConnectionsOn(t *testing.T) {
	datastore := "mysql://" + storagetest.StartMariaDB(t).NewDatabase(t)
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "host"})
	api, agents := testbed.StartBalancer(t), testbed.StartBalancer(t)
	var servers [2]*testbed.Koinon
	for i := range servers {
		servers[i] = startServer(t, testbed.KoinonOptions{HostKubeconfig: host.Kubeconfig(), Datastore: datastore, Args: []string{
			"--service-port=" + strconv.Itoa(api.Port()), fmt.Sprintf("--tunnel-advertise-address=127.0.0.1:%d", agents.Port()),
		}})
		api.Add(servers[i].Port())
	}
	f := newFederation(t, servers[0])
	agents.Add(f.tunnelPort(servers[0], 1)) // and never that of the other
	f.tunnelPort(servers[1], 1)
	f.status(1, "Problem: no agent is connected: no token for it is kept")
	e := f.enrol()
	f.status(1, "was not used yet")
	f.startAgent(e, 0)
	f.is(v1beta1.ClusterReady, "")
	f.propagates()
	for i := range servers {
		f.reachedFrom(servers[i])
	}
	api.Remove(servers[0].Port()) // from now on the host asks the other one
	f.works()
	f.status(0, "All is well.")
	f.eventually("its agent is counted where it has no link", func(context.Context) error {
		got := testbed.Kubectl(f, f.kubeconfig, "--server", servers[1].URL(), "--insecure-skip-tls-verify", "get", "kubefedcluster", member, "-n", system, requestTimeout)
		lines := strings.Split(strings.TrimSpace(got), "\n")
		if len(lines) != 2 || strings.Fields(lines[0])[4] != "AGENTS" || !strings.HasSuffix(strings.TrimSpace(lines[1]), " 1") {
			return errors.New(got)
		}
		return nil
	})
	f.member.Kill(t, testbed.APIServer)
	f.status(1, "does not reach its apiserver: connection refused")
	f.member.Start(t)

	servers[0].Kill9(t) // the one that it has a link to: the other is reached as soon as it may be
	agents.Add(f.tunnelPort(servers[1], 1))
	f.eventually("the member is reached from the other", func(context.Context) error {
		return testbed.RunKubectl(f, f.proxied, "", "get", "--raw", "/version", requestTimeout).Err
	})
}

// status waits until kubectl koinon agent status has an exit code, and says something.
func (f *federation) status(code int, want string) {
	f.Helper()
	plugin, err := testbed.Binary("kubectl-koinon")
	if err != nil {
		f.Fatal(err)
	}
	f.eventually("kubectl koinon agent status says "+want, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, plugin, "--kubeconfig", f.kubeconfig, "agent", "status", member)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(said.String(), want) {
			return fmt.Errorf("exit code %d:\n%s", got, said.String())
		}
		return nil
	})
}
