package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

const (
	// minMemberTokenLifetime is the least that API servers give.
	minMemberTokenLifetime = 10 * time.Minute
	// tunnelEndpoint is the host that the certificates of most API servers name: see spec.tunnel.
	tunnelEndpoint = "https://kubernetes.default.svc"
)

// joinOptions are the options of "kubectl koinon join".
type joinOptions struct {
	genericiooptions.IOStreams
	flags *connection
	memberAccount

	// ClusterAdmin and Proxy are nil if nobody said: what the account has it keeps then.
	ClusterAdmin, Proxy *bool
	Labels              []string
	Tenant              string
	WorkspaceGroup      string
	APIEndpoint, Tunnel string
	// TokenLifetime is nil if nobody said: a token that ends is then followed by one that does. 0 is one that does not.
	TokenLifetime  *time.Duration
	CopyCredential bool
	AllowDuplicate bool
	Wait           bool
	Timeout        time.Duration
	DryRun, Output string

	name   string
	labels map[string]string
	source *source
	from   *memberSource
	now    func() time.Time
	// every is how often it is looked whether something has come about.
	every time.Duration
}

func newJoinCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &joinOptions{
		IOStreams: streams, flags: flags,
		Wait: true, Timeout: time.Minute, now: time.Now, every: 100 * time.Millisecond,
	}
	var clusterAdmin, proxy bool
	var tokenLifetime time.Duration
	cmd := &cobra.Command{
		Use:   "join NAME",
		Args:  cobra.ArbitraryArgs,
		Short: "Join a member: make an account for Koinon in it, and a KubeFedCluster of it",
		Long: `Join a member: make an account for Koinon in it, and the KubeFedCluster NAME with the account's
token in Koinon, and wait until Koinon says that it is Ready.

The member is that of the context NAME, or what --cluster-context or --server says. It is asked by you, with your
rights: programs that your kubeconfig runs for them (exec) run here. What Koinon gets is the token of the account
koinon-system/koinon, which may do what propagating the types takes that are enabled now, and no more: after others
were enabled, run the same command again. With --cluster-admin it may do everything, which federated roles and
bindings, and the accounts of cells for a stock KubeFed controller, take. With --proxy it may act as others: that is
what clusters/NAME/proxy needs to let people do there what the member lets them. What an account has of the two it
keeps, unless --cluster-admin=false or --proxy=false takes it away.

The token ends with the account. With --token-lifetime it ends after that time, and Koinon renews it before, for which
the account may make tokens of itself, and of no other. A member that is cut off for longer has to be joined again.
A token that ends is followed by one that does, unless --token-lifetime=0s says otherwise.

Each step looks first whether it was done. A command that was interrupted, or refused, is run again as it was.

What Koinon needs to reach the member is taken from the context: server, authorities, tls-server-name and proxy-url.
If the address is another one for Koinon, --api-endpoint says which. With --tunnel Always the member is reached through
agents in it, which are made afterwards: nothing is waited for then.

A cluster is known by the UID of its namespace kube-system. One that is joined already under another name is
refused: what is placed under one name would be deleted under the other. --allow-duplicate joins it all the same.

Exit codes: 0 joined, and Ready if that was waited for; 1 refused or failed, where the same command may be run again;
3 joined, and not Ready in time.`,
		Example: `  # Join the cluster of the context m1 as m1
  kubectl koinon join m1

  # A cluster of another kubeconfig, for one tenant, for kubectl through the proxy too
  kubectl koinon join m1 --cluster-kubeconfig m1.kubeconfig --tenant bank --workspace-group shop --label region=east --proxy

  # See what would be made
  kubectl koinon join m1 --dry-run=client

  # By address and token
  kubectl koinon join m1 --server https://m1.example:6443 --token-file token --ca-file ca.crt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("cluster-admin") {
				o.ClusterAdmin = &clusterAdmin
			}
			if cmd.Flags().Changed("proxy") {
				o.Proxy = &proxy
			}
			if cmd.Flags().Changed("token-lifetime") {
				o.TokenLifetime = &tokenLifetime
			}
			if err := o.complete(args); err != nil {
				return err
			}
			if err := o.validate(); err != nil {
				return err
			}
			if err := o.load(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	o.memberAccount.addFlags(cmd, flags)
	cmd.Flags().BoolVar(&clusterAdmin, "cluster-admin", false, "The account may do everything in the member.")
	cmd.Flags().BoolVar(&proxy, "proxy", false, "The account may act as others, for clusters/NAME/proxy.")
	cmd.Flags().StringArrayVar(&o.Labels, "label", nil, "A label of the KubeFedCluster, KEY=VALUE; may be repeated.")
	cmd.Flags().StringVar(&o.Tenant, "tenant", "", "The tenant whose member it is: the label "+v1alpha1.TenantLabel+".")
	cmd.Flags().StringVar(&o.WorkspaceGroup, "workspace-group", "", "The workspace group whose member it is: the label "+v1alpha1.WorkspaceGroupLabel+".")
	cmd.Flags().StringVar(&o.APIEndpoint, "api-endpoint", "", "Where Koinon finds the member's API server. The default is the server of the context.")
	cmd.Flags().StringVar(&o.Tunnel, "tunnel", "", "Always or Never: spec.tunnel of the KubeFedCluster.")
	cmd.Flags().DurationVar(&tokenLifetime, "token-lifetime", 0, "Ask for a token that ends after this time, and let the account make the next one itself: Koinon renews it. 0s is one that ends with the account, which is the default.")
	cmd.Flags().BoolVar(&o.CopyCredential, "copy-credential", false, "Make no account: give Koinon the token or the certificate of the context's user.")
	cmd.Flags().BoolVar(&o.AllowDuplicate, "allow-duplicate", false, "Join a cluster that is joined under another name.")
	cmd.Flags().BoolVar(&o.Wait, "wait", o.Wait, "Wait until the member is Ready.")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", o.Timeout, "How long --wait waits.")
	cmd.Flags().StringVar(&o.DryRun, "dry-run", "none", "client prints what would be made, as YAML, and makes nothing.")
	cmd.Flags().StringVarP(&o.Output, "output", "o", "", "How the KubeFedCluster is printed: name, json or yaml.")
	return cmd
}

func (o *joinOptions) complete(args []string) error {
	if len(args) != 1 {
		return errors.New("a name for one member is needed: kubectl koinon join NAME")
	}
	o.name = args[0]
	var err error
	o.labels, err = o.parseLabels()
	return err
}

// parseLabels reads those of all flags that make some.
func (o *joinOptions) parseLabels() (map[string]string, error) {
	labels := map[string]string{}
	all := slices.Clone(o.Labels)
	for _, tenancy := range [][3]string{{"--tenant", v1alpha1.TenantLabel, o.Tenant}, {"--workspace-group", v1alpha1.WorkspaceGroupLabel, o.WorkspaceGroup}} {
		if tenancy[2] == "" {
			continue
		}
		if problems := validation.IsValidLabelValue(tenancy[2]); len(problems) > 0 {
			return nil, fmt.Errorf("%s is %q: %s", tenancy[0], tenancy[2], problems[0])
		}
		labels[tenancy[1]] = tenancy[2]
	}
	for _, label := range all {
		key, value, ok := strings.Cut(label, "=")
		if !ok {
			return nil, fmt.Errorf("--label is %q: it must be KEY=VALUE", label)
		}
		if problems := slices.Concat(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)); len(problems) > 0 {
			return nil, fmt.Errorf("--label is %q: %s", label, problems[0])
		}
		if other, twice := labels[key]; twice && other != value {
			return nil, fmt.Errorf("--label is %q: the label has the value %q already", label, other)
		}
		labels[key] = value
	}
	return labels, nil
}

func (o *joinOptions) validate() error {
	if err := o.memberAccount.validate(o.name); err != nil {
		return err
	}
	switch {
	case o.Tunnel != "" && o.Tunnel != string(v1beta1.TunnelAlways) && o.Tunnel != string(v1beta1.TunnelNever):
		return fmt.Errorf("--tunnel is %q: it must be Always or Never", o.Tunnel)
	case o.TokenLifetime != nil && *o.TokenLifetime != 0 && *o.TokenLifetime < minMemberTokenLifetime:
		return fmt.Errorf("--token-lifetime is %s: it must be %s at least, or 0s for a token that does not end", *o.TokenLifetime, minMemberTokenLifetime)
	case o.CopyCredential && (o.TokenLifetime != nil || o.ClusterAdmin != nil || o.Proxy != nil):
		return errors.New("--copy-credential makes no account: --token-lifetime, --cluster-admin and --proxy are not allowed with it")
	case o.Timeout <= 0:
		return fmt.Errorf("--timeout is %s: it must be more than 0s", o.Timeout)
	case o.DryRun != "none" && o.DryRun != "client":
		return fmt.Errorf("--dry-run is %q: it must be none or client", o.DryRun)
	}
	return validateOutput(o.Output, "name", "json", "yaml")
}

func validateOutput(output string, allowed ...string) error {
	if output != "" && !slices.Contains(allowed, output) {
		return fmt.Errorf("--output is %q: it must be %s or %s", output, strings.Join(allowed[:len(allowed)-1], ", "), allowed[len(allowed)-1])
	}
	return nil
}

// load reads where Koinon and the member are.
func (o *joinOptions) load() (err error) {
	if o.source, err = loadSource(o.flags); err != nil {
		return err
	}
	if o.from, err = o.member.load(o.name, o.flags); err != nil {
		return err
	}
	return o.from.checkCopied(o.CopyCredential)
}
