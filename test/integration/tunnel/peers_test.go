package tunnel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/testbed"
)

// TestAServerThatNoAgentReachesHandsConnectionsOn runs two servers behind a host, and an agent that reaches only one of them. It is also what
// is seen of that agent, at both.
func TestAServerThatNoAgentReachesHandsConnectionsOn(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers: left out with -short")
	}
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
		if len(lines) != 2 || !strings.HasSuffix(strings.TrimSpace(lines[0]), "AGENTS") || !strings.HasSuffix(strings.TrimSpace(lines[1]), " 1") {
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

// TestATunnelAloneReachesMembersForAServer runs koinon tunnel, to which the agent connects, beside a server that agents are not told of.
func TestATunnelAloneReachesMembersForAServer(t *testing.T) {
	f := newFederation(t, startServer(t, testbed.KoinonOptions{Args: []string{"--tunnel-agents=false"}}))
	f.status(1, "the server has no tunnel: there is no ConfigMap koinon-tunnel")
	first := f.startTunnel()
	f.eventually("agents can be told of it", func(ctx context.Context) error {
		_, err := f.host.CoreV1().ConfigMaps(system).Get(ctx, "koinon-tunnel", metav1.GetOptions{})
		return err
	})
	f.status(1, "Problem: no agent is connected: no token for it is kept")
	e := f.enrol()
	f.status(1, "was not used yet")
	f.startAgent(e, 0)
	f.is(v1beta1.ClusterReady, "")
	f.propagates()
	f.works()
	f.status(0, "All is well.")
	got := testbed.Kubectl(f, f.kubeconfig, "get", "kubefedcluster", member, "-n", system, requestTimeout)
	if lines := strings.Split(strings.TrimSpace(got), "\n"); len(lines) != 2 || !strings.HasSuffix(strings.TrimSpace(lines[0]), "AGENTS") || !strings.HasSuffix(strings.TrimSpace(lines[1]), " 1") {
		t.Errorf("got %s", got)
	}
	f.member.Kill(t, testbed.APIServer)
	f.status(1, "does not reach its apiserver: connection refused")
	f.refused("its agent cannot connect to the API server there: connection refused")
	first.stop(f)
	f.refused(noAgent)
}

// tunnelProcess is a process of koinon tunnel.
type tunnelProcess struct {
	*exec.Cmd
	said  bytes.Buffer // until it has ended, the process writes it
	ended chan error
}

// startTunnel runs koinon tunnel over the API of the server.
func (f *federation) startTunnel() *tunnelProcess {
	f.Helper()
	binary, err := testbed.Binary("koinon")
	if err != nil {
		f.Fatal(err)
	}
	p := &tunnelProcess{ended: make(chan error, 1)}
	p.Cmd = exec.Command(binary, "tunnel", "--kubeconfig", f.kubeconfig, "--bind-address=127.0.0.1", "--port=0", "--advertise-address=127.0.0.1")
	p.Stdout, p.Stderr = &p.said, &p.said
	if err := p.Start(); err != nil {
		f.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }() // ends with the process
	f.Cleanup(func() {
		p.stop(f)
		if f.Failed() {
			f.Logf("koinon tunnel said:\n%s", p.said.String())
		}
	})
	return p
}

// stop tells it to end, and waits until it has.
func (p *tunnelProcess) stop(f *federation) {
	f.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil { // it has ended
		return
	}
	select {
	case err := <-p.ended:
		if err != nil {
			f.Errorf("koinon tunnel: %v", err)
		}
	case <-time.After(patience):
		_ = p.Process.Kill()
		<-p.ended
		f.Error("koinon tunnel does not end")
	}
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
