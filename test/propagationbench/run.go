package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/bench/runner"
)

type options struct {
	rows                             string
	scale                            float64
	rounds                           int
	json, before, markdown, keepLogs string
}

// row is one thing that is measured, in a world of its own.
type row struct {
	name    string
	measure func(*bench, context.Context) error
}

// RowName implements runner.Row.
func (r row) RowName() string { return r.name }

var rows = []row{
	{"update", (*bench).update},
	{"bulk", (*bench).bulk},
	{"few", (*bench).few},
	{"selector", (*bench).selector},
	{"pods", (*bench).pods},
	{"flap", (*bench).flap},
	{"neighbours", (*bench).neighbours},
	{"tenant", (*bench).tenant},
	{"status", (*bench).healths},
	{"idle", (*bench).idle},
	{"cells", (*bench).cells},
	{"commands", (*bench).commands},
	{"real", (*bench).real},
}

// bench is one run.
type bench struct {
	options
	figures
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
	if b.Run, err = runner.Start("propagationbench", runner.Options{Markdown: o.markdown, KeepLogs: o.keepLogs}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Clean()) }()
	if b.config, err = contender.Built(b.Dir); err != nil {
		return err
	}
	err = runner.Measure(b.Run, chosen, func(r row) error { return r.measure(b, ctx) })
	return errors.Join(err, b.write())
}

// times returns a size at the scale of this run, at least the given least.
func (b *bench) times(size, least int) int { return max(int(float64(size)*b.scale+0.5), least) }

func (b *bench) write() error {
	if b.json != "" {
		if err := b.figures.save(b.json); err != nil {
			return err
		}
	}
	var before figures
	for file := range strings.SplitSeq(b.before, ",") {
		if file == "" {
			continue
		}
		if err := before.load(file); err != nil {
			return err
		}
	}
	fmt.Fprintf(&b.Out, "%s\n`--scale %g --rounds %d`\n\n%s", report.Machine(), b.scale, b.rounds, b.figures.table(before))
	return b.Print()
}
