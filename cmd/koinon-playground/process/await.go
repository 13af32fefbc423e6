package process

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	readyPoll    = 50 * time.Millisecond
	probeTimeout = 2 * time.Second
	tailLines    = 15
)

// Program is a program that was started, and where its traces are.
type Program struct {
	Name    string
	PIDFile string
	LogFile string
}

// StartError says that a program did not become ready, and where to read why.
type StartError struct {
	Program Program
	// LogTail is the last lines of the log.
	LogTail string
	// Err is what was wrong: it is ErrEnded or ErrSlow.
	Err error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("%s %v; the last lines of %s:\n%s", e.Program.Name, e.Err, e.Program.LogFile, e.LogTail)
}

func (e *StartError) Unwrap() error { return e.Err }

// PortTaken tells whether the program failed because another listens on its port. A new
// port is the answer to that.
func (e *StartError) PortTaken() bool {
	return strings.Contains(e.LogTail, "address already in use") || // what the kernel says
		strings.Contains(e.LogTail, "is in use by another process") // what koinon makes of it
}

var (
	// ErrEnded is the cause if the program ended before it was ready.
	ErrEnded = errors.New("ended while it started")
	// ErrSlow is the cause if the program runs, and was not ready in time.
	ErrSlow = errors.New("was not ready in time")
)

// Await polls until ready returns nil. It returns a StartError if one of the programs
// ends before, or if it takes longer than limit; the latter names the last program, and
// has the last reason why it was not ready.
func Await(ctx context.Context, limit time.Duration, ready func(context.Context) error, programs ...Program) error {
	deadline := time.Now().Add(limit)
	for {
		probe, stop := context.WithTimeout(ctx, probeTimeout)
		reason := ready(probe)
		stop()
		if reason == nil {
			return nil
		}
		for _, program := range programs {
			if _, running := Find(program.PIDFile); !running {
				return startError(program, ErrEnded)
			}
		}
		if time.Now().After(deadline) {
			return startError(programs[len(programs)-1], fmt.Errorf("%w (%s): %w", ErrSlow, limit, reason))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(readyPoll):
		}
	}
}

func startError(program Program, err error) error {
	return &StartError{Program: program, LogTail: Tail(program.LogFile, tailLines), Err: err}
}
