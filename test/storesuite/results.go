package storesuite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/koinon-io/koinon/test/storesuite/testserver"
)

// suiteTimeout is how long the tests of one suite may take. With etcd it is two minutes.
const suiteTimeout = 15 * time.Minute

// Status is how a test has ended.
type Status string

// The ends of a test, in the words of `go test -json`.
const (
	Passed  Status = "pass"
	Failed  Status = "fail"
	Skipped Status = "skip"
	// unfinished is a test that never ended: the process died, or was ended, in it.
	unfinished Status = "run"
)

// Result is what one test has come to.
type Result struct {
	Status Status
	// Output is what the test itself has written, without that of its subtests.
	Output string
}

// Results maps names of tests and subtests, as in "cacher.TestGet/zero_RV", to what they
// have come to.
type Results map[string]Result

// Run runs the tests of a suite that match a pattern (empty: all) against a store, given by
// --datastore values with blanks between. The error says why there are no results; failed
// tests are no error.
func (w *Workspace) Run(ctx context.Context, suite Suite, datastores, pattern string) (Results, error) {
	tests := exec.CommandContext(ctx, w.binary(suite), "-test.v=test2json", "-test.timeout="+suiteTimeout.String(), "-test.run="+pattern)
	tests.Dir = filepath.Join(w.apiserver, "pkg", "storage", string(suite))
	tests.Env = append(os.Environ(), testserver.DatastoreVariable+"="+datastores)
	convert := exec.CommandContext(ctx, "go", "tool", "test2json", "-p", string(suite))
	events, err := pipe(tests, convert)
	if err != nil {
		return nil, fmt.Errorf("start the tests of %s: %w", suite, err)
	}
	results, readErr := readResults(suite, events)
	// Failed tests and broken ones end alike; what is missing in the results tells.
	ended := tests.Wait()
	if err := errors.Join(readErr, convert.Wait(), ctx.Err()); err != nil {
		return nil, fmt.Errorf("read the results of %s: %w", suite, err)
	}
	if !results.explain(ended) {
		return nil, fmt.Errorf("the tests of %s ended with %w although none has failed", suite, ended)
	}
	return results, nil
}

// pipe starts both commands, the first one's output and complaints being the other's input.
func pipe(from, to *exec.Cmd) (io.Reader, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = reader.Close(), writer.Close() }()
	from.Stdout, from.Stderr, to.Stdin, to.Stderr = writer, writer, reader, os.Stderr
	output, err := to.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := to.Start(); err != nil {
		return nil, err
	}
	if err := from.Start(); err != nil {
		// Without its input the other one ends by itself.
		return nil, err
	}
	return output, nil
}

// event is a line of `go test -json`.
type event struct {
	Action string
	Test   string
	Output string
}

func readResults(suite Suite, events io.Reader) (Results, error) {
	results := Results{}
	for lines := json.NewDecoder(events); ; {
		var e event
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			return results, nil
		} else if err != nil {
			return nil, fmt.Errorf("read a test event: %w", err)
		}
		if e.Test == "" {
			continue
		}
		name := string(suite) + "." + e.Test
		result := results[name]
		result.Output += e.Output
		if slices.Contains([]Status{unfinished, Passed, Failed, Skipped}, Status(e.Action)) {
			result.Status = Status(e.Action)
		}
		results[name] = result
	}
}

// explain reports whether the results are in keeping with how the process has ended.
func (r Results) explain(ended error) bool {
	return ended == nil || slices.ContainsFunc(r.names(), func(name string) bool { return r.failed(name) })
}

func (r Results) names() []string {
	names := make([]string, 0, len(r))
	for name := range r {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Cases returns, in order, the tests that have no subtests, and those that failed although
// none of their subtests did.
func (r Results) Cases() []string {
	parents, explained := map[string]bool{}, map[string]bool{}
	for name := range r {
		failed := r.failed(name)
		for parent := parentOf(name); parent != ""; parent = parentOf(parent) {
			parents[parent] = true
			explained[parent] = explained[parent] || failed
		}
	}
	return slices.DeleteFunc(r.names(), func(name string) bool {
		return parents[name] && (explained[name] || !r.failed(name))
	})
}

// failed reports whether a test has failed, or has not ended.
func (r Results) failed(name string) bool {
	return r[name].Status == Failed || r[name].Status == unfinished
}

func parentOf(name string) string {
	return name[:max(strings.LastIndex(name, "/"), 0)]
}
