package app

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/koinon-io/koinon/pkg/edgehub/upstream"
)

// Options are those of koinon-edgehub run.
type Options struct {
	// Node is the name of the node.
	Node string
	// Servers are URL or URL,PRIORITY of API servers, CAFile has who vouches for them, and ServerName is what their certificates name instead of the host.
	Servers    []string
	CAFile     string
	ServerName string
	// BootstrapTokenFile and BootstrapKubeconfig have a token for the node's first certificate, and Adopt are files with one that kubelet had.
	BootstrapTokenFile, BootstrapKubeconfig string
	Adopt                                   []string
	// StateDir has everything that the hub keeps.
	StateDir string
	// LocalAddress, PodAddress and StatusAddress are ADDRESS:PORT.
	LocalAddress, PodAddress, StatusAddress string
	// AddressDir is where koinon-ipam keeps the addresses of pods.
	AddressDir string
	// Tunnel is the node's agent.
	Tunnel TunnelOptions
	// Verbosity is that of the log.
	Verbosity int
}

// Defaults of Options.
const (
	DefaultStateDir      = "/var/lib/koinon-edgehub"
	DefaultLocalAddress  = "127.0.0.1:10261"
	DefaultPodAddress    = "169.254.77.1:6443"
	DefaultStatusAddress = "127.0.0.1:10267"
)

// NewOptions returns the defaults.
func NewOptions() *Options {
	name, _ := os.Hostname() // else it has to be said
	return &Options{Node: strings.ToLower(name), StateDir: DefaultStateDir, LocalAddress: DefaultLocalAddress, PodAddress: DefaultPodAddress, StatusAddress: DefaultStatusAddress, AddressDir: "/var/lib/koinon-ipam"}
}

// AddFlags adds the flags in the order in which help shows them.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	addNodeFlag(fs, &o.Node)
	fs.StringArrayVar(&o.Servers, "server", nil, "Where an API server is, `URL`, or URL,PRIORITY: of those that are well, the ones with the lowest number are asked, which is 0 if it is not said. May be repeated.")
	fs.StringVar(&o.CAFile, "ca-file", "", "A `FILE` with certificates of the API servers' authorities, PEM. It may be replaced while the hub runs. Without it the kubeconfig of --bootstrap-kubeconfig or --adopt has them. Those that the cluster publishes are followed.")
	fs.StringVar(&o.ServerName, "server-name", "", "The `NAME` in the certificates of the API servers, if it is not the host of --server.")
	fs.StringVar(&o.BootstrapTokenFile, "bootstrap-token-file", "", "A `FILE` with a bootstrap token, for the node's first certificate, and for another one if the node was away until that had ended. A new token may be put there at any time.")
	fs.StringVar(&o.BootstrapKubeconfig, "bootstrap-kubeconfig", "", "A `FILE` that has the bootstrap token, as kubeadm makes one for kubelet.")
	fs.StringArrayVar(&o.Adopt, "adopt", nil, "A `FILE` with the node's certificate and key, or a kubeconfig that has them or names them: what kubelet had before the hub came. It is used while the hub has none of its own. May be repeated.")
	fs.StringVar(&o.StateDir, "state-dir", o.StateDir, "The `DIRECTORY` for what the hub keeps. One hub at a time may use it.")
	fs.StringVar(&o.LocalAddress, "local-address", o.LocalAddress, "Where programs of the node are served, `ADDRESS:PORT` of loopback.")
	fs.StringVar(&o.PodAddress, "pod-address", o.PodAddress, "Where pods are served, `ADDRESS:PORT`. The address is added to this machine's loopback device if it is not there.")
	fs.StringVar(&o.StatusAddress, "status-address", o.StatusAddress, "Where /healthz, /readyz, /metrics and /status are, `ADDRESS:PORT` of loopback.")
	fs.StringVar(&o.AddressDir, "address-dir", o.AddressDir, "The `DIRECTORY` of koinon-ipam, which is told which pods are gone. It need not be there.")
	o.Tunnel.addFlags(fs)
	fs.IntVarP(&o.Verbosity, "v", "v", 0, "How much to log, a `LEVEL`: 4 and more is for debugging.")
}

// addNodeFlag adds the flag for the name of the node. The default is another one on each machine, and not shown.
func addNodeFlag(fs *pflag.FlagSet, to *string) {
	fs.StringVar(to, "node", *to, "The `NAME` of this node. The default is that of the machine, in lower case.")
	fs.Lookup("node").DefValue = ""
}

// Validate says what is wrong with the first flag that is.
func (o *Options) Validate() error {
	if len(o.Servers) == 0 {
		return errors.New("--server URL is required: where the API server is")
	}
	return o.validateGiven()
}

// validateGiven is Validate for when API servers are found out later.
func (o *Options) validateGiven() error {
	if _, err := o.servers(); err != nil {
		return err
	}
	if err := o.validateLocal(); err != nil {
		return err
	}
	if err := validateAddress("--status-address", o.StatusAddress, DefaultStatusAddress); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(o.PodAddress)
	switch {
	case err != nil || at.Port() == 0:
		return fmt.Errorf("--pod-address %q: an address and a port are needed, such as %s", o.PodAddress, DefaultPodAddress)
	case at.Addr().IsUnspecified() || at.Addr().IsMulticast():
		return fmt.Errorf("--pod-address %q: one address is needed, which pods can be told", o.PodAddress)
	}
	return o.Tunnel.validate()
}

// validateLocal is for what a kubeconfig needs, too.
func (o *Options) validateLocal() error {
	if o.Node == "" {
		return errors.New("--node NAME is required: this machine has no name")
	}
	if o.StateDir == "" {
		return errors.New("--state-dir: a directory is needed")
	}
	return validateAddress("--local-address", o.LocalAddress, DefaultLocalAddress)
}

// validateKnown is for addresses that others are to know.
func (o *Options) validateKnown() error {
	for flag, address := range map[string]string{"--local-address": o.LocalAddress, "--status-address": o.StatusAddress} {
		if at, err := netip.ParseAddrPort(address); err == nil && at.Port() == 0 {
			return fmt.Errorf("%s %q: a port is needed by which others find it", flag, address)
		}
	}
	return nil
}

// validateAddress is for where the machine itself is served. A port of 0 is any that is free.
func validateAddress(flag, address, usual string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsLoopback() {
		return fmt.Errorf("%s %q: an address of loopback and a port are needed, such as %s", flag, address, usual)
	}
	return nil
}

// servers are the API servers.
func (o *Options) servers() ([]upstream.Server, error) {
	all := make([]upstream.Server, 0, len(o.Servers))
	for _, text := range o.Servers {
		url, priority, ok := strings.Cut(text, ",")
		s := upstream.Server{URL: url, Name: o.ServerName}
		if ok {
			n, err := strconv.Atoi(priority)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("--server %q: the priority %q is no number from 0 on", text, priority)
			}
			s.Priority = n
		}
		all = append(all, s)
	}
	return all, nil
}
