package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2/textlogger"

	"github.com/koinon-io/koinon/pkg/tunnel/tlsproxy"
	"github.com/koinon-io/koinon/pkg/version"
)

// Files of a directory with a certificate, as a Secret of the type kubernetes.io/tls has them.
const (
	certificateFile = "tls.crt"
	keyFile         = "tls.key"
	authorityFile   = "ca.crt"
)

const defaultListen = "127.0.0.1:8118"

// proxyOptions are those of "koinon-agent proxy".
type proxyOptions struct {
	// Server is the front end, HOST:PORT, and ServerName what its certificate names instead of HOST.
	Server, ServerName string
	// CertificateDir has the files above; the authority's may lack.
	CertificateDir string
	// Listen is ADDRESS:PORT of loopback.
	Listen string
	// Connections are carried at once.
	Connections int
	// DrainTimeout is how long what is carried may go on after SIGTERM.
	DrainTimeout time.Duration
	// Verbosity is that of the log.
	Verbosity int
}

func newProxyCommand() *cobra.Command {
	o := &proxyOptions{Listen: defaultListen, Connections: tlsproxy.DefaultConnections, DrainTimeout: 20 * time.Second}
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Lend a certificate for the tunnel's port to programs that have none",
		Long: `Lend a certificate for the tunnel's port to programs that have none.

Whoever comes through Koinon's --tunnel-proxy-port shows the certificate of a user of its API. A program
that knows no more than the URL of a proxy, such as KubeFed with the proxyURL of a KubeFedCluster, cannot.
This listens on loopback beside it, and passes each connection on with a certificate:

  proxyURL: http://m1@127.0.0.1:8118

It is a container of the same pod, or a process of the same machine. Every program there may what the
user of the certificate may: make one for this alone. Its files are read for each connection, so they
may be replaced while this runs.`,
		Example: `  # The certificate of a user that may reach API servers of members, where Koinon runs alone
  koinon kubeconfig --data-dir DIR --user kubefed --lifetime 2160h --output kubefed.kubeconfig --certificate-directory kubefed
  koinon-agent proxy --server koinon.example.org:8133 --certificate-dir kubefed`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	cmd.Flags().SortFlags = false
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *proxyOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Server, "server", "", "Where Koinon's --tunnel-proxy-port is, `HOST:PORT`.")
	fs.StringVar(&o.ServerName, "server-name", "", "The `NAME` in the certificate of the server, if it is not the HOST of --server.")
	fs.StringVar(&o.CertificateDir, "certificate-dir", "", "The `DIRECTORY` with tls.crt, tls.key and ca.crt, PEM. Without ca.crt the system's authorities are trusted.")
	fs.StringVar(&o.Listen, "listen", o.Listen, "The `ADDRESS:PORT` of loopback to listen at.")
	fs.IntVar(&o.Connections, "connections", o.Connections, "How many are carried at once. Who comes then waits.")
	fs.DurationVar(&o.DrainTimeout, "drain-timeout", o.DrainTimeout, "How long connections that are carried may go on after SIGTERM.")
	fs.IntVarP(&o.Verbosity, "v", "v", 0, "How much to log: 4 and more is for debugging.")
}

// validate says what is wrong with the first flag that is.
func (o *proxyOptions) validate() error {
	switch {
	case o.Server == "":
		return errors.New("--server HOST:PORT is required: where Koinon's --tunnel-proxy-port is")
	case !isHostPort(o.Server):
		return fmt.Errorf("--server %q: HOST:PORT is needed, without a scheme or a path", o.Server)
	case o.CertificateDir == "":
		return fmt.Errorf("--certificate-dir DIRECTORY is required: a directory with %s and %s", certificateFile, keyFile)
	case o.Connections < 1:
		return fmt.Errorf("--connections %d: 1 or more is allowed", o.Connections)
	case o.DrainTimeout < 0:
		return fmt.Errorf("--drain-timeout %s: 0s or more is allowed", o.DrainTimeout)
	}
	if host, port, err := net.SplitHostPort(o.Listen); err != nil || !isPort(port) || !isLoopback(host) {
		return fmt.Errorf("--listen %q: an address of loopback and a port are needed, such as %s: whoever connects has the certificate lent", o.Listen, defaultListen)
	}
	return nil
}

// tls reads the certificate.
func (o *proxyOptions) tls() (*tls.Config, error) {
	file := func(name string) string { return filepath.Join(o.CertificateDir, name) }
	certificate, err := tls.LoadX509KeyPair(file(certificateFile), file(keyFile))
	if err != nil {
		return nil, fmt.Errorf("--certificate-dir %s: %w", o.CertificateDir, err)
	}
	if now := time.Now(); now.After(certificate.Leaf.NotAfter) {
		return nil, fmt.Errorf("the certificate %s expired at %s, and this machine's clock says %s", file(certificateFile), certificate.Leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, ServerName: o.ServerName, MinVersion: tls.VersionTLS12}
	authority, err := os.ReadFile(file(authorityFile))
	if errors.Is(err, os.ErrNotExist) {
		return config, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--certificate-dir: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("--certificate-dir: %s has no certificate in PEM", file(authorityFile))
	}
	return config, nil
}

// run serves until ctx ends, and drains then.
func (o *proxyOptions) run(ctx context.Context) error {
	logger := slog.New(logr.ToSlogHandler(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(os.Stderr), textlogger.Verbosity(o.Verbosity)))))
	proxy, err := tlsproxy.New(tlsproxy.Config{Server: o.Server, TLS: o.tls, Connections: o.Connections, Logger: logger})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	logger.Info("Listening", "address", listener.Addr().String(), "server", o.Server, "version", version.Version())
	if err := proxy.Serve(ctx, listener); err != nil {
		return err
	}
	logger.Info("Draining", "timeout", o.DrainTimeout.String())
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.DrainTimeout)
	defer cancel()
	proxy.Drain(draining)
	proxy.Close()
	return nil
}
