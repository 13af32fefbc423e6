package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/agentaccess/doors"
	"github.com/koinon-io/koinon/pkg/durable"
	"github.com/koinon-io/koinon/pkg/pki"
	"github.com/koinon-io/koinon/pkg/tunnel"
)

// A certificate cannot be called back: its lifetime is what an attacker gets who has copied it.
const (
	defaultAdminLifetime      = 24 * time.Hour
	defaultBreakGlassLifetime = time.Hour
	minAdminLifetime          = time.Hour
	maxAdminLifetime          = 7 * 24 * time.Hour
	// maxUserLifetime is that of users whose rights can be taken away in RBAC.
	maxUserLifetime = 365 * 24 * time.Hour
)

// checkAdminLifetime returns a sentence about the value of a flag.
func checkAdminLifetime(flag string, lifetime time.Duration) error {
	if lifetime < minAdminLifetime || lifetime > maxAdminLifetime {
		return fmt.Errorf("%s is %s: it must be between %s and %s", flag, lifetime, minAdminLifetime, maxAdminLifetime)
	}
	return nil
}

// kubeconfigOptions are the options of "koinon kubeconfig".
type kubeconfigOptions struct {
	DataDir    string
	Server     string
	Lifetime   time.Duration
	Output     string
	BreakGlass bool
	// User and Groups are others than the administrator's; Cluster is the one that the tunnel's front ends let the user reach.
	User    string
	Groups  []string
	Cluster string
	// CertificateDirectory is where certificate and key are written, too.
	CertificateDirectory string
}

func newKubeconfigCommand() *cobra.Command {
	options := &kubeconfigOptions{DataDir: defaultDataDir}
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Renew the administrator's kubeconfig of a server that runs alone, or make one for a user",
		Long: `Write DATA_DIR/admin.kubeconfig again, with a new certificate, or another file.

It is for whoever can read the data directory: the certificate is signed with the key in
there, and the server is not asked. It may run or not. A running server renews
DATA_DIR/admin.kubeconfig by itself.

The certificate names the group koinon:administrators, whose rights are in the
ClusterRoleBinding koinon-administrators. With --break-glass it names system:masters, which
has all rights whatever is in RBAC and whatever somebody has broken there.

With --user it names another user, who has the rights that bindings give him or his groups, and
--certificate-directory writes his certificate and key as files of their own: for programs that
connect through the tunnel with them, as kube-apiserver and Prometheus do.`,
		Example: `  # The file has expired: the server was off
  koinon kubeconfig --data-dir /var/lib/koinon

  # For a colleague, for this working day
  koinon kubeconfig --data-dir /var/lib/koinon --server https://10.0.0.5:6443 --lifetime 8h --output colleague.kubeconfig

  # For the kube-apiserver of m1, which reaches its nodes through the tunnel
  koinon kubeconfig --data-dir /var/lib/koinon --user apiserver-of-m1 --tunnel-cluster m1 --lifetime 2160h \
      --output m1.kubeconfig --certificate-directory m1-tunnel

  # Somebody has deleted the bindings
  koinon kubeconfig --data-dir /var/lib/koinon --break-glass --output /dev/shm/repair.kubeconfig`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			options.complete()
			if err := options.validate(); err != nil {
				return err
			}
			return options.run(cmd.OutOrStdout(), time.Now())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&options.DataDir, "data-dir", options.DataDir, "The data directory of the server.")
	flags.StringVar(&options.Server, "server", "", "The URL of the server. The default is the one in DATA_DIR/"+kubeconfigName+".")
	flags.DurationVar(&options.Lifetime, "lifetime", 0, fmt.Sprintf("How long the certificate is good, from %s to %s, or with --user %s. The default is %s, with --break-glass %s.", minAdminLifetime, maxAdminLifetime, maxUserLifetime, defaultAdminLifetime, defaultBreakGlassLifetime))
	flags.StringVarP(&options.Output, "output", "o", "", "The file to write; - is the standard output. The default is DATA_DIR/"+kubeconfigName+".")
	flags.BoolVar(&options.BreakGlass, "break-glass", false, "Name the group "+pki.BreakGlassGroup+". Needs --output, since a running server keeps the other file.")
	flags.StringVar(&options.User, "user", "", "Name this user, and no group but those of --group. Needs --output, since a running server keeps the other file.")
	flags.StringSliceVar(&options.Groups, "group", nil, "A group of --user; may be repeated.")
	flags.StringVar(&options.Cluster, "tunnel-cluster", "", "The `NAME` of the one cluster that front ends of the tunnel let this certificate reach. They ask for its rights besides.")
	flags.StringVar(&options.CertificateDirectory, "certificate-directory", "", "A directory in which to write tls.crt, tls.key and ca.crt, too.")
	return cmd
}

func (o *kubeconfigOptions) complete() {
	if o.Lifetime == 0 {
		o.Lifetime = defaultAdminLifetime
		if o.BreakGlass {
			o.Lifetime = defaultBreakGlassLifetime
		}
	}
	if o.Output == "" && !o.BreakGlass && o.User == "" {
		o.Output = o.current()
	}
}

// current is the file that the server keeps.
func (o *kubeconfigOptions) current() string { return filepath.Join(o.DataDir, kubeconfigName) }

func (o *kubeconfigOptions) validate() error {
	var errs []error
	if err := o.checkLifetime(); err != nil {
		errs = append(errs, err)
	}
	if o.Output == "" {
		errs = append(errs, errors.New("--output is not given: with --break-glass or --user it must be, and - is the standard output"))
	}
	errs = append(errs, o.checkUser())
	if server, err := url.Parse(o.Server); o.Server != "" && (err != nil || server.Scheme != "https" || server.Host == "") {
		errs = append(errs, fmt.Errorf("--server is %q: it must be a URL such as https://10.0.0.5:6443", o.Server))
	}
	return errors.Join(errs...)
}

// checkLifetime returns a sentence about --lifetime. The rights of administrators are those of their group, which nobody takes away for one of them.
func (o *kubeconfigOptions) checkLifetime() error {
	if o.User == "" || slices.Contains(o.Groups, pki.AdministratorsGroup) {
		return checkAdminLifetime("--lifetime", o.Lifetime)
	}
	if o.Lifetime < minAdminLifetime || o.Lifetime > maxUserLifetime {
		return fmt.Errorf("--lifetime is %s: with --user it must be between %s and %s", o.Lifetime, minAdminLifetime, maxUserLifetime)
	}
	return nil
}

// checkUser returns a sentence for each mistake about a user.
func (o *kubeconfigOptions) checkUser() error {
	var errs []error
	if o.User == "" && (len(o.Groups) > 0 || o.Cluster != "") {
		errs = append(errs, errors.New("--group or --tunnel-cluster is given without --user: they are for a user"))
	}
	if o.User != "" && o.BreakGlass {
		errs = append(errs, errors.New("--user and --break-glass are both given: the certificate is for the one or the other"))
	}
	if strings.HasPrefix(o.User, "system:") {
		errs = append(errs, fmt.Errorf("--user is %q: names that begin with system: are those of Kubernetes' own parts", o.User))
	}
	for _, group := range o.Groups {
		if group == "" || strings.HasPrefix(group, "system:") {
			errs = append(errs, fmt.Errorf("--group is %q: it must have a name, and none that begins with system:, as those of Kubernetes' own parts; --break-glass is for %s", group, pki.BreakGlassGroup))
		}
	}
	if o.Cluster != "" {
		if err := (tunnel.Name{Cluster: o.Cluster}).Validate(); err != nil {
			errs = append(errs, fmt.Errorf("--tunnel-cluster: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (o *kubeconfigOptions) run(out io.Writer, now time.Time) error {
	if _, err := os.Stat(o.DataDir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the directory --data-dir=%s is not there: it must be the one that the server was started with, and a server makes it", o.DataDir)
	}
	wanted := pki.Kubeconfig{Server: o.Server, Group: pki.AdministratorsGroup, Lifetime: o.Lifetime}
	if o.BreakGlass {
		wanted.Group = pki.BreakGlassGroup
	}
	if o.User != "" {
		wanted.User, wanted.Group, wanted.Groups = o.User, "", o.Groups
	}
	if o.Cluster != "" {
		wanted.URI = doors.ClusterURI(o.Cluster)
	}
	if wanted.Server == "" {
		var err error
		if wanted.Server, err = pki.KubeconfigServer(o.current()); err != nil {
			return fmt.Errorf("the URL of the server is not known, say it with --server: %w", err)
		}
	}
	data, err := pki.SignKubeconfig(filepath.Join(o.DataDir, pkiName), wanted, now)
	if err != nil {
		return err
	}
	if err := o.writeCertificate(data); err != nil {
		return err
	}
	if o.Output == "-" {
		_, err := out.Write(data)
		return err
	}
	if err := durable.WriteFile(o.Output, data, 0o600); err != nil {
		return err
	}
	whom := "group " + wanted.Group
	if o.User != "" {
		whom = "user " + o.User
	}
	_, err = fmt.Fprintf(out, "%s: %s, until %s\n", o.Output, whom, now.Add(o.Lifetime).Format(time.RFC3339))
	return err
}

// writeCertificate writes what is in a kubeconfig as files of their own, if that is wanted.
func (o *kubeconfigOptions) writeCertificate(kubeconfig []byte) error {
	if o.CertificateDirectory == "" {
		return nil
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.CertificateDirectory, 0o700); err != nil {
		return fmt.Errorf("--certificate-directory: %w", err)
	}
	for name, content := range map[string][]byte{"tls.crt": config.CertData, "tls.key": config.KeyData, "ca.crt": config.CAData} {
		if err := durable.WriteFile(filepath.Join(o.CertificateDirectory, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
