package storesuite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/koinon-io/koinon/test/storesuite/testserver"
)

const (
	// suiteTimeout is how long the tests of one suite may take. With etcd it is two minutes.
	suiteTimeout = 15 * time.Minute
	// parallel is how many parallel tests run at a time. go test has as many as there are
	// processors, and on one or two of them TestGet fails at times, with etcd as well: its
	// object lives for a second, and a subtest that takes three holds up the others.
	parallel = 4
)

// Status is how a test has ended.
type Status string

// The ends of a test, in the words of `go test -json`.
const (
	Passed  Status = "pass"
	Failed  Status = "fail"
	Skipped Status = "skip"
	// Unfinished is a test that began and did not end: the process died in it.
	Unfinished Status = "run"
)

// Result is what one test has come to.
type Result struct {
	Status Status
	// Output is what the test itself has written, without that of its subtests.
	Output string
}

func (r Result) failed() bool { return r.Status == Failed || r.Status == Unfinished }

// Results maps names to what has become of them: of a suite, as in "cacher", of its tests,
// as in "cacher.TestGet", and of their subtests, as in "cacher.TestGet/zero_RV".
type Results map[string]Result

// Run runs the tests of a suite that match a pattern, empty meaning all, against a store,
// given by --datastore values with blanks between. Failed tests are no error.
func (w *Workspace) Run(ctx context.Context, suite Suite, datastores, pattern string) (Results, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tests := exec.CommandContext(ctx, w.binary(suite), "-test.v=test2json", "-test.timeout="+suiteTimeout.String(),
		fmt.Sprintf("-test.parallel=%d", parallel), "-test.run="+pattern)
	tests.Dir = filepath.Join(w.apiserver, "pkg", "storage", string(suite))
	tests.Env = append(os.Environ(), testserver.DatastoreVariable+"="+datastores, "TMPDIR="+tempDir())
	convert := exec.CommandContext(ctx, "go", "tool", "test2json", "-p", string(suite))
	events, err := pipe(tests, convert)
	if err != nil {
		return nil, fmt.Errorf("start the tests of %s: %w", suite, err)
	}
	results, err := readResults(suite, events)
	if err != nil {
		cancel() // what is not read any more would wait for ever
	}
	ended, convertErr := tests.Wait(), convert.Wait()
	if err := errors.Join(err, convertErr); err != nil {
		return nil, fmt.Errorf("read the results of the tests of %s: %w", suite, err)
	}
	if ended != nil {
		results[string(suite)] = Result{Status: Failed, Output: results[string(suite)].Output + ended.Error()}
	}
	return results, nil
}

// tempDir is where tests keep their files: in memory, where there is such a place. etcd waits
// for no disk in these tests, and one of them allows 100 milliseconds for a write.
func tempDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// pipe starts two commands, and makes what the first one writes the input of the second,
// whose output it returns. A first command that is left alone, because this process was
// killed, ends when it next writes.
func pipe(first, second *exec.Cmd) (io.Reader, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = reader.Close(), writer.Close() }()
	first.Stdout, first.Stderr, second.Stdin, second.Stderr = writer, writer, reader, os.Stderr
	output, err := second.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := first.Start(); err != nil {
		return nil, err
	}
	if err := second.Start(); err != nil {
		_ = first.Process.Kill()
		_ = first.Wait()
		return nil, err
	}
	return output, nil
}

// event is a line of `go test -json`. The suite as a whole has no name in it.
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
		name := string(suite)
		if e.Test != "" {
			name += "." + e.Test
		}
		result := results[name]
		result.Output += e.Output
		if slices.Contains([]Status{Unfinished, Passed, Failed, Skipped}, Status(e.Action)) {
			result.Status = Status(e.Action)
		}
		results[name] = result
	}
}

// Cases returns, in order, the tests that have no subtests, and what has failed although
// nothing in it has.
func (r Results) Cases() []string {
	parents, explained := map[string]bool{}, map[string]bool{}
	for name, result := range r {
		for parent := parentOf(name); parent != ""; parent = parentOf(parent) {
			parents[parent] = true
			explained[parent] = explained[parent] || result.failed()
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(r)), func(name string) bool {
		isSuite := !strings.Contains(name, ".")
		return (isSuite || parents[name]) && (explained[name] || !r[name].failed())
	})
}

// parentOf returns the test that a subtest is part of, or the suite of a test.
func parentOf(name string) string {
	end := strings.LastIndex(name, "/")
	if end < 0 {
		end = max(strings.Index(name, "."), 0)
	}
	return name[:end]
}
