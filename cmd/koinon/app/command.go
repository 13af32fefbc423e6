// Package app is the command line of koinon: flags, options and the wiring of the parts. It
// is the one place that knows all of them; the parts do not know each other. Nothing in it
// is meant to be called concurrently.
package app

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/term"

	"github.com/koinon-io/koinon/cmd/internal/commandline"
	"github.com/koinon-io/koinon/cmd/koinon/app/datastorecmd"
	"github.com/koinon-io/koinon/pkg/version"
)

// NewCommand returns the koinon command with its subcommands.
func NewCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "koinon",
		Short: "Koinon is a federation layer for Kubernetes",
		Long: `Koinon serves federated objects through the Kubernetes API and propagates them to
member clusters, to cells and to edge units.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newServerCommand(), newTunnelCommand(), newKubeconfigCommand(),
		datastorecmd.New(datastorecmd.Config{DataDir: defaultDataDir, Fill: fillDataDir}),
		newManifestsCommand(), newCheckTunnelConfigCommand(), newVersionCommand(),
	)
	commandline.Complete(root)
	return root
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "koinon %s\n", version.String())
			return err
		},
	}
}

func newServerCommand() *cobra.Command {
	options := NewServerOptions()
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the control plane",
		Long: `Run the control plane: API server, store and controllers in one process.

Without further flags it is a complete control plane of its own: it makes its keys, keeps
its data in SQLite in --data-dir, and writes a kubeconfig there. With --host-kubeconfig or
--in-cluster its API is served through the aggregator of an existing cluster instead.`,
		Example: `  # A control plane of its own, on loopback
  koinon server --data-dir ~/koinon

  # Several servers over one database, each for a load balancer at 10.0.0.5
  koinon server --bind-address 0.0.0.0 --advertise-address 10.0.0.5 \
      --datastore 'mysql://koinon@db.example:3306/koinon' \
      --datastore-password-file /etc/koinon/database-password \
      --encryption-provider-config /etc/koinon/encryption.yaml

  # Behind the aggregator of an existing cluster
  koinon server --in-cluster`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return options.Run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	sets := options.Flags()
	for _, set := range sets.FlagSets {
		cmd.Flags().AddFlagSet(set)
	}
	setHelp(cmd, sets)
	return cmd
}

// setHelp shows what the command is for, examples, and then the flags in their groups.
func setHelp(cmd *cobra.Command, sets cliflag.NamedFlagSets) {
	usage := func(cmd *cobra.Command, out io.Writer) {
		columns, _, _ := term.TerminalSize(out)
		_, _ = fmt.Fprintf(out, "Usage:\n  %s\n", cmd.UseLine())
		cliflag.PrintSections(out, sets, columns)
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		usage(cmd, cmd.OutOrStderr())
		return nil
	})
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s\n\nExamples:\n%s\n\n", cmd.Long, cmd.Example)
		usage(cmd, cmd.OutOrStdout())
	})
}
