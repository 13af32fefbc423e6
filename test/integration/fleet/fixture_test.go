// Package fleet_test asks a fleet of real clusters, with the real kubectl and client-go's informers.
package fleet_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/koinon-io/koinon/pkg/registry/proxy/fleet"
	"github.com/koinon-io/koinon/test/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

var (
	first  = testbed.SharedCluster(testbed.ClusterOptions{Name: "m1", Nodes: 2})
	second = testbed.SharedCluster(testbed.ClusterOptions{Name: "m2", Nodes: 1})
)

// prefix is where the fleet is served: never at the root.
const prefix = "/apis/federation.koinon.io/v1alpha1/fleet/proxy"

// scope is the members of a test.
type scope struct {
	mu      sync.Mutex
	members []fleet.Member
	changed chan struct{}
}

func (s *scope) List(context.Context) ([]fleet.Member, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.members), nil
}

func (s *scope) Watch(context.Context) <-chan struct{} { return s.changed }

func (s *scope) set(members ...fleet.Member) {
	s.mu.Lock()
	s.members = members
	s.mu.Unlock()
	s.changed <- struct{}{}
}

// world is a fleet over both clusters.
type world struct {
	*testing.T
	*scope
	m1, m2     *testbed.Cluster
	kubeconfig string
	config     *rest.Config
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, m1: first.Get(t), m2: second.Get(t), scope: &scope{changed: make(chan struct{}, 10)}}
	w.members = []fleet.Member{member(t, "m1", w.m1), member(t, "m2", w.m2)}
	handler, err := fleet.New(fleet.Config{Members: func(*http.Request) (fleet.Members, error) { return w.scope, nil }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.StripPrefix(prefix, handler))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	config := clientcmdapi.NewConfig()
	config.Clusters["fleet"] = &clientcmdapi.Cluster{Server: server.URL + prefix}
	config.Contexts["fleet"] = &clientcmdapi.Context{Cluster: "fleet"}
	config.CurrentContext = "fleet"
	w.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, w.kubeconfig); err != nil {
		t.Fatal(err)
	}
	w.config = &rest.Config{Host: server.URL + prefix, QPS: -1}
	return w
}

// member sends requests to a cluster as its administrator.
func member(t *testing.T, name string, c *testbed.Cluster) fleet.Member {
	t.Helper()
	config := c.RESTConfig(t)
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	return fleet.Member{Name: name, Transport: to{base, transport}}
}

type to struct {
	base *url.URL
	http.RoundTripper
}

func (t to) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = t.base.Scheme, t.base.Host, t.base.Host
	return t.RoundTripper.RoundTrip(r)
}

// kubectl asks the fleet.
func (w *world) kubectl(args ...string) string {
	w.Helper()
	return testbed.Kubectl(w, w.kubeconfig, args...)
}

// apply puts manifests into a cluster itself.
func (w *world) apply(c *testbed.Cluster, manifest string) {
	w.Helper()
	testbed.KubectlStdin(w, c.Kubeconfig(), manifest, "apply", "-f", "-")
}

// columns are the fields of each line of a table.
func columns(table string) (lines [][]string) {
	for line := range strings.Lines(table) {
		lines = append(lines, strings.Fields(line))
	}
	return lines
}
