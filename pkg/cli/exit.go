package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// Exit codes of commands that have more to say than that they failed.
const (
	// exitChanges: all is well, and something would change, as with "kubectl diff".
	exitChanges = 1
	// exitFailed: the command could not do what it was asked to.
	exitFailed = 2
	// exitPartial: some members could not be asked; what is said of the others is true.
	exitPartial = 3
)

// exitError is an error with an exit code. Its text is empty if there is nothing more to say.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

// failed gives an error the exit code exitFailed, in commands that say something else with 1; nil stays nil.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitFailed, err.Error()}
}

// noArguments refuses words behind a command that takes none.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasSubCommands():
		return fmt.Errorf("%q is no command of %s. See %[2]s --help", args[0], cmd.CommandPath())
	}
	return fmt.Errorf("%q is too much: %s takes options alone. See %[2]s --help", args[0], cmd.CommandPath())
}

// ExitCode is that of a program whose command ended with err: 0 for none, and 1 for an error that has
// no other. A command that has said everything returns an error without a text.
func ExitCode(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	}
	return 1
}
