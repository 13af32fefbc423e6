package testbed

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/koinon-io/koinon/cmd/koinon-playground/kubeconfig"
	"github.com/koinon-io/koinon/cmd/koinon-playground/pki"
)

// Files of a node's disk, in one directory of it.
const (
	nodeKubeconfig   = "kubeconfig"
	kubeletConfig    = "kubelet.yaml"
	containerdConfig = "containerd.toml"
	nodeImageFile    = "image.tar"
	staticPods       = "manifests"
	pluginDirectory  = "cni"
	authorityFile    = "ca.crt"
	certificateFile  = "kubelet.crt"
	keyFile          = "kubelet.key"
)

// disk is the directory of this machine that is /var on the node. All that a node keeps is there.
func (n *Node) disk() string { return filepath.Join(n.place.dir, "disk") }

// nodePath is where a file of a disk is on the node.
func nodePath(file string) string { return filepath.Join("/var/node", file) }

// writeDisk makes the disk of a node that has never run.
func (n *Node) writeDisk(ctx context.Context) error {
	dir := filepath.Join(n.disk(), "node")
	for _, d := range []string{dir, filepath.Join(dir, staticPods), filepath.Join(n.disk(), "lib", "cni", "net.d"), filepath.Join(n.disk(), "log")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := n.writeCredentials(dir); err != nil {
		return err
	}
	if err := writePlugins(filepath.Join(dir, pluginDirectory)); err != nil {
		return err
	}
	busybox, err := staticBusybox()
	if err != nil {
		return err
	}
	if err := writeNodeImage(ctx, busybox, filepath.Join(dir, nodeImageFile)); err != nil {
		return err
	}
	for path, content := range map[string]string{
		filepath.Join(dir, kubeletConfig):                                     n.kubeletConfiguration(),
		filepath.Join(dir, containerdConfig):                                  containerdConfiguration(),
		filepath.Join(n.disk(), "lib", "cni", "net.d", "10-testbed.conflist"): n.podNetwork(),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writePlugins has a directory with Debian's CNI plugins, and ours beside them.
func writePlugins(dir string) error {
	plugins, err := filepath.Glob(filepath.Join(cniDirectory, "*"))
	if err != nil {
		return err
	}
	ours, err := Binary("koinon-ipam")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, plugin := range append(plugins, ours) {
		if err := os.Symlink(plugin, filepath.Join(dir, filepath.Base(plugin))); err != nil {
			return err
		}
	}
	return nil
}

// writeCredentials makes the certificate that kubelet serves and calls the API server with.
func (n *Node) writeCredentials(dir string) error {
	authority, err := pki.NewAuthority(filepath.Join(n.cluster.cluster.Dir, "pki"), "ca", n.cluster.Name()+"-ca")
	if err != nil {
		return err
	}
	subject := pkix.Name{CommonName: "system:node:" + n.name, Organization: []string{"system:nodes"}}
	// A file for each address: a node of that name may have been there before.
	hosts := []string{n.name}
	if !n.options.Hidden {
		hosts = append(hosts, n.Address())
	}
	pair, err := authority.Issue("node-"+n.Address(), subject, hosts...)
	if err != nil {
		return err
	}
	cert, key, err := pair.Read()
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(authority.Files().Cert)
	if err != nil {
		return fmt.Errorf("read authority: %w", err)
	}
	for file, data := range map[string][]byte{authorityFile: ca, certificateFile: cert, keyFile: key} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			return err
		}
	}
	config := kubeconfig.New(kubeconfig.Access{
		Context: n.cluster.Name(), CA: ca, Cert: cert, Key: key,
		Server: "https://" + net.JoinHostPort(n.Gateway(), strconv.Itoa(n.server.Port())),
	})
	if n.options.Hub {
		return n.writeHub(dir, slices.Concat(cert, key))
	}
	// The API server's certificate is not for the address that the node has for it.
	config.Clusters[n.cluster.Name()].TLSServerName = "localhost"
	return kubeconfig.Write(filepath.Join(dir, nodeKubeconfig), config)
}

func (n *Node) kubeletConfiguration() string {
	address := "0.0.0.0"
	if n.options.Hidden {
		address = "127.0.0.1"
	}
	return strings.NewReplacer("ADDRESS", address, "GROUP", n.group, "DIR", nodePath("")).Replace(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: ADDRESS
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: DIR/` + authorityFile + `}
authorization: {mode: Webhook}
tlsCertFile: DIR/` + certificateFile + `
tlsPrivateKeyFile: DIR/` + keyFile + `
cgroupDriver: cgroupfs
cgroupRoot: /GROUP
# Kubernetes calls version 1 deprecated; some machines have no other.
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
staticPodPath: DIR/` + staticPods + `
volumePluginDir: /var/lib/kubelet/volumeplugins
resolvConf: ""
# The disk is the machine's: what others keep there is no reason to evict or to remove images.
evictionHard: {memory.available: 64Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
`)
}

// containerdConfiguration is for containerd 1.6 and later.
func containerdConfiguration() string {
	return `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + NodeImage + `"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE runc cannot lower the score of the container that holds a pod's namespaces.
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "` + nodePath(pluginDirectory) + `"
    conf_dir = "/var/lib/cni/net.d"
`
}

// podNetwork is a bridge on the node. Pods reach what the node does, and only the node reaches them.
func (n *Node) podNetwork() string {
	network := `{"cniVersion": "0.4.0", "name": "testbed", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "SUBNET"}]], "routes": [{"dst": "0.0.0.0/0"}]}}
]}
`
	if n.options.Network != "" {
		network = n.options.Network
	}
	return strings.ReplaceAll(network, "SUBNET", fmt.Sprintf("10.78.%d.0/24", n.number))
}
