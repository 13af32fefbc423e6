// Package app is the command line of koinon-edgehub: flags, and the wiring of the parts, which are in package edgehub and below. Nothing in it is meant to be called concurrently.
package app

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/cmd/internal/commandline"
	"github.com/koinon-io/koinon/pkg/edgehub/install"
)

// NewCommand returns the command.
func NewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "koinon-edgehub",
		Short: "Keep an edge node running while the cloud is away",
		Long: `Keep an edge node running while the cloud is away.

The hub is what kubelet, kube-proxy, network plugins, DNS and pods of a node use as their API server.
It reads everything once, keeps it on disk, and answers from there, whether the API server is there or
not: a node that restarts without the cloud has its pods back as if nothing had happened. What it does
not know it says so, and never that there is nothing.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.AddCommand(newRunCommand(), newStatusCommand(), newKubeconfigCommand(), newInstallCommand(), newUninstallCommand(), newHoldCommand())
	commandline.Complete(cmd)
	return cmd
}

func newRunCommand() *cobra.Command {
	options := NewOptions()
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the hub",
		Long: `Run the hub, as the installed service does.

Programs of the node itself, such as kubelet, come to --local-address with a client certificate of the
hub's own authority, which "koinon-edgehub install" gives them. Pods come to --pod-address, which is
made an address of this machine, with their service account's token, and have its rights. Nobody else
is anybody.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := options.Validate(); err != nil {
				return err
			}
			return options.Run(cmd.Context())
		},
	}
	cmd.Flags().SortFlags = false
	options.AddFlags(cmd.Flags())
	return cmd
}

func newKubeconfigCommand() *cobra.Command {
	options := NewOptions()
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print a kubeconfig with which programs of the node use the hub",
		Long: `Print a kubeconfig with which programs of the node use the hub.

Whoever has it has the node's rights on this machine, without the cloud too. It is good for a century:
remove authority.pem in --state-dir, and install the hub again, to have none of them be good any more.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(options.validateLocal(), options.validateKnown()); err != nil {
				return err
			}
			text, err := options.Kubeconfig()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	cmd.Flags().SortFlags = false
	addNodeFlag(cmd.Flags(), &options.Node)
	cmd.Flags().StringVar(&options.StateDir, "state-dir", options.StateDir, "The `DIRECTORY` for what the hub keeps.")
	cmd.Flags().StringVar(&options.LocalAddress, "local-address", options.LocalAddress, "Where the hub serves programs of the node, `ADDRESS:PORT` of loopback.")
	return cmd
}

// newHoldCommand is for kubelet's service alone.
func newHoldCommand() *cobra.Command {
	return &cobra.Command{
		Use:    install.HoldCommand + " CONFIG KUBECONFIG",
		Short:  "Have kubelet's configuration leave its certificate to the hub",
		Long:   "Have kubelet's configuration leave its certificate to the hub, as \"koinon-edgehub install\" had it, whoever\nhas changed that since, while its kubeconfig is the hub's. kubelet's service runs this before kubelet.",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			changed, err := install.HoldRotation(args[0], args[1])
			if changed && err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s had kubelet renew its certificate itself, with which it would not use the hub's: it does not any more.\n", args[0])
			}
			return err
		},
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is too much: %s takes flags only", args[0], cmd.CommandPath())
	}
	return nil
}
