// Package steps prints what is done, and how long it took, one line a step.
package steps

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Printer prints steps. It is safe for concurrent use.
type Printer struct {
	mu    sync.Mutex // guards writes to out
	out   io.Writer
	began time.Time
}

// New returns a printer whose clock starts now.
func New(out io.Writer) *Printer { return &Printer{out: out, began: time.Now()} }

// Done prints a step that was done: when, since the start, it ended, what it was, how long
// it took, and a note if there is one.
func (p *Printer) Done(step string, took time.Duration, note string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if note != "" {
		note = "  " + note
	}
	fmt.Fprintf(p.out, "%6.1fs  %-40s %5.1fs%s\n", time.Since(p.began).Seconds(), step, took.Seconds(), note)
}

// Do does a step and prints it if it succeeds. What fails should say itself what it was.
func (p *Printer) Do(step string, do func() (note string, err error)) error {
	began := time.Now()
	note, err := do()
	if err != nil {
		return err
	}
	p.Done(step, time.Since(began), note)
	return nil
}

// Total is the time since the printer was made.
func (p *Printer) Total() time.Duration { return time.Since(p.began) }
