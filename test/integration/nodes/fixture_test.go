// Package nodes_test reaches nodes by their names through the tunnel: two clusters have nodes of the same names and the same addresses,
// which lead nowhere, and each node has a koinon-agent that was made for it. Real programs of others use the manifests of
// artifacts/examples/tunnel.
package nodes_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/test/testbed"
)

const (
	// patience is how long anything may take before a test gives up. It is no assertion about speed.
	patience       = testbed.Patience
	system         = "kube-federation-system"
	requestTimeout = "--request-timeout=60s"
	suffix         = "tunnel.test"
	// sameAddress is the InternalIP of all nodes (RFC 5737).
	sameAddress = "192.0.2.10"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// federation is a server with the front ends of the tunnel, and two members.
type federation struct {
	*testing.T
	server *testbed.Koinon
	// sockets is the directory of Unix sockets, proxy the address of the TLS front end.
	sockets, proxy string
	// m1's API server reaches its nodes by the tunnel.
	m1, m2 *testbed.Cluster
}

func newFederation(t *testing.T) *federation {
	t.Helper()
	f := &federation{T: t}
	var err error
	if f.sockets, err = os.MkdirTemp("", "nodes"); err != nil { // the names of tests are too long for sockets
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(f.sockets) })
	port := testbed.FreePort(t)
	f.proxy = fmt.Sprintf("127.0.0.1:%d", port)
	f.server = testbed.StartKoinon(t, testbed.KoinonOptions{Args: []string{
		"--components=all,tunnel", "--tunnel-port=0", "--tunnel-bind-address=127.0.0.1", "--connection-drain-timeout=0s",
		"--tunnel-socket-directory=" + f.sockets, "--tunnel-proxy-bind-address=127.0.0.1", fmt.Sprintf("--tunnel-proxy-port=%d", port), "--tunnel-host-suffix=" + suffix,
	}})
	var starting sync.WaitGroup
	starting.Go(func() {
		f.m1 = testbed.StartCluster(t, testbed.ClusterOptions{Name: "m1", APIServerArgs: []string{
			"--egress-selector-config-file=" + f.example("egress-selector.yaml", "/run/koinon", f.sockets), "--kubelet-preferred-address-types=Hostname",
		}})
	})
	starting.Go(func() { f.m2 = testbed.StartCluster(t, testbed.ClusterOptions{Name: "m2"}) })
	starting.Wait()
	config, err := clientcmd.BuildConfigFromFlags("", f.server.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := versioned.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{"m1", "m2"} {
		f.eventually("the KubeFedCluster", func(ctx context.Context) error {
			_, err := ours.KubeFedCoreV1beta1().KubeFedClusters(system).Create(ctx, &v1beta1.KubeFedCluster{
				ObjectMeta: metav1.ObjectMeta{Name: member},
				Spec:       v1beta1.KubeFedClusterSpec{APIEndpoint: "https://192.0.2.1:6443", SecretRef: v1beta1.LocalSecretReference{Name: member}},
			}, metav1.CreateOptions{})
			return err
		})
	}
	testbed.KubectlStdin(t, f.server.Kubeconfig(), f.text("rbac.yaml"), "apply", "-f", "-", requestTimeout)
	return f
}

// text is an example.
func (f *federation) text(name string, oldnew ...string) string {
	f.Helper()
	return testbed.Example(f, "tunnel/"+name, oldnew...)
}

// example is text in a file.
func (f *federation) example(name string, oldnew ...string) (file string) {
	f.Helper()
	return f.write(name, f.text(name, oldnew...))
}

// eventually tries until check succeeds.
func (f *federation) eventually(what string, check func(ctx context.Context) error) {
	f.Helper()
	testbed.Eventually(f, what, check)
}

// node is a node of a member, with its agent.
type node struct {
	*testbed.Kubelet
	member *testbed.Cluster
	agent  *testbed.Agent
}

// newNode adds a node to a member.
func (f *federation) newNode(member *testbed.Cluster, name string) *node {
	f.Helper()
	n := &node{Kubelet: testbed.StartHiddenKubelet(f, member, name, sameAddress), member: member}
	n.enrol(f)
	return n
}

// enrol starts an agent with a token, in place of the one before.
func (n *node) enrol(f *federation) {
	f.Helper()
	if n.agent != nil {
		n.agent.Kill9(f)
	}
	n.agent = testbed.StartAgent(f, testbed.AgentOptions{Kubeconfig: f.server.Kubeconfig(), Member: n.member, Node: n.Node, Args: []string{"--kubelet=" + n.Listens()}})
}

// process is a program that runs.
type process struct {
	*exec.Cmd
	ended chan struct{}

	mu   sync.Mutex
	said bytes.Buffer // guarded by mu
}

// Write implements io.Writer for what it says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// start runs a program until the test ends.
func (f *federation) start(what string, cmd *exec.Cmd, env ...string) *process {
	f.Helper()
	p := &process{Cmd: cmd, ended: make(chan struct{})}
	p.Env = append(os.Environ(), env...)
	p.Stdout, p.Stderr = p, p
	if err := p.Start(); err != nil {
		f.Fatal(err)
	}
	go func() { // ends with the process
		_ = p.Wait()
		close(p.ended)
	}()
	f.Cleanup(func() {
		p.kill(f)
		if f.Failed() {
			f.Logf("%s said:\n%s", what, p.output())
		}
	})
	return p
}

// kill ends it as with kill -9.
func (p *process) kill(f *federation) {
	f.Helper()
	if err := p.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		f.Fatal(err)
	}
	<-p.ended
}

// within is the same fixture for a part of the test.
func (f *federation) within(t *testing.T) *federation {
	part := *f
	part.T = t
	return &part
}
