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
	"sync"
	"time"

	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/storebench/serve"
)

type options struct {
	stores, parts           []string
	repeats                 int
	duration, sparse, idle  time.Duration
	keys, valueBytes        int
	connections, watchers   int
	dir, markdown, keepLogs string
}

// quick makes everything small.
func (o options) quick() options {
	o.repeats, o.keys, o.watchers = 1, 1000, 5
	o.duration, o.sparse, o.idle = 250*time.Millisecond, 2*time.Second, 2*time.Second
	return o
}

func (o options) validate() error {
	for _, name := range o.stores {
		if !slices.Contains(serve.Names, name) {
			return fmt.Errorf("--stores has %q: it may have %q", name, serve.Names)
		}
	}
	for _, name := range o.parts {
		if !slices.Contains(partNames(), name) {
			return fmt.Errorf("--parts has %q: it may have %q", name, partNames())
		}
	}
	if o.repeats < 1 || o.duration <= 0 || o.valueBytes < 1 || o.connections < 1 || o.watchers < 1 || o.keys < 200 || o.keys%200 != 0 {
		return errors.New("--keys must be a multiple of 200, and --repeats, --duration, --value-bytes, --connections and --watchers above 0")
	}
	return nil
}

// bench is one run.
type bench struct {
	options
	report  *report.Report
	binary  string
	mariadb *mariaDB // nil if it is not installed
	started time.Time
	// notes are sentences on what did not go as it should, but for what tally has.
	notes []string
	tally *tally
}

// part is a group of measurements, on stores that were started for it.
type part struct {
	name    string
	servers int
	// stores says which ones take part; nil means all.
	stores  func(name string) bool
	measure func(*bench, context.Context, []*side) error
	aims    func(*bench)
}

var parts = []part{
	{"writes", 1, nil, (*bench).writes, (*bench).writeAims},
	{"reads", 1, nil, (*bench).reads, (*bench).readAims},
	{"watch", 1, nil, (*bench).watch, nil},
	{"servers", 2, serve.NeedsDatabase, (*bench).twoServers, (*bench).serverAims},
	{"mixed", 1, nil, (*bench).mixed, nil},
}

func partNames() []string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

func run(ctx context.Context, o options) (err error) {
	if err := o.validate(); err != nil {
		return err
	}
	b := &bench{options: o, started: time.Now()}
	if b.binary, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if b.dir, err = os.MkdirTemp(o.dir, "koinon-storebench-"); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, b.keep(), os.RemoveAll(b.dir)) }()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	header, err := b.header(ctx)
	if err != nil {
		return err
	}
	others := newOthers()
	if err := b.measure(ctx); err != nil {
		return err
	}
	return b.write(header + others.sentence())
}

// prepare finds out what can be compared.
func (b *bench) prepare(ctx context.Context) error {
	if err := os.Mkdir(filepath.Join(b.dir, "logs"), 0o700); err != nil {
		return err
	}
	if len(b.stores) == 0 {
		b.stores = serve.Names
	}
	if slices.ContainsFunc(b.stores, serve.NeedsDatabase) {
		var err error
		if b.mariadb, err = prepareMariaDB(ctx, b.dir); errors.Is(err, errNoMariaDB) {
			b.note("The stores on MariaDB are left out: %v.", err)
			b.stores = slices.DeleteFunc(slices.Clone(b.stores), serve.NeedsDatabase)
		} else if err != nil {
			return err
		}
	}
	var columns []string
	for _, name := range serve.Names {
		if b.has(name) {
			columns = append(columns, titles[name])
		}
	}
	b.report, b.tally = report.New(columns...), newTally(columns)
	return nil
}

// has tells whether stores are compared.
func (b *bench) has(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(b.stores, name) })
}

func (b *bench) measure(ctx context.Context) error {
	for _, p := range parts {
		if len(b.parts) > 0 && !slices.Contains(b.parts, p.name) {
			continue
		}
		if err := b.measurePart(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if p.aims != nil {
			p.aims(b)
		}
	}
	b.sums()
	return nil
}

func (b *bench) measurePart(ctx context.Context, p part) (err error) {
	b.say("%s: start", p.name)
	sides, err := b.startSides(ctx, p)
	defer func() {
		for _, s := range sides {
			err = errors.Join(err, s.stop(context.WithoutCancel(ctx)))
		}
	}()
	if err != nil {
		return err
	}
	return p.measure(b, ctx, sides)
}

// startSides starts the stores that take part, at the same time. What it returns is to be
// stopped, also if there is an error.
func (b *bench) startSides(ctx context.Context, p part) ([]*side, error) {
	var names []string
	for _, name := range serve.Names {
		if b.has(name) && (p.stores == nil || p.stores(name)) {
			names = append(names, name)
		}
	}
	sides, errs := make([]*side, len(names)), make([]error, len(names))
	var starting sync.WaitGroup
	for i, name := range names {
		sides[i] = &side{name: name, dir: filepath.Join(b.dir, p.name, name)}
		starting.Go(func() { errs[i] = b.startSide(ctx, p.name, sides[i], p.servers) })
	}
	starting.Wait()
	return sides, errors.Join(errs...)
}

// say tells the person who waits.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(b.started).Seconds(), fmt.Sprintf(format, args...))
}

// note keeps a sentence for the report.
func (b *bench) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
	b.say(format, args...)
}

// logTail is how much of a log is shown of a process that ended.
const logTail = 5

// each measures the sides in turn, repeatedly, every other time in reverse: none always
// follows the same one. The others idle meanwhile. A side that fails does not end the
// others' measurements.
func (b *bench) each(ctx context.Context, sides []*side, repeats int, what string, do func(n int, s *side) error) error {
	b.say("%s", what)
	for n := range repeats {
		order := slices.Clone(sides)
		if n%2 == 1 {
			slices.Reverse(order)
		}
		for _, s := range order {
			if s.gone {
				continue
			}
			b.calm(ctx)
			err := do(n, s)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				b.note("%s, %s: %v", s.title(), what, err)
			}
			if program := s.lost(); program != nil {
				s.gone = true
				b.note("%s ended by itself during: %s. Its last words:\n%s", s.title(), what, process.Tail(program.LogFile, logTail))
			}
		}
	}
	return nil
}

// calm has the disk finish what the last measurement began.
func (b *bench) calm(ctx context.Context) {
	_ = exec.CommandContext(ctx, "sync").Run()
	select {
	case <-ctx.Done():
	case <-time.After(b.duration / 10):
	}
}

// warmUp is to make connections, and to have programs read what they need.
func (b *bench) warmUp(ctx context.Context, sides []*side) error {
	return b.each(ctx, sides, 1, "warm up", func(_ int, s *side) error {
		for i, server := range s.servers {
			r := server.target.Creates(ctx, fmt.Sprintf("/registry/warmup/%d", i), 16, b.duration/4)
			b.tally.operate(s.title(), "warm up", r)
		}
		return nil
	})
}

// keep copies the logs if that is wanted.
func (b *bench) keep() error {
	if b.keepLogs == "" {
		return nil
	}
	return os.CopyFS(b.keepLogs, os.DirFS(filepath.Join(b.dir, "logs")))
}

func (b *bench) write(header string) error {
	var out bytes.Buffer
	fmt.Fprintln(&out, header)
	if err := b.report.Write(&out); err != nil {
		return err
	}
	notes := append(b.notes, b.tally.sentences()...)
	if len(notes) > 0 {
		fmt.Fprint(&out, "\n### Notes\n\n")
	}
	for _, note := range notes {
		fmt.Fprintf(&out, "- %s\n", note)
	}
	if _, err := os.Stdout.Write(out.Bytes()); err != nil || b.markdown == "" {
		return err
	}
	return os.WriteFile(b.markdown, out.Bytes(), 0o644)
}
