package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/bench/runner"
)

type options struct {
	rows                         string
	small                        bool
	rounds, services             int
	lookFor                      time.Duration
	markdown, keepLogs, profiles string
}

// row is one thing that is measured, in a world of its own.
type row struct {
	name string
	// columns are what is compared.
	columns []string
	measure func(*world, context.Context, *sheet) error
}

// RowName implements runner.Row.
func (r row) RowName() string { return r.name }

var rows = []row{
	{"footprint", []string{withoutNodes, withNodes}, (*world).footprint},
	{"reads", []string{direct, throughHub}, (*world).reads},
	{"disk", []string{eachSecond, asItIs}, (*world).diskOfADay},
	{"return", []string{direct, throughHub}, (*world).comeBack},
}

// bench is one run.
type bench struct {
	options
	*runner.Run
	programs contender.Config
}

func run(ctx context.Context, o options) (err error) {
	chosen, err := runner.Selected(rows, o.rows)
	if err != nil {
		return err
	}
	if o.rounds < 1 {
		return fmt.Errorf("--rounds %d: 1 or more is allowed", o.rounds)
	}
	b := &bench{options: o}
	if b.Run, err = runner.Start("edgebench", runner.Options{Markdown: o.markdown, KeepLogs: o.keepLogs}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Clean()) }()
	if b.programs, err = contender.Built(b.Dir); err != nil {
		return err
	}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
	}
	fmt.Fprintf(&b.Out, "%s `--rounds %d`. Load of the machine before: %s.\n", report.Machine(), b.rounds, load())
	err = runner.Measure(b.Run, chosen, func(r row) error { return b.measure(ctx, r) })
	return errors.Join(err, b.Print())
}

// measure adds the tables of a row to what is written: what there is of them, if it failed.
func (b *bench) measure(ctx context.Context, r row) error {
	s := &sheet{Report: report.New(r.columns...)}
	err := b.inWorld(ctx, r.name, func(w *world) error { return r.measure(w, ctx, s) })
	err = errors.Join(err, s.err)
	failed := ""
	if err != nil {
		failed = " (failed)"
	}
	fmt.Fprintf(&b.Out, "\n## %s%s\n\n", r.name, failed)
	return errors.Join(err, s.write(&b.Out))
}

// load is that of the machine, over 1, 5 and 15 minutes.
func load() string {
	var one, five, fifteen float64
	text, _ := os.ReadFile("/proc/loadavg")
	if _, err := fmt.Sscan(string(text), &one, &five, &fifteen); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f, %.1f, %.1f", one, five, fifteen)
}

// quiet has client-go say nothing: connections end here by design.
func quiet() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
}

// number is a size: the second one for a small run.
func (b *bench) number(full, small int) int {
	if b.small {
		return small
	}
	return full
}

// lasts is a time: a twentieth of it for a small run.
func (b *bench) lasts(d time.Duration) time.Duration {
	if b.small {
		return d / 20
	}
	return d
}

// binary is a program that "make build" makes.
func (b *bench) binary(name string) string { return filepath.Join(b.programs.Bin, name) }

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
