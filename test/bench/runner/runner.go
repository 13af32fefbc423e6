// Package runner is what benchmarks of several rows have in common: a person chooses rows, one is measured after the other, and what they
// give is printed once all have been. What a row measures and prints is the benchmark's.
//
// A Run is used by one goroutine at a time, but for Say.
package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Row is one thing that is measured.
type Row interface {
	// RowName is one word.
	RowName() string
}

// Names of rows.
func Names[R Row](all []R) []string {
	var names []string
	for _, r := range all {
		names = append(names, r.RowName())
	}
	return names
}

// Selected returns the rows that a list of names, separated by commas, asks for: all if it is empty.
func Selected[R Row](all []R, list string) ([]R, error) {
	if list == "" {
		return all, nil
	}
	var chosen []R
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(all, func(r R) bool { return r.RowName() == name })
		if i < 0 {
			return nil, fmt.Errorf("--rows: %q is none of %s", name, strings.Join(Names(all), ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// Options are those of a run.
type Options struct {
	// Markdown is a file for what is printed, and KeepLogs a directory for logs. Empty: none.
	Markdown, KeepLogs string
}

// Run is one run of a benchmark.
type Run struct {
	// Dir is for files of the run. Logs are the files *.log of its directories.
	Dir string
	// Out is what is printed.
	Out bytes.Buffer

	options Options
	started time.Time
}

// Start makes a directory for a run of the benchmark of a name. Whoever calls it calls Clean.
func Start(name string, o Options) (*Run, error) {
	dir, err := os.MkdirTemp("", "koinon-"+name+"-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	return &Run{Dir: dir, options: o, started: time.Now()}, nil
}

// Say tells the person who waits.
func (r *Run) Say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(r.started).Seconds(), fmt.Sprintf(format, args...))
}

// Measure measures rows. One that fails does not hinder the others, which may be of use.
func Measure[R Row](r *Run, chosen []R, measure func(R) error) error {
	var errs []error
	for _, row := range chosen {
		r.Say("row %s", row.RowName())
		if err := measure(row); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", row.RowName(), err))
			r.Say("%v", err)
		}
	}
	return errors.Join(errs...)
}

// Print prints what there is, and writes it to the file.
func (r *Run) Print() error {
	if _, err := os.Stdout.Write(r.Out.Bytes()); err != nil || r.options.Markdown == "" {
		return err
	}
	return os.WriteFile(r.options.Markdown, r.Out.Bytes(), 0o644)
}

// Clean keeps the logs if that is wanted, and removes the rest.
func (r *Run) Clean() error {
	var errs []error
	if keep := r.options.KeepLogs; keep != "" {
		files, err := filepath.Glob(filepath.Join(r.Dir, "*", "*.log"))
		errs = append(errs, err, os.MkdirAll(keep, 0o700))
		for _, file := range files {
			data, err := os.ReadFile(file)
			name := filepath.Base(filepath.Dir(file)) + "-" + filepath.Base(file)
			errs = append(errs, err, os.WriteFile(filepath.Join(keep, name), data, 0o600))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(r.Dir))...)
}

// Main runs a benchmark as a program, which ends when it is told to or that takes too long.
func Main(name string, timeout time.Duration, run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}
