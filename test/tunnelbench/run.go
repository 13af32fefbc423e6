package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/bench/runner"
)

type options struct {
	rows                         string
	small, konnectivity          bool
	rounds                       int
	markdown, keepLogs, profiles string
}

// row is one thing that is measured, in a world of its own.
type row struct {
	name    string
	measure func(*world, context.Context, *sheet) error
}

// RowName implements runner.Row.
func (r row) RowName() string { return r.name }

var rows = []row{
	{"bulk", (*world).bulk},
	{"distance", (*world).distance},
	{"request", (*world).request},
	{"dial", (*world).dial},
	{"pingpong", (*world).pingPong},
	{"memory", (*world).memory},
	{"recovery", (*world).recovery},
}

// bench is one run.
type bench struct {
	options
	*runner.Run
	root string
	// programs that were built; theirs is empty if konnectivity is not measured.
	agent, theirs string
	port          int // the next that konnectivity may have
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
	if b.Run, err = runner.Start("tunnelbench", runner.Options{Markdown: o.markdown, KeepLogs: o.keepLogs}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Clean()) }()
	if err := b.build(ctx); err != nil {
		return err
	}
	fmt.Fprintf(&b.Out, "%s `--rounds %d`\n", report.Machine(), b.rounds)
	err = runner.Measure(b.Run, chosen, func(r row) error { return b.measure(ctx, r) })
	return errors.Join(err, b.Print())
}

// measure adds the tables of a row to what is written: what there is of them, if it failed.
func (b *bench) measure(ctx context.Context, r row) error {
	s := &sheet{Report: report.New(wayNames...)}
	err := b.inWorld(ctx, r.name, func(w *world) error { return r.measure(w, ctx, s) })
	err = errors.Join(err, s.err)
	failed := ""
	if err != nil {
		failed = " (failed)"
	}
	fmt.Fprintf(&b.Out, "\n## %s%s\n\n", r.name, failed)
	return errors.Join(err, s.write(&b.Out))
}

// build builds what is measured, unless it is there.
func (b *bench) build(ctx context.Context) error {
	var err error
	if b.root, err = rootOf("."); err != nil {
		return err
	}
	b.Say("building")
	b.agent = filepath.Join(b.Dir, "koinon-agent")
	if err := build(ctx, b.root, b.agent, "./cmd/koinon-agent"); err != nil || !b.konnectivity {
		return err
	}
	b.theirs = filepath.Join(b.Dir, "konnectivity")
	return build(ctx, filepath.Join(b.root, "test", "tunnelbench", "konnectivity"), b.theirs, ".")
}

func build(ctx context.Context, dir, output, what string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", output, what)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w: %s", what, dir, err, bytes.TrimSpace(text))
	}
	return nil
}

// rootOf is the folder of this module that a folder is in.
func rootOf(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		text, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/koinon-io/koinon\n") {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not within the source of Koinon, of which koinon-agent is built", dir)
		}
	}
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
