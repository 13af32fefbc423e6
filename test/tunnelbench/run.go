package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
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

var rows = []row{
	{"bulk", (*world).bulk},
	{"distance", (*world).distance},
	{"request", (*world).request},
	{"dial", (*world).dial},
	{"pingpong", (*world).pingPong},
	{"memory", (*world).memory},
	{"recovery", (*world).recovery},
}

func rowNames() []string {
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	return names
}

// selected returns the rows that a list of names asks for.
func selected(list string) ([]row, error) {
	if list == "" {
		return rows, nil
	}
	var chosen []row
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("--rows: %q is none of %s", name, strings.Join(rowNames(), ", "))
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}

// bench is one run.
type bench struct {
	options
	root, dir string
	// programs that were built; theirs is empty if konnectivity is not measured.
	agent, theirs string
	port          int // the next that konnectivity may have
	started       time.Time
	out           bytes.Buffer
}

func run(ctx context.Context, o options) (err error) {
	chosen, err := selected(o.rows)
	if err != nil {
		return err
	}
	if o.rounds < 1 {
		return fmt.Errorf("--rounds %d: 1 or more is allowed", o.rounds)
	}
	b := &bench{options: o, started: time.Now()}
	if b.dir, err = os.MkdirTemp("", "koinon-tunnelbench-"); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, b.clean()) }()
	if err := b.build(ctx); err != nil {
		return err
	}
	fmt.Fprintf(&b.out, "%s `--rounds %d`\n", report.Machine(), b.rounds)
	var errs []error
	for _, r := range chosen {
		b.say("row %s", r.name)
		if err := b.measure(ctx, r); err != nil { // the others may be of use
			errs = append(errs, fmt.Errorf("%s: %w", r.name, err))
			b.say("%v", err)
		}
	}
	return errors.Join(append(errs, b.write())...)
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
	fmt.Fprintf(&b.out, "\n## %s%s\n\n", r.name, failed)
	return errors.Join(err, s.write(&b.out))
}

// build builds what is measured, unless it is there.
func (b *bench) build(ctx context.Context) error {
	var err error
	if b.root, err = rootOf("."); err != nil {
		return err
	}
	b.say("building")
	b.agent = filepath.Join(b.dir, "koinon-agent")
	if err := build(ctx, b.root, b.agent, "./cmd/koinon-agent"); err != nil || !b.konnectivity {
		return err
	}
	b.theirs = filepath.Join(b.dir, "konnectivity")
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

// clean keeps the logs if that is wanted, and removes the rest.
func (b *bench) clean() error {
	var errs []error
	if b.keepLogs != "" {
		files, err := filepath.Glob(filepath.Join(b.dir, "*", "*.log"))
		errs = append(errs, err, os.MkdirAll(b.keepLogs, 0o700))
		for _, file := range files {
			data, err := os.ReadFile(file)
			name := filepath.Base(filepath.Dir(file)) + "-" + filepath.Base(file)
			errs = append(errs, err, os.WriteFile(filepath.Join(b.keepLogs, name), data, 0o600))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// say tells the person who waits.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(b.started).Seconds(), fmt.Sprintf(format, args...))
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

func (b *bench) write() error {
	if _, err := os.Stdout.Write(b.out.Bytes()); err != nil || b.markdown == "" {
		return err
	}
	return os.WriteFile(b.markdown, b.out.Bytes(), 0o644)
}
