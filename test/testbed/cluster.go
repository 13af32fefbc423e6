package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
)

// The programs of a cluster, for Kill.
const (
	Etcd              = member.Etcd
	APIServer         = member.APIServer
	ControllerManager = member.ControllerManager
	Nodes             = member.Nodes
)

// ClusterOptions say what cluster to start.
type ClusterOptions struct {
	// Name of the cluster, a DNS label; default "cluster". Several clusters of one test
	// need no different names, but their logs are easier to tell apart.
	Name string
	// Nodes is how many nodes to simulate. With none, pods stay Pending.
	Nodes int
	// Network puts nodes and pods of the test into a network that the API server carries requests to: see
	// Cluster.Network.
	Network bool
	// EtcdArgs, APIServerArgs and ControllerManagerArgs are added to the command lines.
	EtcdArgs              []string
	APIServerArgs         []string
	ControllerManagerArgs []string
}

// Cluster is a running cluster.
type Cluster struct {
	// Network is nil if it was not asked for.
	Network *Network

	place   place
	cluster *member.Cluster
}

// StartCluster starts a cluster that lives as long as the test, and returns once it is
// ready.
func StartCluster(t testing.TB, o ClusterOptions) *Cluster {
	t.Helper()
	skipShort(t)
	c, err := newCluster(o)
	if err != nil {
		t.Fatal(err)
	}
	c.place.clean(t, c.cluster.Name, c.end)
	if err := c.cluster.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func newCluster(o ClusterOptions) (*Cluster, error) {
	binary, err := Binary(playgroundBinary)
	if err != nil {
		return nil, err
	}
	o.Name = orDefault(o.Name, "cluster")
	p, err := newPlace(o.Name)
	if err != nil {
		return nil, err
	}
	c := &Cluster{place: p}
	if o.Network {
		if c.Network, err = startNetwork(p.dir); err != nil {
			_, removeErr := p.remove("")
			return nil, errors.Join(err, removeErr)
		}
		o.APIServerArgs = slices.Concat(c.Network.apiServerArgs(), o.APIServerArgs)
	}
	c.cluster, err = member.New(member.Config{
		Name:                  o.Name,
		Dir:                   filepath.Join(p.dir, "state"),
		LogDir:                p.logs(),
		Binary:                binary,
		Kubernetes:            os.Getenv("KOINON_KUBERNETES"),
		Nodes:                 o.Nodes,
		EtcdArgs:              o.EtcdArgs,
		APIServerArgs:         o.APIServerArgs,
		ControllerManagerArgs: o.ControllerManagerArgs,
		Tied:                  true,
	})
	if err != nil {
		_, removeErr := p.remove("")
		return nil, errors.Join(err, c.endNetwork(), removeErr)
	}
	return c, nil
}

// Name of the cluster.
func (c *Cluster) Name() string { return c.cluster.Name }

// Kubeconfig is the path of the administrator's kubeconfig. It stays the same when the
// cluster is restarted.
func (c *Cluster) Kubeconfig() string { return c.cluster.Kubeconfig() }

// RESTConfig is the administrator's access, without a limit on requests. Every call
// returns a copy.
func (c *Cluster) RESTConfig(t testing.TB) *rest.Config {
	t.Helper()
	return config(t, c.cluster.RESTConfig)
}

// AccountKubeconfig writes a kubeconfig with a token of a ServiceAccount, good for four hours, and
// returns its path: for programs that run here with the rights that they have in the cluster.
func (c *Cluster) AccountKubeconfig(t testing.TB, namespace, name string) string {
	t.Helper()
	token := Kubectl(t, c.Kubeconfig(), "-n", namespace, "create", "token", name, "--duration=4h", "--request-timeout=20s")
	config := clientcmdapi.NewConfig()
	config.Clusters[c.Name()] = &clientcmdapi.Cluster{Server: c.Server(), CertificateAuthority: c.CAFile()}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: strings.TrimSpace(token)}
	config.Contexts[c.Name()] = &clientcmdapi.Context{Cluster: c.Name(), AuthInfo: name}
	config.CurrentContext = c.Name()
	path := filepath.Join(filepath.Dir(c.Kubeconfig()), namespace+"."+name+".kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// Server is the URL of the API server.
func (c *Cluster) Server() string { return c.cluster.Server() }

// CAFile is the certificate authority of the API server, PEM. A server that the
// cluster's aggregator shall trust gets its certificate elsewhere.
func (c *Cluster) CAFile() string { return filepath.Join(c.pki(), "ca.crt") }

// pki is the directory of the certificates.
func (c *Cluster) pki() string { return filepath.Join(c.cluster.Dir, "pki") }

// Kill kills the named programs as with kill -9, or all of them, and keeps the data.
func (c *Cluster) Kill(t testing.TB, programs ...string) {
	t.Helper()
	if err := c.cluster.Kill(context.WithoutCancel(t.Context()), programs...); err != nil {
		t.Fatal(err)
	}
}

// Start starts what does not run, on the same ports and data, and waits until the
// cluster is ready.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	if err := c.cluster.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Restart kills all programs and starts them again.
func (c *Cluster) Restart(t testing.TB) {
	t.Helper()
	c.Kill(t)
	c.Start(t)
}

// Freeze makes the API server a silent peer until Thaw: connections stay open, nothing
// answers.
func (c *Cluster) Freeze(t testing.TB) {
	t.Helper()
	if err := c.cluster.Freeze(); err != nil {
		t.Fatal(err)
	}
}

// Thaw undoes Freeze.
func (c *Cluster) Thaw(t testing.TB) {
	t.Helper()
	if err := c.cluster.Thaw(); err != nil {
		t.Fatal(err)
	}
}

// end ends all programs, and the network.
func (c *Cluster) end(ctx context.Context) error {
	return errors.Join(c.cluster.Kill(ctx), c.endNetwork())
}

func (c *Cluster) endNetwork() error {
	if c.Network == nil {
		return nil
	}
	return c.Network.Close()
}

// stop ends a cluster that no test owns.
func (c *Cluster) stop(ctx context.Context, keepLogsAs string) error {
	err := c.end(ctx)
	kept, removeErr := c.place.remove(keepLogsAs)
	if kept != "" {
		fmt.Printf("the logs of %s are in %s\n", c.cluster.Name, kept)
	}
	return errors.Join(err, removeErr)
}
