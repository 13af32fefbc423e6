// Command kubectl-koinon is a plugin of kubectl: on the PATH it is "kubectl koinon". See
// "kubectl koinon --help".
//
// Called through a link named kubectl_complete-koinon, it is what kubectl asks for completions.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/koinon-io/koinon/cmd/internal/commandline"
	"github.com/koinon-io/koinon/pkg/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	cmd := newCommand(genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	cmd.SetArgs(arguments(os.Args))
	err := cmd.ExecuteContext(ctx)
	stop()
	if err != nil {
		if err.Error() != "" {
			fmt.Fprintln(cli.NewPlainWriter(os.Stderr), "error:", err)
		}
		os.Exit(cli.ExitCode(err))
	}
}

func newCommand(streams genericiooptions.IOStreams) *cobra.Command {
	cmd := cli.NewCommand(streams)
	commandline.Complete(cmd)
	return cmd
}

// arguments are those of the command that a program of this name is to run.
func arguments(args []string) []string {
	if strings.HasPrefix(filepath.Base(args[0]), "kubectl_complete-") {
		return append([]string{cobra.ShellCompRequestCmd}, args[1:]...)
	}
	return args[1:]
}
