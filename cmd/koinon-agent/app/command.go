// Package app is the command line of koinon-agent: flags, and the wiring of the parts. The parts are in package tunnel and
// below, for the edge hub too. Nothing in it is meant to be called concurrently.
package app

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/cmd/internal/commandline"
)

// NewCommand returns the command.
func NewCommand() *cobra.Command {
	options := NewOptions()
	cmd := &cobra.Command{
		Use:   "koinon-agent",
		Short: "Make a cluster or a node reachable through Koinon's tunnel",
		Long: `Make a cluster or a node reachable through Koinon's tunnel, from behind NAT and firewalls.

The agent connects to Koinon, and to nothing else until Koinon asks for it. Then it connects to what
its flags allow: in a cluster the API server, on a node the kubelet, unless they say otherwise.

The first time it needs a token, which "kubectl koinon agent" makes for one cluster or node and which
is good once. With it the agent gets a certificate for a key that it makes itself, keeps both in
--state-dir, or in a pod in --state-secret, and renews the certificate long before it ends; the token
is not needed any more.

The environment's HTTPS_PROXY and NO_PROXY are heeded. Where only HTTPS comes through, the agent goes
by WebSocket; a proxy that ends TLS cannot read what is inside.`,
		Example: `  # In a cluster, as a pod
  koinon-agent --server koinon.example.org:8443 --ca-pin sha256:7c0d… --token-file /etc/koinon-agent/token

  # On a node, for its kubelet and for a node exporter
  koinon-agent --server koinon.example.org:8443 --ca-file /etc/koinon-agent/ca.crt \
      --token-file /etc/koinon-agent/token --allow 127.0.0.1:9100`,
		Args:          noArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := options.Validate(); err != nil {
				return err
			}
			return options.Run(cmd.Context())
		},
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.Flags().SortFlags = false
	options.AddFlags(cmd.Flags())
	cmd.AddCommand(newProxyCommand())
	commandline.Complete(cmd)
	return cmd
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is too much: %s takes flags only", args[0], cmd.CommandPath())
	}
	return nil
}
