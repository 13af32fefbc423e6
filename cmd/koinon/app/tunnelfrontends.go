package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/agentaccess/doors"
	"github.com/koinon-io/koinon/pkg/agentaccess/service"
	"github.com/koinon-io/koinon/pkg/agentaccess/tunnelconfig"
	"github.com/koinon-io/koinon/pkg/pki"
)

// TunnelFrontends are the options of the tunnel's front ends.
type TunnelFrontends struct {
	// SocketDirectory is where each cluster has Unix sockets; empty: there are none.
	SocketDirectory string
	// ProxyBindAddress and ProxyPort are where users of the API connect; port 0 means that they do not.
	ProxyBindAddress net.IP
	ProxyPort        int
	// HostSuffix is the domain of hosts that name a cluster or node.
	HostSuffix string
	// ConfigFile says how much is carried for whom; empty: the defaults.
	ConfigFile string
}

func (o *TunnelFrontends) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.SocketDirectory, "tunnel-socket-directory", "", "A directory in which each KubeFedCluster has the Unix sockets NAME.sock, for HTTP CONNECT, and NAME.grpc.sock, for konnectivity's protocol: an EgressSelectorConfiguration of a kube-apiserver names one. Who may open them, by their mode 0660, reaches what the agents of the cluster reach. One server at a time may use the directory. The default is none.")
	fs.IPVar(&o.ProxyBindAddress, "tunnel-proxy-bind-address", nil, "The address of --tunnel-proxy-port. The default is --bind-address.")
	fs.IntVar(&o.ProxyPort, "tunnel-proxy-port", 0, "The port on which users of the API connect through the tunnel: HTTP CONNECT over TLS, with the client certificates that the API accepts, as for proxy-url in a kubeconfig. They need get on kubefedclusters/tunnel for the API server of a cluster, get on kubefedclusters/kubelets for kubelets of its nodes, and create on kubefedclusters/connections for other addresses. 0 is none.")
	fs.StringVar(&o.HostSuffix, "tunnel-host-suffix", "", "The `DOMAIN` of hosts that name a cluster or node for the tunnel's front ends: CLUSTER.DOMAIN is its API server, NODE.CLUSTER.DOMAIN a node. No DNS needs to know it. The default is none.")
	fs.StringVar(&o.ConfigFile, "tunnel-config", "", "A TunnelConfiguration with the limits and timeouts of the tunnel's front ends: connections, dials and bytes, by name and by tenant. The file is read again when it changes; one that is wrong stops a start, and does not replace one that is right. \"koinon check-tunnel-config\" looks at one. The default is the defaults of all.")
}

// enabled reports whether there are any.
func (o *TunnelFrontends) enabled() bool { return o.SocketDirectory != "" || o.ProxyPort != 0 }

// check says what is wrong with the flags.
func (o *TunnelFrontends) check(tunnel bool) error {
	var errs []error
	if o.ProxyPort < 0 || o.ProxyPort > 65535 {
		errs = append(errs, fmt.Errorf("--tunnel-proxy-port is %d: it must be between 0 (none) and 65535", o.ProxyPort))
	}
	if o.enabled() && !tunnel {
		errs = append(errs, errors.New("--tunnel-socket-directory or --tunnel-proxy-port is given, and --components has no tunnel that it could lead to"))
	}
	if o.ConfigFile != "" && !o.enabled() {
		errs = append(errs, errors.New("--tunnel-config is given without --tunnel-socket-directory and --tunnel-proxy-port: there is nothing that it could limit"))
	}
	if o.HostSuffix != "" && len(validation.IsDNS1123Subdomain(o.HostSuffix)) > 0 {
		errs = append(errs, fmt.Errorf("--tunnel-host-suffix is %q: it must be a DNS name such as tunnel.example.com", o.HostSuffix))
	}
	return errors.Join(errs...)
}

// openedFrontends are what front ends have from the beginning of the process on.
type openedFrontends struct {
	sockets *doors.Directory
	proxy   net.Listener
	limits  *tunnelconfig.File
}

// open reads the configuration, binds the port, and locks the directory.
func (o *TunnelFrontends) open() (opened openedFrontends, err error) {
	if opened.limits, err = tunnelconfig.Open(o.ConfigFile); err != nil {
		return openedFrontends{}, fmt.Errorf("--tunnel-config: %w", err)
	}
	if o.SocketDirectory != "" {
		if opened.sockets, err = doors.OpenDirectory(o.SocketDirectory); err != nil {
			return openedFrontends{}, fmt.Errorf("--tunnel-socket-directory: %w", err)
		}
	}
	if o.ProxyPort != 0 {
		if opened.proxy, err = listen(o.ProxyBindAddress, o.ProxyPort, "--tunnel-proxy-bind-address", "--tunnel-proxy-port"); err != nil {
			opened.close()
			return openedFrontends{}, err
		}
	}
	return opened, nil
}

func (o openedFrontends) close() {
	if o.sockets != nil {
		o.sockets.Close()
	}
	if o.proxy != nil {
		_ = o.proxy.Close()
	}
}

// newDoors makes the front ends; nil if there are none. users are the authorities of the API's users, PEM.
func (p *tunnelPart) newDoors(serving service.Serving, users func() ([]byte, error)) (*doors.Doors, error) {
	if !p.options.TunnelFrontends.enabled() {
		return nil, nil
	}
	pool := doors.ClientCAs(users)
	return doors.New(doors.Config{
		Sockets: p.frontends.sockets, Proxy: p.frontends.proxy, Suffix: p.options.TunnelFrontends.HostSuffix, Limits: p.frontends.limits,
		Delay: p.options.Generic.ShutdownDelayDuration, Drain: p.options.ConnectionDrainTimeout,
		TLS: func() (*tls.Config, error) {
			certificate, _, err := serving()
			if err != nil {
				return nil, fmt.Errorf("the serving certificate: %w", err)
			}
			clients, err := pool()
			if err != nil {
				return nil, err
			}
			return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, ClientCAs: clients}, nil
		},
	})
}

// ownUsers are the authorities of users of a server that runs alone.
func ownUsers(keys *pki.PKI) users {
	return func(context.Context, *alongside) (func() ([]byte, error), error) {
		return func() ([]byte, error) { return os.ReadFile(keys.CAFile()) }, nil
	}
}

// hostUsers are the authorities of the users of a host, as it tells servers behind its aggregator. The authority of the aggregator is none of
// them.
func (p *tunnelPart) hostUsers(host *rest.Config) users {
	return func(ctx context.Context, below *alongside) (func() ([]byte, error), error) {
		if p.frontends.proxy == nil {
			return nil, nil
		}
		return followUsers(ctx, below, host)
	}
}

// followUsers keeps the authorities of a host's users up to date until ctx ends.
func followUsers(ctx context.Context, below *alongside, host *rest.Config) (func() ([]byte, error), error) {
	client, err := kubernetes.NewForConfig(host)
	if err != nil {
		return nil, fmt.Errorf("make a client of the host: %w", err)
	}
	kept, err := dynamiccertificates.NewDynamicCAFromConfigMapController("tunnel-users", "kube-system", "extension-apiserver-authentication", "client-ca-file", client)
	if err != nil {
		return nil, fmt.Errorf("follow the authorities of the host's users: %w", err)
	}
	below.running.Go(func() { kept.Run(ctx, 1) })
	return func() ([]byte, error) {
		if text := kept.CurrentCABundleContent(); len(text) > 0 {
			return text, nil
		}
		return nil, errors.New("the host has not told them: there is no client-ca-file in the ConfigMap kube-system/extension-apiserver-authentication, or it could not be read")
	}, nil
}

func newCheckTunnelConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check-tunnel-config FILE",
		Short: "Say what is wrong with a file for --tunnel-config",
		Long: `Read a TunnelConfiguration as "koinon server --tunnel-config" does, and say what is wrong with it.
No server is asked. The exit code is 0 if it is right, and 1 if it is not.`,
		Example: `  koinon check-tunnel-config limits.yaml && mv limits.yaml /etc/koinon/tunnel.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := tunnelconfig.Open(args[0])
			if err != nil {
				return err
			}
			clusters, nodes, tenants := file.Rules().Count()
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is right: limits of their own have %d clusters, %d nodes and %d tenants\n", args[0], clusters, nodes, tenants)
			return err
		},
	}
}
