package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/pkg/durable"
	"github.com/koinon-io/koinon/pkg/pki"
)

// A certificate cannot be called back: its lifetime is what an attacker gets who has copied it.
const (
	defaultAdminLifetime      = 24 * time.Hour
	defaultBreakGlassLifetime = time.Hour
	minAdminLifetime          = time.Hour
	maxAdminLifetime          = 7 * 24 * time.Hour
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
}

func newKubeconfigCommand() *cobra.Command {
	options := &kubeconfigOptions{DataDir: defaultDataDir}
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Renew the administrator's kubeconfig of a server that runs alone",
		Long: `Write DATA_DIR/admin.kubeconfig again, with a new certificate, or another file.

It is for whoever can read the data directory: the certificate is signed with the key in
there, and the server is not asked. It may run or not. A running server renews
DATA_DIR/admin.kubeconfig by itself.

The certificate names the group koinon:administrators, whose rights are in the
ClusterRoleBinding koinon-administrators. With --break-glass it names system:masters, which
has all rights whatever is in RBAC and whatever somebody has broken there.`,
		Example: `  # The file has expired: the server was off
  koinon kubeconfig --data-dir /var/lib/koinon

  # For a colleague, for this working day
  koinon kubeconfig --data-dir /var/lib/koinon --server https://10.0.0.5:6443 --lifetime 8h --output colleague.kubeconfig

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
	flags.DurationVar(&options.Lifetime, "lifetime", 0, fmt.Sprintf("How long the certificate is good, from %s to %s. The default is %s, with --break-glass %s.", minAdminLifetime, maxAdminLifetime, defaultAdminLifetime, defaultBreakGlassLifetime))
	flags.StringVarP(&options.Output, "output", "o", "", "The file to write; - is the standard output. The default is DATA_DIR/"+kubeconfigName+".")
	flags.BoolVar(&options.BreakGlass, "break-glass", false, "Name the group "+pki.BreakGlassGroup+". Needs --output, since a running server keeps the other file.")
	return cmd
}

func (o *kubeconfigOptions) complete() {
	if o.Lifetime == 0 {
		o.Lifetime = defaultAdminLifetime
		if o.BreakGlass {
			o.Lifetime = defaultBreakGlassLifetime
		}
	}
	if o.Output == "" && !o.BreakGlass {
		o.Output = o.current()
	}
}

// current is the file that the server keeps.
func (o *kubeconfigOptions) current() string { return filepath.Join(o.DataDir, kubeconfigName) }

func (o *kubeconfigOptions) validate() error {
	var errs []error
	if err := checkAdminLifetime("--lifetime", o.Lifetime); err != nil {
		errs = append(errs, err)
	}
	if o.Output == "" {
		errs = append(errs, errors.New("--output is not given: with --break-glass it must be, and - is the standard output"))
	}
	if server, err := url.Parse(o.Server); o.Server != "" && (err != nil || server.Scheme != "https" || server.Host == "") {
		errs = append(errs, fmt.Errorf("--server is %q: it must be a URL such as https://10.0.0.5:6443", o.Server))
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
	if o.Output == "-" {
		_, err := out.Write(data)
		return err
	}
	if err := durable.WriteFile(o.Output, data, 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: group %s, until %s\n", o.Output, wanted.Group, now.Add(o.Lifetime).Format(time.RFC3339))
	return err
}
