package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/agentaccess/service"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
)

const (
	// drainCheck is how often it is looked whether a tunnel that ends still carries something.
	drainCheck = 500 * time.Millisecond
	// statusTimeout bounds a request for the status.
	statusTimeout = 10 * time.Second
)

// tunnelOptions are the options of "koinon tunnel".
type tunnelOptions struct {
	Kubeconfig, Namespace      string
	InCluster                  bool
	BindAddress                net.IP
	Port                       int
	AdvertiseAddresses         []string
	PeerAddress, StatusAddress string
	CertFile, KeyFile, CAFile  string
	DrainTimeout               time.Duration
	Logs                       *logs.Options
}

func newTunnelCommand() *cobra.Command {
	o := &tunnelOptions{
		Namespace: v1beta1.DefaultNamespace, BindAddress: net.IPv4zero, Port: 6445, DrainTimeout: 30 * time.Second, Logs: logs.NewOptions(),
	}
	cmd := &cobra.Command{
		Use:   "tunnel",
		Short: "Run the tunnel alone, over the API of a kubeconfig",
		Long: `Run the tunnel alone: agents of members connect to it, and servers over the same API reach members
through it. It has no API of its own, and restarts apart from those that have.

Servers that are to reach members through it have the component tunnel, and --tunnel-agents=false if
agents do not connect to them: they and this process make links to each other, as their Leases say where
they are. All that take agents show certificates of one authority: those of --tls-cert-file, or what each
has signed by the authority of agents, which they share; a koinon server that takes agents has its own.`,
		Example: `  # With certificates that the authority of agents signs
  koinon tunnel --kubeconfig /etc/koinon/tunnel.kubeconfig --advertise-address koinon.example

  # In a cluster, with a certificate of one's own
  koinon tunnel --in-cluster --advertise-address koinon.example:443 \
      --tls-cert-file tls.crt --tls-private-key-file tls.key --tls-ca-file ca.crt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	var sets cliflag.NamedFlagSets
	o.addFlags(sets.FlagSet("tunnel"))
	logsapi.AddFlags(o.Logs, sets.FlagSet("logging"))
	for _, set := range sets.FlagSets {
		cmd.Flags().AddFlagSet(set)
	}
	setHelp(cmd, sets)
	return cmd
}

func (o *tunnelOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Kubeconfig, "kubeconfig", "", "The API whose KubeFedClusters agents are of. The account reads them, and writes Secrets, ConfigMaps, Leases and events of --kubefed-namespace.")
	fs.BoolVar(&o.InCluster, "in-cluster", false, "Take the API and the account of the pod that this process runs in.")
	fs.StringVar(&o.Namespace, "kubefed-namespace", o.Namespace, "The namespace of KubeFedClusters.")
	fs.IPVar(&o.BindAddress, "bind-address", o.BindAddress, "The address on which agents and other servers connect.")
	fs.IntVar(&o.Port, "port", o.Port, "The port on which they do. 0 takes a free one.")
	fs.StringSliceVar(&o.AdvertiseAddresses, "advertise-address", nil, "Where agents find the tunnel, `HOST` or HOST:PORT; may be repeated. It is required. All that take agents are given the same, which lead to all of them.")
	fs.StringVar(&o.PeerAddress, "peer-address", "", "Where other servers find this one, and no other, `HOST:PORT`. The default is --bind-address or, if that is all addresses, the machine's own, with the port.")
	fs.StringVar(&o.CertFile, "tls-cert-file", "", "The serving certificate, PEM. It is read again when agents connect. Without it the authority of agents signs one.")
	fs.StringVar(&o.KeyFile, "tls-private-key-file", "", "Its key, PEM.")
	fs.StringVar(&o.CAFile, "tls-ca-file", "", "The authorities of it, PEM, which agents are to trust.")
	fs.StringVar(&o.StatusAddress, "status-address", "", "Where to answer /healthz, /readyz and /metrics, `HOST:PORT`, without TLS and to anybody. Nowhere if it is empty.")
	fs.DurationVar(&o.DrainTimeout, "drain-timeout", o.DrainTimeout, "How long a process that is told to end goes on with what it carries. Agents make links to others at once.")
}

func (o *tunnelOptions) validate() error {
	var errs []error
	if (o.Kubeconfig == "") == !o.InCluster {
		errs = append(errs, errors.New("one of --kubeconfig and --in-cluster is needed: it says which API the KubeFedClusters are in"))
	}
	if o.Port < 0 || o.Port > 65535 {
		errs = append(errs, fmt.Errorf("--port is %d: it must be between 0 and 65535", o.Port))
	}
	if len(o.AdvertiseAddresses) == 0 {
		errs = append(errs, errors.New("--advertise-address is needed: agents are told where the tunnel is"))
	}
	errs = append(errs, checkTunnelAddresses("--", o.AdvertiseAddresses, o.PeerAddress)...)
	if files := []string{o.CertFile, o.KeyFile, o.CAFile}; !allOrNone(files) {
		errs = append(errs, errors.New("--tls-cert-file, --tls-private-key-file and --tls-ca-file are given all three, or none"))
	}
	if _, _, err := net.SplitHostPort(o.StatusAddress); o.StatusAddress != "" && err != nil {
		errs = append(errs, fmt.Errorf("--status-address is %q: it must be HOST:PORT", o.StatusAddress))
	}
	if o.DrainTimeout < 0 {
		errs = append(errs, fmt.Errorf("--drain-timeout is %s: it must not be negative", o.DrainTimeout))
	}
	return errors.Join(errs...)
}

func allOrNone(texts []string) bool {
	given := 0
	for _, text := range texts {
		if text != "" {
			given++
		}
	}
	return given == 0 || given == len(texts)
}

// api is how to reach the API.
func (o *tunnelOptions) api() (*rest.Config, error) {
	if o.InCluster {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("--in-cluster is given, but this is no pod with a service account: %w", err)
		}
		return config, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig %s cannot be used: %w", o.Kubeconfig, err)
	}
	return config, nil
}

// serving is the certificate of files, nil if there are none.
func (o *tunnelOptions) serving() (service.Serving, error) {
	if o.CertFile == "" {
		return nil, nil
	}
	serving := func() (tls.Certificate, []byte, error) {
		certificate, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return tls.Certificate{}, nil, err
		}
		ca, err := os.ReadFile(o.CAFile)
		return certificate, ca, err
	}
	if _, _, err := serving(); err != nil {
		return nil, fmt.Errorf("read the serving certificate: %w", err)
	}
	return serving, nil
}

// run runs the tunnel until ctx ends, and what it carries then for as long as it may.
func (o *tunnelOptions) run(ending context.Context, out io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	ending, err := applyLogging(ending, o.Logs)
	if err != nil {
		return err
	}
	api, err := o.api()
	if err != nil {
		return err
	}
	serving, err := o.serving()
	if err != nil {
		return err
	}
	listener, err := listen(o.BindAddress, o.Port, "--bind-address", "--port")
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	peer := o.PeerAddress
	if peer == "" {
		peer = ownAddress(listener, nil)
	}
	addresses := withPorts(o.AdvertiseAddresses, listener.Addr().(*net.TCPAddr).Port)
	running, err := service.New(service.Config{
		Namespace: o.Namespace, ID: tunnelID(), Listener: listener, Addresses: addresses, Peer: peer, Serving: serving,
	})
	if err != nil {
		return err
	}
	status, err := o.openStatus(running)
	if err != nil {
		return err
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	defer status.close()
	beside.Go(status.serve) // ends with close
	ctx, cancel := context.WithCancel(context.WithoutCancel(ending))
	defer cancel()
	beside.Go(func() { // ends with ctx
		drained(ctx, ending, running, o.DrainTimeout)
		cancel()
	})
	_, _ = fmt.Fprintf(out, "koinon tunnel listens at %s; other servers find it at %s\n", listener.Addr(), peer)
	return retried(ctx, ending, running, api)
}

// retried runs the tunnel, and tries again if it does not start: the API may come later.
func retried(ctx, ending context.Context, running *service.Service, api *rest.Config) error {
	for {
		err := running.Run(ctx, ending, api)
		if ctx.Err() != nil || ending.Err() != nil {
			return nil
		}
		klog.FromContext(ctx).Error(err, "The tunnel does not run and is tried again", "interval", tunnelRetry)
		select {
		case <-ending.Done():
			return nil
		case <-time.After(tunnelRetry):
		}
	}
}

// drained returns when this process was told to end and carries nothing any more, or has done so for long enough, or when ctx ends.
func drained(ctx, ending context.Context, running *service.Service, within time.Duration) {
	select {
	case <-ctx.Done():
		return
	case <-ending.Done():
	}
	enough := time.NewTimer(within)
	defer enough.Stop()
	check := time.NewTicker(drainCheck)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-enough.C:
			return
		case <-check.C: // not at once: what others have begun is on its way
			if s := running.Server(); s == nil || carries(s) == 0 {
				return
			}
		}
	}
}

// carries is how many connections go through links of agents with a server.
func carries(s *server.Server) (streams int) {
	for _, l := range s.Links() {
		streams += l.Streams
	}
	return streams
}

// tunnelStatus answers how the tunnel is. A nil one answers nobody.
type tunnelStatus struct {
	listener net.Listener
	http     *http.Server
}

func (o *tunnelOptions) openStatus(running *service.Service) (*tunnelStatus, error) {
	if o.StatusAddress == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", o.StatusAddress)
	if err != nil {
		return nil, fmt.Errorf("--status-address %s cannot be used: %w", o.StatusAddress, err)
	}
	if err := legacyregistry.CustomRegister(service.Metrics(running.Server)); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("register metrics of the tunnel: %w", err)
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	routes.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if running.Server() == nil {
			http.Error(w, "agents cannot connect yet: the log says why", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	routes.Handle("GET /metrics", legacyregistry.Handler())
	return &tunnelStatus{listener, &http.Server{Handler: routes, ReadTimeout: statusTimeout, WriteTimeout: statusTimeout, MaxHeaderBytes: 16 << 10}}, nil
}

func (s *tunnelStatus) serve() {
	if s != nil {
		_ = s.http.Serve(s.listener) // until close
	}
}

func (s *tunnelStatus) close() {
	if s != nil {
		_ = s.http.Close()
	}
}
