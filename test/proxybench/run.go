package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/testbed"
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

var rows = []row{
	{"get", wayNames, (*bench).get},
	{"list", wayNames, (*bench).list},
	{"watch", wayNames, (*bench).watch},
	{"exec", wayNames, (*bench).exec},
	{"fleet", []string{slowest, oneByOne, throughFleet}, (*bench).fleet},
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
	config  contender.Config
	worlds  int
	started time.Time
	out     bytes.Buffer
}

func run(ctx context.Context, o options) (err error) {
	chosen, err := selected(o.rows)
	if err != nil {
		return err
	}
	if o.scale <= 0 || o.rounds < 1 {
		return errors.New("--scale and --rounds must be more than 0")
	}
	b := &bench{options: o, started: time.Now()}
	if err := b.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.clean()) }()
	fmt.Fprintf(&b.out, "%s\n`--scale %g --rounds %d`\n", report.Machine(), b.scale, b.rounds)
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
	s := &sheet{Report: report.New(r.columns...)}
	err := errors.Join(r.measure(b, ctx, s), s.err)
	failed := ""
	if err != nil {
		failed = " (failed)"
	}
	fmt.Fprintf(&b.out, "\n## %s%s\n\n", r.name, failed)
	return errors.Join(err, s.Write(&b.out))
}

func (b *bench) prepare() error {
	root, err := testbed.Root()
	if err != nil {
		return err
	}
	koinon, err := testbed.Binary("koinon")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "koinon-proxybench-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	b.config = contender.Config{Root: root, Bin: filepath.Dir(koinon), Dir: dir}
	return nil
}

// clean keeps the logs if that is wanted, and removes the rest.
func (b *bench) clean() error {
	var errs []error
	if b.keepLogs != "" {
		files, err := filepath.Glob(filepath.Join(b.config.Dir, "*", "*.log"))
		errs = append(errs, err, os.MkdirAll(b.keepLogs, 0o700))
		for _, file := range files {
			data, err := os.ReadFile(file)
			name := filepath.Base(filepath.Dir(file)) + "-" + filepath.Base(file)
			errs = append(errs, err, os.WriteFile(filepath.Join(b.keepLogs, name), data, 0o600))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(b.config.Dir))...)
}

// say tells the person who waits.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(b.started).Seconds(), fmt.Sprintf(format, args...))
}

// times returns a size at the scale of this run, at least the given least.
func (b *bench) times(size, least int) int { return max(int(float64(size)*b.scale+0.5), least) }

// lasts returns a time at the scale of this run, at least a tenth of it.
func (b *bench) lasts(d time.Duration) time.Duration {
	return time.Duration(float64(d) * max(min(b.scale, 1), 0.1))
}

func (b *bench) write() error {
	if _, err := os.Stdout.Write(b.out.Bytes()); err != nil || b.markdown == "" {
		return err
	}
	return os.WriteFile(b.markdown, b.out.Bytes(), 0o644)
}
