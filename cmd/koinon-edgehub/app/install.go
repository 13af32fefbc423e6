package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/koinon-io/koinon/pkg/edgehub/install"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// InstallOptions are those of koinon-edgehub install and uninstall.
type InstallOptions struct {
	// Hub is how the hub is to run; of uninstall, only StateDir counts.
	Hub *Options
	// Where is where things are.
	Where install.Config
	// Purge has uninstall remove what the hub keeps.
	Purge bool

	// hubFlags are those of Hub, as far as they were said.
	hubFlags *pflag.FlagSet
}

// NewInstallOptions returns the defaults.
func NewInstallOptions() *InstallOptions {
	return &InstallOptions{Hub: NewOptions(), Where: install.Config{BinDir: "/usr/local/bin", UnitDir: "/etc/systemd/system", Timeout: 3 * time.Minute}}
}

// addInstallFlags adds the flags of install in the order in which help shows them.
func (o *InstallOptions) addInstallFlags(fs *pflag.FlagSet) {
	o.addWhereFlags(fs)
	fs.StringVar(&o.Where.Service, "kubelet-service", "", "The `NAME` of kubelet's service. The default is kubelet.")
	fs.StringVar(&o.Where.Kubeconfig, "kubelet-kubeconfig", "", "The kubeconfig of kubelet, a `FILE`, if kubelet does not run: else it is known. The default is /etc/kubernetes/kubelet.conf.")
	fs.StringVar(&o.Where.KubeletConfig, "kubelet-config", "", "The configuration of kubelet, a `FILE`, if kubelet does not run: else it is known. The default is /var/lib/kubelet/config.yaml.")
	fs.DurationVar(&o.Where.Timeout, "timeout", o.Where.Timeout, "How long the hub may take to be ready, and then kubelet to use it, a `DURATION`.")
	o.hubFlags = pflag.NewFlagSet("", pflag.ContinueOnError)
	o.hubFlags.SortFlags = false
	o.Hub.AddFlags(o.hubFlags)
	fs.AddFlagSet(o.hubFlags)
}

func (o *InstallOptions) addWhereFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.Where.DryRun, "dry-run", false, "Say what would be done, and do nothing.")
	fs.StringVar(&o.Where.BinDir, "bin-dir", o.Where.BinDir, "The `DIRECTORY` for the program.")
	fs.StringVar(&o.Where.UnitDir, "unit-dir", o.Where.UnitDir, "The `DIRECTORY` for systemd's services.")
}

// installer returns what does it, and has it say to out what it does.
func (o *InstallOptions) installer(out io.Writer) (*install.Installer, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("this is %s: services are installed on Linux, by systemd; docs/operations-edgehub.md says what to do by hand", runtime.GOOS)
	}
	where := o.Where
	where.StateDir, where.Bootstrap = o.Hub.StateDir, o.Hub.BootstrapKubeconfig
	where.Say = func(what string) { fmt.Fprintln(out, what) }
	where.Ask = o.ask
	return install.New(where)
}

// Install installs the hub.
func (o *InstallOptions) Install(ctx context.Context, out io.Writer) error {
	if err := o.absolute(); err != nil {
		return err
	}
	if err := errors.Join(o.Hub.validateGiven(), o.Hub.validateKnown()); err != nil {
		return err
	}
	outliveReader()
	installer, err := o.installer(out)
	if err != nil {
		return err
	}
	unlock, err := installer.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := installer.Look(ctx); err != nil { // before anything is touched
		return err
	}
	if err := installer.Finish(ctx); err != nil {
		return err
	}
	found, err := installer.Look(ctx)
	if err != nil {
		return err
	}
	if err := o.take(installer, found); err != nil {
		return err
	}
	if err := o.Hub.Validate(); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	err = installer.Install(ctx, found, install.Hub{
		Program: program, Args: append([]string{"run"}, said(o.hubFlags)...), Node: o.Hub.Node, Server: "https://" + o.Hub.LocalAddress, Kubeconfig: o.Hub.Kubeconfig,
	})
	if err == nil && !o.Where.DryRun {
		fmt.Fprintf(out, "kubelet of the node %s uses the hub. \"koinon-edgehub status\" says how it is.\n", o.Hub.Node)
	}
	return err
}

// absolute has flags that name files say where they are, whatever the directory is in which the hub runs.
func (o *InstallOptions) absolute() error {
	for _, name := range []string{"ca-file", "bootstrap-token-file", "bootstrap-kubeconfig", "adopt", "state-dir", "address-dir", "tunnel-token-file", "tunnel-ca-file"} {
		if err := absoluteFlag(o.hubFlags.Lookup(name)); err != nil {
			return err
		}
	}
	return nil
}

func absoluteFlag(flag *pflag.Flag) error {
	if !flag.Changed {
		return nil
	}
	paths := valuesOf(flag)
	for at, path := range paths {
		if path == "" {
			return fmt.Errorf("--%s: a path is needed", flag.Name)
		}
		full, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		paths[at] = full
	}
	return setValues(flag, paths)
}

// take takes what is not said from kubelet.
func (o *InstallOptions) take(installer *install.Installer, found *install.Found) error {
	if node := o.hubFlags.Lookup("node"); node.Changed && found.Node != "" && o.Hub.Node != found.Node {
		return fmt.Errorf("--node %s: kubelet is the node %s", o.Hub.Node, found.Node)
	}
	taken := map[string]string{"node": found.Node, "server": found.Server, "bootstrap-kubeconfig": found.Kubelet.Bootstrap}
	if !o.hubFlags.Changed("server") {
		taken["server-name"] = found.ServerName
	}
	for name, value := range taken {
		if value == "" || o.hubFlags.Changed(name) {
			continue
		}
		if err := o.hubFlags.Set(name, value); err != nil {
			return fmt.Errorf("--%s: %w", name, err)
		}
	}
	if adopt := installer.Adopt(found); adopt != "" {
		return o.hubFlags.Set("adopt", adopt) // in addition to what is said
	}
	return nil
}

// said are flags that were set, as arguments.
func said(fs *pflag.FlagSet) (args []string) {
	fs.VisitAll(func(flag *pflag.Flag) {
		if !flag.Changed {
			return
		}
		for _, value := range valuesOf(flag) {
			args = append(args, "--"+flag.Name+"="+value)
		}
	})
	return args
}

// valuesOf are those of a flag that may be repeated, or the one of another.
func valuesOf(flag *pflag.Flag) []string {
	if many, ok := flag.Value.(pflag.SliceValue); ok {
		return many.GetSlice()
	}
	return []string{flag.Value.String()}
}

func setValues(flag *pflag.Flag, values []string) error {
	if many, ok := flag.Value.(pflag.SliceValue); ok {
		return many.Replace(values)
	}
	return flag.Value.Set(values[0])
}

// ask asks the hub how it is.
func (o *InstallOptions) ask(ctx context.Context) (*install.Answer, error) {
	r, err := fetchReport(ctx, o.Hub.StatusAddress)
	if err != nil {
		return nil, err
	}
	answer := &install.Answer{Node: r.Node, Kubelet: r.Kubelet, Problem: fetchReady(ctx, o.Hub.StatusAddress)}
	if answer.Problem == nil && r.Certificate.Until.IsZero() {
		answer.Problem = fmt.Errorf("certificate of the node: %s", r.Certificate.Problem)
	}
	answer.Asked, answer.Unknown = len(r.Views), r.unknown()
	for _, s := range r.Servers {
		if answer.Problem != nil && s.Problem != "" {
			answer.Problem = fmt.Errorf("%w; %s: %s", answer.Problem, s.URL, s.Problem)
		}
	}
	return answer, nil
}

// unknown is what a kubelet that uses the hub needs, and the hub does not know yet; empty if it knows all. What an API server refuses it will not come to know.
func (r *Report) unknown() string {
	missing := view.Key{Version: "v1", Resource: "pods", Fields: "spec.nodeName=" + r.Node}.String()
	for i := range r.Views {
		v := &r.Views[i]
		if v.Filled && !v.Complete && v.Problem == "" {
			return v.Name
		}
		if v.Name == missing && v.Complete {
			missing = ""
		}
	}
	return missing
}

// fetchReady says why the hub is not ready.
func fetchReady(ctx context.Context, at string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	return errors.Join(errors.New(strings.TrimSpace(string(text))), err)
}

func newInstallCommand() *cobra.Command {
	options := NewInstallOptions()
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the hub on this node, and have kubelet use it",
		Long: `Install the hub on this node, and have kubelet use it.

The name of the node, the API server and its authority, and the node's certificate are taken from
kubelet's kubeconfig, if flags do not say them. The hub becomes a service of systemd, with the flags
below. Once it is ready kubelet gets a kubeconfig for it, and rotateCertificates: false in its
configuration, and is started again; pods go on. If kubelet does not come to the hub, everything is put
back as it was. "koinon-edgehub uninstall" takes back what this has done.

To change flags, or for another version, install again: flags that are not said then have their defaults.
An install that was killed is put back by the next, or by uninstall.`,
		Example: `  # On a node of kubeadm:
  koinon-edgehub install
  # With a second API server, which is asked while the first is away:
  koinon-edgehub install --server https://10.0.0.1:6443 --server https://10.0.0.2:6443,1`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return options.Install(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.Flags().SortFlags = false
	options.addInstallFlags(cmd.Flags())
	return cmd
}

func newUninstallCommand() *cobra.Command {
	options := NewInstallOptions()
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Have kubelet use the API server again, and remove the hub",
		Long: `Have kubelet use the API server again, and remove the hub.

kubelet's kubeconfig and configuration become what they were, and where its certificate was there is the
hub's, if that is good for longer. What somebody else has changed since is left, and said. Pods that were
started while the hub was there look for the API server at the hub, and have to be started again: drain
the node, or delete them.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := absoluteFlag(cmd.Flags().Lookup("state-dir")); err != nil {
				return err
			}
			outliveReader()
			installer, err := options.installer(cmd.OutOrStdout())
			if err != nil {
				return err
			}
			unlock, err := installer.Lock()
			if err != nil {
				return err
			}
			defer unlock()
			return installer.Uninstall(cmd.Context(), options.Purge)
		},
	}
	cmd.Flags().SortFlags = false
	options.addWhereFlags(cmd.Flags())
	cmd.Flags().StringVar(&options.Hub.StateDir, "state-dir", options.Hub.StateDir, "The `DIRECTORY` for what the hub keeps.")
	cmd.Flags().BoolVar(&options.Purge, "purge", false, "Remove what the hub keeps, too.")
	return cmd
}
