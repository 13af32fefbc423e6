package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/enroll/podsecret"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
)

// Options are those of koinon-agent.
type Options struct {
	// Servers are HOST:PORT, and ServerName what their certificates name instead of HOST.
	Servers    []string
	ServerName string
	// Transport is how they are reached.
	Transport string
	// Cluster and Node are whom the agent should stand for. It is the token or the certificate that decides.
	Cluster, Node string
	// TokenFile has the token for the first certificate.
	TokenFile string
	// CAFile has the authority of servers, or CAPins are its pins.
	CAFile string
	CAPins []string
	// StateDir keeps key, certificate and authority, or StateSecret does, a Secret in the namespace of the pod, whose account is in
	// AccountDir.
	StateDir, StateSecret, AccountDir string
	// APIServer and Kubelet are HOST:PORT of what is called so.
	APIServer, Kubelet string
	// Allow are further targets.
	Allow []string
	// DrainTimeout is how long what is carried may go on after SIGTERM.
	DrainTimeout time.Duration
	// StatusAddress is where /healthz and /metrics are, and HealthAddress where /healthz is alone; empty is nowhere.
	StatusAddress, HealthAddress string
	// Verbosity is that of the log.
	Verbosity int
}

const defaultStateDir = "/var/lib/koinon-agent"

// NewOptions returns the defaults.
func NewOptions() *Options {
	return &Options{Transport: string(carrier.Auto), StateDir: defaultStateDir, AccountDir: podsecret.AccountDir, DrainTimeout: 20 * time.Second}
}

// AddFlags adds the flags in the order in which help shows them.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringSliceVar(&o.Servers, "server", nil, "Where Koinon's tunnel is, `HOST:PORT`. One address for all replicas is enough, for instance of a load balancer; may be repeated.")
	fs.StringVar(&o.ServerName, "server-name", "", "The `NAME` in the certificates of the servers, if it is not the HOST of --server.")
	fs.StringVar(&o.Transport, "transport", o.Transport, "How to reach the servers: direct is TLS, websocket is TLS inside HTTPS, and auto what works, which is remembered.")
	fs.StringVar(&o.TokenFile, "token-file", "", "A `FILE` with the token for the first certificate. It is not read while there is a certificate that is good.")
	fs.StringVar(&o.CAFile, "ca-file", "", "A `FILE` with the certificate of the servers' authority, PEM. It may be replaced while the agent runs.")
	fs.StringSliceVar(&o.CAPins, "ca-pin", nil, "Instead of --ca-file, what the authority's public key has to be, `sha256:HEX`; may be repeated. It is compared when the agent gets its first certificate.")
	fs.StringVar(&o.StateDir, "state-dir", o.StateDir, "The `DIRECTORY` for key, certificate and authority. One agent at a time may use it.")
	fs.StringVar(&o.StateSecret, "state-secret", "", "Instead of --state-dir, the `NAME` of a Secret in the namespace of the pod, which exists, and which the pod's account may get and update. One agent at a time may use it.")
	fs.StringVar(&o.AccountDir, "account-dir", o.AccountDir, "The `DIRECTORY` with the files token, ca.crt and namespace of the pod's account, for --state-secret.")
	fs.StringVar(&o.Cluster, "cluster", "", "The `NAME` of the cluster that the agent should stand for. The token decides; if it is for another one, the agent does not start.")
	fs.StringVar(&o.Node, "node", "", "The `NAME` of the node that the agent should stand for, beside --cluster.")
	fs.StringVar(&o.APIServer, "apiserver", "", "Where the API server is, `HOST:PORT`. The default in a pod of a cluster's agent is that of its environment. A node's agent has none.")
	fs.StringVar(&o.Kubelet, "kubelet", "", "Where the kubelet is, `HOST:PORT`. The default on a node is "+defaultKubelet+". A cluster's agent has none.")
	fs.StringSliceVar(&o.Allow, "allow", nil, "What else may be connected to, `HOST:PORT`; HOST may be a prefix such as 10.0.0.0/8, and PORT may be FROM-TO or *. A name is resolved here, and may not lead to loopback or link-local addresses. May be repeated.")
	fs.DurationVar(&o.DrainTimeout, "drain-timeout", o.DrainTimeout, "How long connections that are carried may go on after SIGTERM. New ones go to other agents meanwhile.")
	fs.StringVar(&o.StatusAddress, "status-address", "", "Serve /healthz and /metrics at this `ADDRESS:PORT` of loopback. The default is nowhere; with --allow for the same, Koinon can read them through the tunnel.")
	fs.StringVar(&o.HealthAddress, "health-address", "", "Serve /healthz alone at this `ADDRESS:PORT`, for a readiness probe: 200 with a link to a server, else 503. The address may be empty. The default is nowhere.")
	fs.IntVarP(&o.Verbosity, "v", "v", 0, "How much to log: 4 and more is for debugging.")
}

// Validate says what is wrong with the first flag that is.
func (o *Options) Validate() error {
	for _, check := range []func() error{o.validateServers, o.validateTrust, o.validateName, o.validateTargets, o.validateRest} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) validateServers() error {
	if len(o.Servers) == 0 {
		return errors.New("--server HOST:PORT is required: where Koinon's tunnel is")
	}
	for _, server := range o.Servers {
		if !isHostPort(server) {
			return fmt.Errorf("--server %q: HOST:PORT is needed, without a scheme or a path", server)
		}
	}
	if err := carrier.Way(o.Transport).Validate(); err != nil {
		return fmt.Errorf("--transport: %w", err)
	}
	return nil
}

func (o *Options) validateTrust() error {
	if o.CAFile != "" && len(o.CAPins) > 0 {
		return errors.New("--ca-file and --ca-pin say the same in two ways: one of them is allowed")
	}
	_, err := o.pins()
	return err
}

func (o *Options) pins() ([]identity.Pin, error) {
	var pins []identity.Pin
	for _, text := range o.CAPins {
		pin, err := identity.ParsePin(text)
		if err != nil {
			return nil, fmt.Errorf("--ca-pin: %w", err)
		}
		pins = append(pins, pin)
	}
	return pins, nil
}

// name is whom the agent should stand for; zero if that was not said.
func (o *Options) name() tunnel.Name { return tunnel.Name{Cluster: o.Cluster, Node: o.Node} }

func (o *Options) validateName() error {
	switch {
	case o.Cluster == "" && o.Node == "":
		return nil
	case o.Cluster == "":
		return errors.New("--node needs --cluster: nodes of several clusters may have the same name")
	}
	if err := o.name().Validate(); err != nil {
		return fmt.Errorf("--cluster, --node: %w", err)
	}
	return nil
}

func (o *Options) validateTargets() error {
	for flag, address := range map[string]string{"apiserver": o.APIServer, "kubelet": o.Kubelet} {
		if address != "" && !isHostPort(address) {
			return fmt.Errorf("--%s %q: HOST:PORT is needed, without a scheme or a path", flag, address)
		}
	}
	if _, err := agent.NewPolicy(nil, o.Allow...); err != nil {
		return fmt.Errorf("--allow: %w", err)
	}
	return nil
}

func (o *Options) validateRest() error {
	switch {
	case o.StateSecret != "" && o.StateDir != defaultStateDir:
		return errors.New("--state-dir and --state-secret say the same in two ways: one of them is allowed")
	case o.StateDir == "":
		return errors.New("--state-dir: a directory is needed")
	}
	if o.DrainTimeout < 0 {
		return fmt.Errorf("--drain-timeout %s: 0s or more is allowed", o.DrainTimeout)
	}
	if _, port, err := net.SplitHostPort(o.HealthAddress); o.HealthAddress != "" && (err != nil || !isPort(port)) {
		return fmt.Errorf("--health-address %q: a port is needed, and an address may be before it, such as :8133", o.HealthAddress)
	}
	if o.StatusAddress == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(o.StatusAddress)
	if err != nil || !isPort(port) || !isLoopback(host) {
		return fmt.Errorf("--status-address %q: an address of loopback and a port are needed, such as 127.0.0.1:10260", o.StatusAddress)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	number, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && bad == nil && number > 0 && host != "" && !strings.ContainsAny(host, "/ ")
}

// token reads the token's file.
func (o *Options) token() (string, error) {
	if o.TokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(o.TokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// ca returns what reads the authority's file; nil if there is none.
func (o *Options) ca() func() ([]byte, error) {
	if o.CAFile == "" {
		return nil
	}
	return func() ([]byte, error) {
		text, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		return text, nil
	}
}
