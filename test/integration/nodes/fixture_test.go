// Package nodes_test reaches nodes by their names through the tunnel: two clusters have nodes of the same names and the same addresses,
// which lead nowhere, and each node has a koinon-agent that was made for it. Real programs of others use the manifests of
// artifacts/examples/tunnel.
package nodes_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/test/testbed"
)

const (
	// patience is how long anything may take before a test gives up. It is no assertion about speed.
	patience       = 3 * time.Minute
	system         = "kube-federation-system"
	requestTimeout = "--request-timeout=60s"
	suffix         = "tunnel.test"
	// sameAddress is the InternalIP of all nodes (RFC 5737).
	sameAddress = "192.0.2.10"
	examples    = "../../../artifacts/examples/tunnel"
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
	f.proxy = f.free()
	_, port, err := net.SplitHostPort(f.proxy)
	if err != nil {
		t.Fatal(err)
	}
	f.server = testbed.StartKoinon(t, testbed.KoinonOptions{Args: []string{
		"--components=all,tunnel", "--tunnel-port=0", "--tunnel-bind-address=127.0.0.1", "--connection-drain-timeout=0s",
		"--tunnel-socket-directory=" + f.sockets, "--tunnel-proxy-bind-address=127.0.0.1", "--tunnel-proxy-port=" + port, "--tunnel-host-suffix=" + suffix,
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

// free is an address of loopback that nothing listens at.
func (f *federation) free() string {
	f.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// text reads an example, with something in place of what the reader has to put there.
func (f *federation) text(name string, oldnew ...string) string {
	f.Helper()
	text, err := os.ReadFile(filepath.Join(examples, name))
	if err != nil {
		f.Fatal(err)
	}
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(string(text), oldnew[i]) {
			f.Errorf("there is no %q in %s", oldnew[i], name)
		}
	}
	return strings.NewReplacer(oldnew...).Replace(string(text))
}

// example is text in a file.
func (f *federation) example(name string, oldnew ...string) (file string) {
	f.Helper()
	file = filepath.Join(f.TempDir(), name)
	if err := os.WriteFile(file, []byte(f.text(name, oldnew...)), 0o600); err != nil {
		f.Fatal(err)
	}
	return file
}

// eventually tries until check succeeds.
func (f *federation) eventually(what string, check func(ctx context.Context) error) {
	f.Helper()
	var last error
	err := wait.PollUntilContextTimeout(f.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		f.Fatalf("%s: %v", what, last)
	}
}

// user makes a certificate of a user, with files tls.crt, tls.key and ca.crt in a directory.
func (f *federation) user(name string, args ...string) (dir string) {
	f.Helper()
	binary, err := testbed.Binary("koinon")
	if err != nil {
		f.Fatal(err)
	}
	dir = filepath.Join(f.TempDir(), name)
	cmd := exec.CommandContext(f.Context(), binary, append([]string{
		"kubeconfig", "--data-dir=" + f.server.DataDir(), "--user=" + name, "--lifetime=2h", "--output=" + filepath.Join(f.TempDir(), name), "--certificate-directory=" + dir,
	}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		f.Fatalf("koinon kubeconfig: %v\n%s", err, out)
	}
	return dir
}

// plugin runs kubectl koinon.
func (f *federation) plugin(args ...string) (stdout, stderr string) {
	f.Helper()
	binary, err := testbed.Binary("kubectl-koinon")
	if err != nil {
		f.Fatal(err)
	}
	cmd := exec.CommandContext(f.Context(), binary, append([]string{"--kubeconfig", f.server.Kubeconfig()}, args...)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		f.Fatalf("kubectl koinon %q: %v\n%s", args, err, said.String())
	}
	return out.String(), said.String()
}

// node is a node of a member, with its agent.
type node struct {
	*testbed.Kubelet
	cluster string
	unit    string
	state   string
	agent   *process
}

// newNode adds a node to a member, with an agent as systemd would run it.
func (f *federation) newNode(member *testbed.Cluster, name string) *node {
	f.Helper()
	n := &node{Kubelet: testbed.StartHiddenKubelet(f, member, name, sameAddress), cluster: member.Name(), state: f.TempDir()}
	n.enrol(f)
	n.start(f)
	return n
}

// enrol gets it a unit with a token.
func (n *node) enrol(f *federation) {
	f.Helper()
	n.unit, _ = f.plugin("agent", n.cluster, "--node", n.Node, "--output=systemd")
}

var (
	unitToken = regexp.MustCompile(`(?m)^SetCredential=token:(.*)$`)
	unitStart = regexp.MustCompile(`(?ms)^ExecStart=/usr/local/bin/koinon-agent (.*?[^\\])\n`)
)

// start runs what the unit says, for a kubelet at another port.
func (n *node) start(f *federation) {
	f.Helper()
	token, command := unitToken.FindStringSubmatch(n.unit), unitStart.FindStringSubmatch(n.unit)
	if token == nil || command == nil {
		f.Fatalf("there is no token or no command in\n%s", n.unit)
	}
	credentials := f.TempDir()
	if err := os.WriteFile(filepath.Join(credentials, "token"), []byte(token[1]), 0o600); err != nil {
		f.Fatal(err)
	}
	args := strings.Fields(strings.NewReplacer("\\\n", " ", "${CREDENTIALS_DIRECTORY}", credentials, "/var/lib/koinon-agent", n.state).Replace(command[1]))
	binary, err := testbed.Binary("koinon-agent")
	if err != nil {
		f.Fatal(err)
	}
	n.agent = f.start("the agent of "+n.cluster+"/"+n.Node, exec.Command(binary, append(args, "--kubelet="+n.Listens())...), "HTTPS_PROXY=", "https_proxy=")
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

// says waits until a process has said something.
func (f *federation) says(p *process, want string) {
	f.Helper()
	f.eventually("it says "+want, func(context.Context) error {
		if !strings.Contains(p.output(), want) {
			return errors.New(p.output())
		}
		return nil
	})
}

// within is the same fixture for a part of the test.
func (f *federation) within(t *testing.T) *federation {
	part := *f
	part.T = t
	return &part
}

// port is that of an address.
func (f *federation) port(address string) int {
	f.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		f.Fatal(err)
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		f.Fatal(fmt.Errorf("the port of %s: %w", address, err))
	}
	return number
}
