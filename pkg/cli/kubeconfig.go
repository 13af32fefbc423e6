package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// kubeconfigOptions are the options of "kubectl koinon kubeconfig".
type kubeconfigOptions struct {
	genericiooptions.IOStreams
	flags *connection

	Fleet, Flatten, Merge, Switch, Check bool
	Output, ContextName                  string

	names  []string
	source *source
}

func newKubeconfigCommand(flags *connection, streams genericiooptions.IOStreams) *cobra.Command {
	o := &kubeconfigOptions{IOStreams: streams, flags: flags, Check: true}
	cmd := &cobra.Command{
		Use:   "kubeconfig (CLUSTER | CELL -n NAMESPACE | --fleet)",
		Short: "Write a kubeconfig through which any client reaches a member, a cell or all members",
		Long: `Write a kubeconfig through which any client reaches a member, a cell or all members.

Its server is a path of Koinon's API, and its user is that of the current context: kubectl, helm
or a controller with it acts as you, and what you may do in a member is decided there. The member
need not be reachable from here.

A bare name is a cluster, or a cell of the namespace; where it is both, say cluster/NAME or
cell/NAME. Without further flags the kubeconfig goes to the standard output. When it is written
the member is asked whether it answers; if it does not, that is said, and is no failure.

It names files where yours does: with --flatten it has what is in them instead. Tokens, keys and
programs that fetch them come along as they are: whoever has the kubeconfig is you.`,
		Example: `  # Pods of the cluster m1
  kubectl koinon kubeconfig m1 --merge
  kubectl --context koinon/m1 get pods -A

  # Install into the cell rz00a of the namespace shop
  kubectl koinon kubeconfig rz00a -n shop -o rz00a.kubeconfig
  helm --kubeconfig rz00a.kubeconfig install web ./web

  # All members in one list
  kubectl koinon kubeconfig --fleet --merge
  kubectl --context koinon/fleet get nodes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(args); err != nil {
				return err
			}
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
		ValidArgsFunction: completeTargets(flags),
	}
	set := cmd.Flags()
	set.BoolVar(&o.Fleet, "fleet", false, "All members at once, to read from.")
	set.StringVarP(&o.Output, "output", "o", "", "The file to write, with mode 0600; - is the standard output.")
	set.BoolVar(&o.Merge, "merge", false, "Add cluster and context to the kubeconfig that kubectl uses, instead.")
	set.BoolVar(&o.Switch, "switch", false, "With --merge: make the context the current one.")
	set.StringVar(&o.ContextName, "context-name", "", "The name of the context. The default is the current one's and CLUSTER, NAMESPACE/CELL or fleet behind a slash.")
	set.BoolVar(&o.Flatten, "flatten", false, "Put certificates and keys into the kubeconfig where yours names files.")
	set.BoolVar(&o.Check, "check", o.Check, "Ask the member whether it answers, when the kubeconfig is written.")
	return cmd
}

func (o *kubeconfigOptions) complete(args []string) (err error) {
	o.names = args
	if o.Output == "-" {
		o.Output = ""
	}
	o.source, err = loadSource(o.flags)
	return err
}

func (o *kubeconfigOptions) validate() error {
	switch {
	case o.Fleet && len(o.names) > 0:
		return fmt.Errorf("--fleet is all members: it goes without the name %q", o.names[0])
	case !o.Fleet && len(o.names) != 1:
		return fmt.Errorf("%d names are given: one must be, of a cluster or a cell, or --fleet", len(o.names))
	case o.Merge && o.Output != "":
		return errors.New("--merge and --output exclude each other: --merge changes the kubeconfig that kubectl uses")
	case o.Merge && o.Flatten:
		return errors.New("--merge and --flatten exclude each other: a kubeconfig that stays here may name files")
	case o.Switch && !o.Merge:
		return errors.New("--switch goes with --merge only: another file has one context, which is the current one")
	}
	return nil
}

func (o *kubeconfigOptions) run(ctx context.Context) error {
	reached, err := o.target(ctx)
	if err != nil {
		return err
	}
	name := cmp.Or(o.ContextName, o.source.context+"/"+reached.suffix())
	config := o.source.kubeconfig(name, o.source.server+reached.path(), o.namespace(reached))
	if err := o.write(config, reached); err != nil {
		return err
	}
	if o.Check {
		o.check(ctx, reached)
	}
	return nil
}

// target is what the arguments mean to the federation.
func (o *kubeconfigOptions) target(ctx context.Context) (target, error) {
	wanted := everything
	if !o.Fleet {
		var err error
		if wanted, err = parseTarget(o.names[0], o.source.namespace); err != nil {
			return target{}, err
		}
	}
	federation, err := o.source.newFederation(o.source.server)
	if err != nil {
		return target{}, err
	}
	if wanted.kind == fleet {
		return wanted, federation.require(ctx, wanted.resource())
	}
	// That it is a federation at all comes first: else nothing is there, and that misleads.
	if err := federation.require(ctx, target{kind: cluster}.resource()); err != nil {
		return target{}, err
	}
	if wanted, err = federation.resolve(ctx, wanted, o.source.namespace); err != nil || wanted.kind == cluster {
		return wanted, err
	}
	return wanted, federation.require(ctx, wanted.resource())
}

// namespace is that of the context: a cell is one namespace, and in a member it is what was asked for.
func (o *kubeconfigOptions) namespace(reached target) string {
	switch {
	case reached.kind == cell:
		return reached.namespace
	case o.source.given:
		return o.source.namespace
	}
	return ""
}

// write brings the kubeconfig to where it shall be, and says how to use it.
func (o *kubeconfigOptions) write(config *clientcmdapi.Config, reached target) error {
	if o.Merge {
		if err := o.source.merge(config, o.Switch); err != nil {
			return err
		}
		use := "kubectl --context " + shellWord(config.CurrentContext)
		if o.Switch {
			use = "kubectl, whose current context it is now"
		}
		_, err := fmt.Fprintf(o.Out, "The context %s reaches %s: %s\n", config.CurrentContext, reached, use)
		return err
	}
	data, err := encode(config, o.Flatten)
	if err != nil {
		return err
	}
	if o.Output == "" {
		_, err := o.Out.Write(data)
		return err
	}
	if err := o.source.writeFile(o.Output, data); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.Out, "%s reaches %s: kubectl --kubeconfig %s\n", o.Output, reached, shellWord(o.Output))
	return err
}
