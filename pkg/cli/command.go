package cli

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// NewCommand returns the command of kubectl-koinon with its subcommands.
func NewCommand(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:         "kubectl-koinon",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl koinon"},
		Short:       "Work with a Koinon federation",
		Long: `Work with a Koinon federation, through kubectl.

The current context, or --context, is that of Koinon's API. All flags of kubectl that say where
it is and who asks work here too: "kubectl options" lists them.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := newConnection()
	flags.addFlags(root.PersistentFlags())
	completeContexts(root, "context", flags)
	root.AddCommand(newKubeconfigCommand(flags, streams), newCredentialCommand(flags, streams), newVersionCommand(flags, streams), newAgentCommand(flags, streams))
	root.AddCommand(newJoinCommand(flags, streams), newUnjoinCommand(flags, streams), newDoctorCommand(flags, streams))
	root.AddCommand(newPlanCommand(flags, streams), newExplainCommand(flags, streams), newMaskCommand(flags, streams), newAbandonCommand(flags, streams))
	root.AddCommand(newGetCommand(flags, streams), newStatusCommand(flags, streams))
	root.AddCommand(newEnableCommand(flags, streams), newDisableCommand(flags, streams), newFederateCommand(flags, streams))
	return root
}
