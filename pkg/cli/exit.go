package cli

import "errors"

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
