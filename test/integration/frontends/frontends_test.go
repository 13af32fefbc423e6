// Package frontends_test reaches what is behind agents of the tunnel with stock clients: a kube-apiserver with an
// EgressSelectorConfiguration, konnectivity's client, and client-go with a kubeconfig that has a proxy-url; through koinon server and koinon-agent. What the
// egress selector makes of each target and refusal is looked at without those.
package frontends_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/server/egressselector"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend/konnectivity"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

const suffix = "tunnel.test"

var (
	m1 = tunnel.Name{Cluster: "m1"}
	m2 = tunnel.Name{Cluster: "m2"}
	n1 = tunnel.Name{Cluster: "m1", Node: "n1"}
)

// policy gives each tenant the cluster of its name. Certificates say the tenant.
type policy struct{}

func (policy) Client(certificate *x509.Certificate) (frontend.Client, error) {
	if len(certificate.URIs) != 1 || certificate.URIs[0].Scheme != "tenant" {
		return frontend.Client{}, errors.New("it is no tenant's")
	}
	tenant := certificate.URIs[0].Opaque
	return frontend.Client{Tenant: tenant, Within: tunnel.Name{Cluster: tenant}}, nil
}

func (policy) Allow(_ context.Context, client frontend.Client, name tunnel.Name, _ string) error {
	if client.Tenant != name.Cluster {
		return errors.New("it is another's")
	}
	return nil
}

func (policy) Known(name tunnel.Name) bool { return name == m1 || name == m2 || name == n1 }

// fixture is a server with agents of m1, m2 and a node of m1, and with a front end of each kind.
type fixture struct {
	ca              *tunneltest.Authority
	connect, grpc   string // Unix sockets of m1
	secure          string // address with TLS
	kubelet, target string // addresses
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	fx := &fixture{ca: tunneltest.NewAuthority(t)}
	s := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: fx.ca.ServerTLS()})
	fx.kubelet, fx.target = tunneltest.Target(t, "kubelet"), tunneltest.Target(t, "target")
	for name, words := range map[tunnel.Name]map[string]string{
		m1: {tunnel.APIServer: tunneltest.Target(t, "m1")}, m2: {tunnel.APIServer: tunneltest.Target(t, "m2")}, n1: {tunnel.Kubelet: fx.kubelet},
	} {
		allowed, err := agent.NewPolicy(words, fx.target)
		if err != nil {
			t.Fatal(err)
		}
		tunneltest.Run(t, agent.Config{Servers: []string{s.Address}, TLS: fx.ca.AgentTLS(name), Policy: allowed})
		tunneltest.Linked(t, s, name, 1)
	}
	front, err := frontend.New(frontend.Config{Opener: s, Policy: policy{}, Suffix: suffix, Logger: tunneltest.Quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Close)
	dir := tunneltest.SocketDir(t)
	fx.connect, fx.grpc = filepath.Join(dir, "m1.sock"), filepath.Join(dir, "m1-grpc.sock")
	client := frontend.Client{Tenant: "m1", Within: m1}
	serve(t, listenUnix(t, fx.connect), func(ctx context.Context, l net.Listener) error {
		return front.Serve(ctx, l, frontend.Door{Client: client})
	})
	serve(t, listenUnix(t, fx.grpc), func(ctx context.Context, l net.Listener) error {
		return konnectivity.Serve(ctx, l, front, client)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fx.secure = listener.Addr().String()
	serve(t, listener, func(ctx context.Context, l net.Listener) error {
		return front.Serve(ctx, l, frontend.Door{TLS: fx.ca.ServerTLS()})
	})
	return fx
}

func listenUnix(t *testing.T, path string) net.Listener {
	t.Helper()
	listener, err := frontend.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func serve(t *testing.T, listener net.Listener, with func(context.Context, net.Listener) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- with(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func tenantURI(tenant string) *url.URL { return &url.URL{Scheme: "tenant", Opaque: tenant} }

// TestTheEgressSelectorOfKubeAPIServer reads the configuration as kube-apiserver does and dials with what comes of it.
func TestTheEgressSelectorOfKubeAPIServer(t *testing.T) {
	fx := newFixture(t)
	dir := t.TempDir()
	certFile, keyFile := tunneltest.WritePair(t, dir, fx.ca.Issue(time.Now().Add(time.Hour), tenantURI("m1")))
	caFile := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(caFile, fx.ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, connection := range map[string]string{
		"HTTPConnect over a Unix socket": fmt.Sprintf("{proxyProtocol: HTTPConnect, transport: {uds: {udsName: %s}}}", fx.connect),
		"HTTPConnect over TLS": fmt.Sprintf("{proxyProtocol: HTTPConnect, transport: {tcp: {url: 'https://%s', tlsConfig: {caBundle: %s, clientCert: %s, clientKey: %s}}}}",
			fx.secure, caFile, certFile, keyFile),
		"GRPC over a Unix socket": fmt.Sprintf("{proxyProtocol: GRPC, transport: {uds: {udsName: %s}}}", fx.grpc),
	} {
		t.Run(what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "egress.yaml")
			text := "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n- name: cluster\n  connection: " + connection + "\n"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			config, err := egressselector.ReadEgressSelectorConfiguration(file)
			if err != nil {
				t.Fatal(err)
			}
			selector, err := egressselector.NewEgressSelector(config)
			if err != nil {
				t.Fatal(err)
			}
			dial, err := selector.Lookup(egressselector.Cluster.AsNetworkContext())
			if err != nil {
				t.Fatal(err)
			}
			for target, want := range map[string]string{fx.target: "target", "n1:10250": "kubelet", "n1.m1." + suffix + ":10250": "kubelet"} {
				conn, err := dial(t.Context(), "tcp", target)
				if err != nil {
					t.Fatalf("%s: %v", target, err)
				}
				if _, err := io.WriteString(conn, "!"); err != nil {
					t.Errorf("%s: %v", target, err)
				}
				want += "!" // what it says, and what it hears
				got := make([]byte, len(want))
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
					t.Errorf("%s: got %q: %v", target, got, err)
				}
				if err := conn.Close(); err != nil && err.Error() != "tunnel closed" { // which konnectivity's client says or not, by chance
					t.Errorf("%s: close: %v", target, err)
				}
			}
			for target, want := range map[string]string{
				"127.0.0.1:1":             "the agent's policy does not allow it",
				"m2." + suffix + ":443":   `m2.` + suffix + ` is not in cluster "m1"`,
				"no-host.example.com:443": "no-host.example.com:443 is not among its targets",
			} {
				if conn, err := dial(t.Context(), "tcp", target); err == nil {
					_ = conn.Close()
					t.Errorf("%s: it is reached", target)
				} else if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v", target, err)
				}
			}
		})
	}
}
