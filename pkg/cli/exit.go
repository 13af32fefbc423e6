package cli

import "errors"

// Exit codes of the commands that tell more than success and failure.
const (
	// exitFailed: it could not be done, or something is wrong.
	exitFailed = 1
	// exitWarnings: nothing is wrong now, and something will be or may be.
	exitWarnings = 2
	// exitPartial: it was done, or looked at, in part.
	exitPartial = 3
)

// ExitError is an error that has an exit code of its own.
type ExitError struct {
	// Code is what the program exits with.
	Code int
	// Err is the sentence.
	Err error
}

func (e *ExitError) Error() string { return e.Err.Error() }

func (e *ExitError) Unwrap() error { return e.Err }

// ExitCode is what the program exits with after an error of a command.
func ExitCode(err error) int {
	var exit *ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	}
	return exitFailed
}
