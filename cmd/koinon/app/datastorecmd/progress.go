package datastorecmd

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/koinon-io/koinon/pkg/storage/archive"
)

const (
	// redrawInterval is how often the line on a terminal is written anew, and lineInterval
	// how often there is a new line elsewhere, such as in the log of a cron job.
	redrawInterval = 200 * time.Millisecond
	lineInterval   = 5 * time.Second
)

// showProgress writes how far something is until the function that it returns is called.
func showProgress(out io.Writer, progress *archive.Progress) (stop func()) {
	s := progressShow{out: out, progress: progress, terminal: isTerminal(out)}
	interval := lineInterval
	if s.terminal {
		interval = redrawInterval
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { // stop ends it
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.show()
			case <-done:
				s.clear()
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		running.Wait()
	})
}

// isTerminal says whether somebody looks at what is written.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

type progressShow struct {
	out      io.Writer
	progress *archive.Progress
	terminal bool
	// shown says that there is a line that has to go.
	shown bool
}

const clearLine = "\r\x1b[K"

func (s *progressShow) show() {
	stage := s.progress.Stage()
	if stage.What == "" {
		return
	}
	if s.terminal {
		s.shown = true
		_, _ = fmt.Fprint(s.out, clearLine+describe(stage, time.Now()))
		return
	}
	_, _ = fmt.Fprintln(s.out, describe(stage, time.Now()))
}

func (s *progressShow) clear() {
	if s.shown {
		_, _ = fmt.Fprint(s.out, clearLine)
	}
}

// describe is a stage in one line: what, how far, and how fast.
func describe(stage archive.Stage, now time.Time) string {
	line := stage.What
	switch {
	case stage.Total > 0:
		line += fmt.Sprintf(": %d of %d (%d%%)", stage.Keys, stage.Total, 100*stage.Keys/stage.Total)
	case stage.Keys > 0:
		line += fmt.Sprintf(": %d", stage.Keys)
	}
	elapsed := now.Sub(stage.Began).Seconds()
	if elapsed <= 0 {
		return line
	}
	if stage.Bytes > 0 {
		line += ", " + byteSize(stage.Bytes)
	}
	if stage.Keys > 0 {
		line += fmt.Sprintf(", %.0f a second", float64(stage.Keys)/elapsed)
	}
	if stage.Bytes > 0 {
		line += fmt.Sprintf(", %s a second", byteSize(int64(float64(stage.Bytes)/elapsed)))
	}
	return line
}

// byteSize is a number of bytes for people.
func byteSize(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d bytes", n)
	}
	value, name := float64(n)/unit, "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, name = value/unit, next
	}
	return fmt.Sprintf("%.1f %s", value, name)
}
