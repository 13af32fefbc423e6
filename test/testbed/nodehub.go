package testbed

import (
	"context"
	"crypto/x509/pkix"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/cmd/koinon-playground/pki"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

// hubDirectory is what a node's hub keeps, below /var of the node.
const hubDirectory = "lib/koinon-edgehub"

// writeHub gives the hub of a node the node's certificate and key, and kubelet the way to the hub.
func (n *Node) writeHub(dir string, pair []byte) error {
	state := filepath.Join(n.disk(), hubDirectory)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(state, "node.pem"), pair, 0o600); err != nil {
		return err
	}
	hub, err := Binary(hubProgram)
	if err != nil {
		return err
	}
	text, err := exec.Command(hub, "kubeconfig", "--node", n.name, "--state-dir", state).Output()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, nodeKubeconfig), text, 0o600)
}

// startHub starts the hub.
func (n *Node) startHub() error {
	hub, err := Binary(hubProgram)
	if err != nil {
		return err
	}
	// The API server's certificate is not for the address that the node has for it.
	return n.startProgram(hub, slices.Concat([]string{
		"run", "--node", n.name, "--server", "https://" + net.JoinHostPort(n.Gateway(), strconv.Itoa(n.server.Port())), "--server-name", "localhost",
		"--ca-file", nodePath(authorityFile), "--state-dir", "/var/" + hubDirectory,
	}, n.options.HubArgs)...)
}

// KillHub ends the hub of a node at once.
func (n *Node) KillHub(t testing.TB) {
	t.Helper()
	if err := process.Stop(context.WithoutCancel(t.Context()), n.pidFile(hubProgram), 0); err != nil {
		t.Fatal(err)
	}
}

// GiveHubTunnel has the hub of a node be the node's agent of the tunnel, too, from its next start on: with a token of kubectl koinon agent.
func (n *Node) GiveHubTunnel(t testing.TB, o AgentOptions) {
	t.Helper()
	args, token, err := nodeEnrolment(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(n.disk(), "node", "tunnel-token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, arg := range args {
		if flag, ok := strings.CutPrefix(arg, "--"); ok && (strings.HasPrefix(flag, "server=") || strings.HasPrefix(flag, "ca-pin=")) {
			n.options.HubArgs = append(n.options.HubArgs, "--tunnel-"+flag)
		}
	}
	n.options.HubArgs = append(n.options.HubArgs, "--tunnel-token-file="+nodePath("tunnel-token"))
}

// StartHub starts the hub of a node that runs.
func (n *Node) StartHub(t testing.TB) {
	t.Helper()
	if err := n.startHub(); err != nil {
		t.Fatal(err)
	}
}

// KillKubelet ends kubelet at once; what it runs goes on.
func (n *Node) KillKubelet(t testing.TB) {
	t.Helper()
	if err := process.Stop(context.WithoutCancel(t.Context()), n.pidFile(kubeletProgram), 0); err != nil {
		t.Fatal(err)
	}
}

// StartKubelet starts kubelet on a node that runs.
func (n *Node) StartKubelet(t testing.TB) {
	t.Helper()
	if err := n.startKubelet(); err != nil {
		t.Fatal(err)
	}
}

// StaticPods is the directory of this machine with the manifests of the node's static pods.
func (n *Node) StaticPods() string { return filepath.Join(n.disk(), "node", staticPods) }

// Disk is the directory of this machine that is /var on the node.
func (n *Node) Disk() string { return n.disk() }

// StartService starts a program of the node's disk that ends with the node. KillHub ends it, if it is called koinon-edgehub.
func (n *Node) StartService(path string, args ...string) error { return n.startProgram(path, args...) }

// KubeletFiles are what kubelet reads, on the node: its kubeconfig and its configuration.
func (n *Node) KubeletFiles() (kubeconfig, config string) {
	return nodePath(nodeKubeconfig), nodePath(kubeletConfig)
}

// Run runs a program on the node, and returns what it prints.
func (n *Node) Run(ctx context.Context, args ...string) (string, error) {
	enter, err := n.enter(args...)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, enter[0], enter[1:]...).CombinedOutput()
	return string(out), err
}

// NodeCredential is a certificate of a node with its key, PEM, by the authority of a cluster.
func NodeCredential(t testing.TB, cluster *Cluster, node string) []byte {
	t.Helper()
	authority, err := pki.NewAuthority(cluster.pki(), "ca", cluster.Name()+"-ca")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue("credential-"+node, pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}, node)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pair.Read()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(cert, key)
}
