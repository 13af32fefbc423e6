package memberaccess

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// Tunnel connects to the API server of a member through the agent of that name. Its errors are a
// *TunnelError, in a net.OpError of "dial" since nothing was sent.
type Tunnel func(ctx context.Context, member string) (net.Conn, error)

// TunnelError says in one sentence, which follows the member's name, why its agent did not connect. It is the
// same each time the problem is.
type TunnelError struct {
	Problem string
	// NoAgent: there was nobody to ask.
	NoAgent bool
}

func (e *TunnelError) Error() string { return e.Problem }

// dialFunc opens a connection.
type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// Dialer is how connections to a member are opened that config, of Config, is of. Whether through an agent or by otherwise, which may be
// nil for the network, is what its KubeFedCluster says in spec.tunnel:
//
//   - Always: through an agent, and never in another way.
//   - Never: by otherwise.
//   - absent: by otherwise, and through an agent while that leads nowhere, and one is connected. This is for configurations
//     that check the certificate of the API server in full, and have no proxy: so a credential goes
//     to whoever has a certificate for the host that it may be sent to, whichever way it takes.
//
// A nil tunnel is that of a server without one. Dialer returns otherwise if there is no other way. What it returns
// remembers which way led to the member.
func Dialer(cluster *v1beta1.KubeFedCluster, config *rest.Config, tunnel Tunnel, otherwise dialFunc) dialFunc {
	if cluster.Spec.Tunnel == v1beta1.TunnelAlways {
		if tunnel == nil {
			tunnel = noTunnel
		}
		return func(ctx context.Context, _, _ string) (net.Conn, error) { return tunnel(ctx, cluster.Name) }
	}
	if cluster.Spec.Tunnel != "" || tunnel == nil {
		return otherwise
	}
	endpoint, ok := verifiedEndpoint(cluster, config)
	if !ok {
		return otherwise
	}
	if otherwise == nil {
		otherwise = (&net.Dialer{Timeout: dialTimeout, KeepAlive: dialTimeout}).DialContext
	}
	return (&ways{member: cluster.Name, endpoint: endpoint, direct: otherwise, agent: tunnel}).dial
}

func noTunnel(context.Context, string) (net.Conn, error) {
	return nil, NoAgent("spec.tunnel is %s, and this server has no tunnel: start it with the component tunnel", v1beta1.TunnelAlways)
}

// NotDialed is the error of a Tunnel whose agent did not connect, or that lost it meanwhile.
func NotDialed(format string, args ...any) error {
	return &net.OpError{Op: "dial", Net: "tunnel", Err: &TunnelError{Problem: fmt.Sprintf(format, args...)}}
}

// NoAgent is the error of a Tunnel that has no agent of the member.
func NoAgent(format string, args ...any) error {
	return &net.OpError{Op: "dial", Net: "tunnel", Err: &TunnelError{Problem: fmt.Sprintf(format, args...), NoAgent: true}}
}

// onlyThroughAgent makes a configuration of a member that is reached through its agent one that connects to nobody: who has the
// tunnel says so with DialWith. Neither the environment nor a kubeconfig has a proxy in between.
func onlyThroughAgent(config *rest.Config) error {
	if config.Proxy != nil {
		return malformed("spec.tunnel is %s, and its kubeconfig names a proxy: the agent connects to the API server, and through none", v1beta1.TunnelAlways)
	}
	none := func(*http.Request) (*url.URL, error) { return nil, nil }
	if own, ok := config.Transport.(*http.Transport); ok { // see relax
		own.Proxy = none
	} else {
		config.Proxy = none
	}
	DialWith(config, func(ctx context.Context, _, _ string) (net.Conn, error) { return noTunnel(ctx, "") })
	return nil
}
