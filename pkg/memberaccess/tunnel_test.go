package memberaccess

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// errDialed is what a dialer of a test returns.
var errDialed = errors.New("dialed")

// ask sends a request as a configuration says, and returns why there was no answer.
func ask(t *testing.T, config *rest.Config) error {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+"/healthz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err == nil {
		_ = answer.Body.Close()
		t.Fatal("somebody answered")
	}
	return err
}

func TestAMemberWithATunnelIsReachedThroughItsAgentOnly(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // it is for the network, and not for members behind agents
	for what, spec := range map[string]v1beta1.KubeFedClusterSpec{
		"with all checks of its certificate": {APIEndpoint: "https://192.0.2.1:6443"},
		"without one":                        {APIEndpoint: "https://192.0.2.1:6443", DisabledTLSValidations: []v1beta1.TLSValidation{v1beta1.TLSSubjectName}},
	} {
		t.Run(what, func(t *testing.T) {
			spec.Tunnel = v1beta1.TunnelAlways
			c := cluster(spec)
			config, err := Config(c, bound(spec, secret(v1beta1.TokenKey, "t")), now)
			if err != nil {
				t.Fatal(err)
			}
			if err := ask(t, config); ConnectionProblem(err) != "spec.tunnel is Always, and this server has no tunnel: start it with the component tunnel" {
				t.Errorf("without a dialer: got %v", err)
			}
			DialWith(config, Dialer(c, config, nil, func(context.Context, string, string) (net.Conn, error) { return nil, errDialed }))
			if err := ask(t, config); !strings.HasPrefix(ConnectionProblem(err), "spec.tunnel is Always, and this server has no tunnel") {
				t.Errorf("without a tunnel: got %v", err)
			}
			DialWith(config, Dialer(c, config, func(_ context.Context, member string) (net.Conn, error) {
				return nil, NotDialed("no agent of %s", member)
			}, nil))
			if err := ask(t, config); ConnectionProblem(err) != "no agent of m1" {
				t.Errorf("with a tunnel: got %v", err)
			}
		})
	}
}

// The proxy of a KubeFedCluster is for others then, who know nothing of agents.
func TestAMemberWithATunnelIsReachedThroughNoProxy(t *testing.T) {
	spec := v1beta1.KubeFedClusterSpec{APIEndpoint: "https://192.0.2.1:6443", ProxyURL: "http://proxy:1", Tunnel: v1beta1.TunnelAlways}
	c := cluster(spec)
	config, err := Config(c, bound(spec, secret(v1beta1.TokenKey, "t")), now)
	if err != nil {
		t.Fatal(err)
	}
	DialWith(config, Dialer(c, config, func(_ context.Context, member string) (net.Conn, error) {
		return nil, NotDialed("no agent of %s", member)
	}, nil))
	if err := ask(t, config); ConnectionProblem(err) != "no agent of m1" {
		t.Errorf("got %v", err)
	}
}

func TestAKubeconfigOfAMemberWithATunnelHasNoProxy(t *testing.T) {
	spec := v1beta1.KubeFedClusterSpec{APIEndpoint: "https://192.0.2.1:6443", Tunnel: v1beta1.TunnelAlways}
	_, err := Config(cluster(spec), bound(spec, secret(v1beta1.KubeconfigKey, kubeconfigWithProxy)), now)
	var problem *MalformedError
	if !errors.As(err, &problem) || !strings.Contains(problem.Problem, "the agent connects to the API server, and through none") {
		t.Errorf("got %v", err)
	}
}

const kubeconfigWithProxy = `
current-context: c
clusters:
- name: m
  cluster: {server: "https://192.0.2.1:6443", proxy-url: "http://proxy:1"}
users:
- name: u
  user: {token: t}
contexts:
- name: c
  context: {cluster: m, user: u}
`
