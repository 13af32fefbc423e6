package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/storebench/load"
	"github.com/koinon-io/koinon/test/storebench/serve"
)

type options struct {
	stores, parts           []string
	repeats                 int
	duration, sparse, idle  time.Duration
	keys, valueBytes        int
	connections, watchers   int
	versions                int
	replay                  time.Duration
	dir, markdown, keepLogs string
}

// quick makes everything small.
func (o options) quick() options {
	o.repeats, o.keys, o.watchers = 1, 1000, 5
	o.duration, o.sparse, o.idle = 250*time.Millisecond, 2*time.Second, 2*time.Second
	o.versions, o.replay = 2000, 5*time.Second
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
	if o.repeats < 1 || o.duration <= 0 || o.valueBytes < 1 || o.connections < 1 || o.watchers < 1 || o.versions < 1 || o.replay <= 0 || o.keys < 200 || o.keys%200 != 0 {
		return errors.New("--keys must be a multiple of 200, and --repeats, --duration, --value-bytes, --connections, --watchers, --versions and --replay above 0")
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
	// names is how many unique ones were given out.
	names int
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
	{"history", 1, putsAtOnce, (*bench).history, (*bench).historyAims},
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
	if err != nil || len(sides) == 0 {
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

// lastWords of a program that ended by itself: what it says of the reason, otherwise the
// end of its log.
func lastWords(logFile string) string {
	const most, width = 3, 200
	data, _ := os.ReadFile(logFile)
	var words []string
	for line := range strings.Lines(string(data)) {
		for _, mark := range []string{"got signal", "Query (", "panic:", "fatal"} {
			if strings.Contains(line, mark) && len(words) < most {
				words = append(words, line[:min(len(line)-1, width)])
				break
			}
		}
	}
	if len(words) == 0 {
		return process.Tail(logFile, most)
	}
	return strings.Join(words, "\n")
}

// attempts is how often a measurement is made at most, if processes end during it.
const attempts = 3

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
			for attempt := 1; !s.gone; attempt++ {
				done := b.once(ctx, s, what, func() error { return do(n, s) })
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if done {
					break
				}
				s.gone = s.gone || attempt == attempts
			}
		}
	}
	return nil
}

// once measures a side. It returns false if one of its processes ended meanwhile: the
// figures do not count then, and the process is started again.
func (b *bench) once(ctx context.Context, s *side, what string, do func() error) bool {
	b.calm(ctx)
	s.pending = nil
	err := do()
	lost := s.lost()
	if len(lost) == 0 || ctx.Err() != nil {
		if err != nil {
			b.note("%s, %s: %v", s.title(), what, err)
		}
		for _, add := range s.pending {
			add()
		}
		return true
	}
	for _, p := range lost {
		b.tally.crash(s.title())
		b.note("%s, %s: %s ended by itself; the measurement was made again. Its last words:\n\n%s\n", s.title(), what, p.Name,
			indented(lastWords(p.LogFile)))
	}
	if err := s.revive(ctx, lost); err != nil {
		s.gone = true
		b.note("%s, %s: it did not start again, and was not measured any more: %v", s.title(), what, err)
	}
	return false
}

// indented is the form of code in Markdown.
func indented(text string) string {
	return "      " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      ")
}

// add adds a figure, once it is known that all processes survived the measurement. Times of
// operations none of which succeeded are no figure.
func (b *bench) add(s *side, m report.Measure, value float64) {
	if math.IsNaN(value) {
		return
	}
	s.pending = append(s.pending, func() { b.report.Add(s.title(), m, value) })
}

// operated counts the operations that failed.
func (b *bench) operated(s *side, what string, r load.Result) {
	s.pending = append(s.pending, func() { b.tally.operate(s.title(), what, r) })
}

// unique is a name that was not used before.
func (b *bench) unique(name string) string {
	b.names++
	return fmt.Sprintf("%s-%d", name, b.names)
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
		for _, server := range s.servers {
			b.operated(s, "warm up", server.target.Creates(ctx, b.unique("/registry/warmup"), 16, b.duration/4))
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
