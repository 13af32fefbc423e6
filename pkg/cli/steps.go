package cli

import (
	"fmt"
	"io"
	"time"
)

// steps tells what a command does, one line a step, with the seconds since it was begun.
type steps struct {
	out   io.Writer
	begun time.Time
	now   func() time.Time
}

func newSteps(out io.Writer, now func() time.Time) *steps {
	return &steps{out: out, begun: now(), now: now}
}

// say tells a step that was done, or that is waited for.
func (s *steps) say(format string, args ...any) {
	fmt.Fprintf(s.out, "%6.1fs  %s\n", s.now().Sub(s.begun).Seconds(), fmt.Sprintf(format, args...))
}

// warn tells what is done all the same.
func (s *steps) warn(format string, args ...any) {
	fmt.Fprintf(s.out, "Warning: %s\n", fmt.Sprintf(format, args...))
}
