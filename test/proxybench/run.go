package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/bench/runner"
)

type options struct {
	rows               string
	scale              float64
	rounds             int
	markdown, keepLogs string
}

// row is one thing that is measured, in a world of its own.
type row struct {
	name string
	// columns are what is compared.
	columns []string
	measure func(*bench, context.Context, *sheet) error
}

// RowName implements runner.Row.
func (r row) RowName() string { return r.name }

var rows = []row{
	{"get", wayNames, (*bench).get},
	{"list", wayNames, (*bench).list},
	{"watch", wayNames, (*bench).watch},
	{"exec", wayNames, (*bench).exec},
	{"fleet", []string{slowest, oneByOne, throughFleet}, (*bench).fleet},
}

// bench is one run.
type bench struct {
	options
	*runner.Run
	config contender.Config
	worlds int
}

func run(ctx context.Context, o options) (err error) {
	chosen, err := runner.Selected(rows, o.rows)
	if err != nil {
		return err
	}
	if o.scale <= 0 || o.rounds < 1 {
		return errors.New("--scale and --rounds must be more than 0")
	}
	b := &bench{options: o}
	if b.Run, err = runner.Start("proxybench", runner.Options{Markdown: o.markdown, KeepLogs: o.keepLogs}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Clean()) }()
	if b.config, err = contender.Built(b.Dir); err != nil {
		return err
	}
	fmt.Fprintf(&b.Out, "%s\n`--scale %g --rounds %d`\n", report.Machine(), b.scale, b.rounds)
	err = runner.Measure(b.Run, chosen, func(r row) error { return b.measure(ctx, r) })
	return errors.Join(err, b.Print())
}

// measure adds the tables of a row to what is written: what there is of them, if it failed.
func (b *bench) measure(ctx context.Context, r row) error {
	s := &sheet{Report: report.New(r.columns...)}
	err := errors.Join(r.measure(b, ctx, s), s.err)
	failed := ""
	if err != nil {
		failed = " (failed)"
	}
	fmt.Fprintf(&b.Out, "\n## %s%s\n\n", r.name, failed)
	return errors.Join(err, s.Write(&b.Out))
}

// times returns a size at the scale of this run, at least the given least.
func (b *bench) times(size, least int) int { return max(int(float64(size)*b.scale+0.5), least) }

// lasts returns a time at the scale of this run, at least a tenth of it.
func (b *bench) lasts(d time.Duration) time.Duration {
	return time.Duration(float64(d) * max(min(b.scale, 1), 0.1))
}
