package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/bench/workload"
)

// The names of the contenders in tables.
const (
	ours   = "koinon"
	theirs = "CRDs"
)

// namespace of the objects that are listed.
const namespace = "shop"

// warmUp is how many objects are made and deleted first: code that is needed once, such as
// the schemas of templates, would else count as memory of objects.
const warmUp = 50

type options struct {
	objects, template, repeats int
	duration                   time.Duration
	watchers, updates          int
	markdown, keepLogs         string
}

func (o options) validate() error {
	if o.objects < 10*o.repeats || o.repeats < 1 || o.updates > o.objects || o.updates < 1 || o.watchers < 1 {
		return fmt.Errorf("--objects must be at least 10 times --repeats and at least --updates, and none of them 0")
	}
	return nil
}

// bench is one run.
type bench struct {
	options
	config  contender.Config
	report  *report.Report
	sides   []side
	started time.Time
}

// side is one contender, and the way to work on it.
type side struct {
	contender.Contender
	*workload.Target
}

func run(ctx context.Context, o options) (err error) {
	if err := o.validate(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "koinon-bench-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	config, err := contender.Built(dir)
	if err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	b := &bench{options: o, report: report.New(ours, theirs), started: time.Now(), config: config}
	defer func() { err = errors.Join(err, b.stop(context.WithoutCancel(ctx))) }()
	if err := b.measure(ctx); err != nil {
		return err
	}
	return b.write()
}

// measure is the list of what is measured.
func (b *bench) measure(ctx context.Context) error {
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"start koinon on empty directories", b.measureStart},
		{"start both", b.startBoth},
		{"memory without objects", b.memoryEmpty},
		{"create", b.create},
		{"memory with objects", b.memoryFull},
		{"list", b.list},
		{"get", b.get},
		{"watch", b.watch},
		{"list after a restart", b.firstList},
	} {
		b.say(part.name)
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	b.aims()
	return nil
}

// say tells the person who waits.
func (b *bench) say(what string) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(b.started).Seconds(), what)
}

// both does something to each side in turn, repeatedly; the other side idles meanwhile.
func (b *bench) both(repeats int, do func(n int, s side) error) error {
	for n := range repeats {
		for _, s := range b.sides {
			if err := do(n, s); err != nil {
				return fmt.Errorf("%s: %w", s.Name(), err)
			}
		}
	}
	return nil
}

// measureStart starts the whole control plane on empty directories, one after the other.
func (b *bench) measureStart(ctx context.Context) error {
	for n := range b.repeats {
		k, err := contender.NewKoinon(b.config, fmt.Sprintf("empty-%d", n))
		if err != nil {
			return err
		}
		if err := b.measureOneStart(ctx, k); err != nil {
			return errors.Join(err, k.Stop(context.WithoutCancel(ctx)))
		}
		if err := k.Stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startGroup is of the whole control plane; the rest is of API servers alone.
const startGroup = "koinon server, all components, on an empty directory"

var (
	startToReady = report.Measure{Group: startGroup, Name: "process start to ready", Unit: "s"}
	idleRSS      = report.Measure{Group: startGroup, Name: "idle RSS", Unit: "MiB"}
	idlePSS      = report.Measure{Group: startGroup, Name: "idle PSS", Unit: "MiB"}
)

// idle is how long a server does nothing before its memory is called idle.
const idle = 10 * time.Second

func (b *bench) measureOneStart(ctx context.Context, k *contender.Koinon) error {
	began := time.Now()
	if err := k.StartOnAnyPort(ctx); err != nil {
		return err
	}
	b.report.Add(ours, startToReady, time.Since(began).Seconds())
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(idle):
	}
	m := contender.ReadMemory(k.Processes()[0].PID)
	b.report.Add(ours, idleRSS, m.RSS/mebi)
	b.report.Add(ours, idlePSS, m.PSS/mebi)
	return nil
}

func (b *bench) startBoth(ctx context.Context) error {
	k, err := contender.StartKoinon(ctx, b.config)
	if k != nil {
		b.sides = append(b.sides, side{Contender: k})
	}
	if err != nil {
		return err
	}
	c, err := contender.StartCRDs(ctx, b.config)
	if c != nil {
		b.sides = append(b.sides, side{Contender: c})
	}
	if err != nil {
		return err
	}
	for i, s := range b.sides {
		config, err := s.RESTConfig()
		if err != nil {
			return err
		}
		b.sides[i].Target = workload.NewTarget(config, b.template)
		if err := contender.MakeNamespaces(ctx, s, namespace); err != nil {
			return err
		}
	}
	return nil
}

// stop ends what runs, keeps the logs if that is wanted, and removes the rest.
func (b *bench) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var errs []error
	for _, s := range b.sides {
		errs = append(errs, s.Stop(ctx))
	}
	if b.keepLogs != "" {
		errs = append(errs, b.copyLogs())
	}
	return errors.Join(append(errs, os.RemoveAll(b.config.Dir))...)
}

func (b *bench) copyLogs() error {
	if err := os.MkdirAll(b.keepLogs, 0o700); err != nil {
		return fmt.Errorf("keep logs: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(b.config.Dir, "*", "*.log"))
	for _, file := range files {
		name := strings.ReplaceAll(strings.TrimPrefix(file, b.config.Dir+"/"), "/", "-")
		data, readErr := os.ReadFile(file)
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(b.keepLogs, name), data, 0o600))
	}
	return err
}

func (b *bench) write() error {
	var tables bytes.Buffer
	fmt.Fprintf(&tables, "%s\n\n", report.Machine())
	if err := b.report.Write(&tables); err != nil {
		return err
	}
	if _, err := os.Stdout.Write(tables.Bytes()); err != nil || b.markdown == "" {
		return err
	}
	return os.WriteFile(b.markdown, tables.Bytes(), 0o644)
}
