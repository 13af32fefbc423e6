// Package commandline has what the command lines of our programs have in common: what is no
// command of theirs is an error, so that a typing mistake in a unit file does not pass for
// success, and every program says its version.
//
// Nothing in it is meant to be called concurrently.
package commandline

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/pkg/version"
)

// Complete adds to a program's command what all have. Its subcommands must be there.
func Complete(root *cobra.Command) {
	root.Version = version.String()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	refuseUnknown(root)
	root.SetHelpCommand(newHelpCommand())
}

// refuseUnknown makes commands that only hold others say so when they are called with none of
// them. cobra prints the help, and calls that success.
func refuseUnknown(cmd *cobra.Command) {
	if !cmd.HasSubCommands() {
		return
	}
	if cmd.RunE == nil && cmd.Run == nil {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		cmd.Args = unknown
	}
	for _, sub := range cmd.Commands() {
		refuseUnknown(sub)
	}
}

func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknown(found, rest)
			}
			found.InitDefaultHelpFlag()
			found.InitDefaultVersionFlag()
			return found.Help()
		},
	}
}

// unknown takes no arguments, and says of any that it is no command.
func unknown(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return errors.New(UnknownCommand(cmd, args[0], fmt.Sprintf("%q is no command of %s", args[0], cmd.CommandPath())))
}

// UnknownCommand returns a sentence that begins with problem, on a word that is no subcommand
// of cmd: it says what was meant, perhaps, and where the help is. The word is not repeated.
func UnknownCommand(cmd *cobra.Command, word, problem string) string {
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2 // cobra's own
	}
	if meant := cmd.SuggestionsFor(word); len(meant) > 0 {
		problem += ": did you mean " + strings.Join(meant, " or ") + "?"
	} else {
		problem += "."
	}
	return problem + " See " + cmd.CommandPath() + " --help"
}
