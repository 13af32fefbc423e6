package storesuite

import (
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/storesuite/testserver"
)

const (
	// longVariable asks for the stores that are left out otherwise.
	longVariable = "KOINON_LONG"
	// patternVariable is a pattern of tests to run, as for go test -run. Exceptions are not
	// held to be stale then.
	patternVariable = "KOINON_SUITE_RUN"
)

// store is something that the suites run against.
type store struct {
	// long says that it runs only if asked for.
	long bool
	// start returns --datastore values, with blanks between.
	start func(t *testing.T) string
}

var stores = map[string]store{
	"SQLite":  {start: func(*testing.T) string { return "sqlite://" }},
	"MariaDB": {start: startMariaDB()},
	// As each of three servers that replicate to one another numbers rows.
	"MariaDBInterleaved": {long: true, start: startMariaDB("--auto-increment-increment=3", "--auto-increment-offset=2")},
	"Galera":             {long: true, start: startGalera},
	"Given":              {start: given},
}

func TestKubernetesSuites(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	workspace := newWorkspace(t)
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			if store.long && os.Getenv(longVariable) == "" {
				t.Skipf("set %s=1 to run it", longVariable)
			}
			t.Parallel() // the suites mostly wait
			runSuites(t, workspace, name, store.start(t))
		})
	}
}

func newWorkspace(t *testing.T) *Workspace {
	t.Helper()
	begin := time.Now()
	workspace, err := NewWorkspace(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, suite := range Suites {
		if err := workspace.Build(t.Context(), suite); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("compiled in %s", time.Since(begin).Round(time.Second))
	return workspace
}

// runSuites runs the suites side by side.
func runSuites(t *testing.T, workspace *Workspace, name, datastores string) {
	begin := time.Now()
	results := Results{}
	var mu sync.Mutex // guards results
	var running sync.WaitGroup
	for _, suite := range Suites {
		running.Go(func() {
			found := run(t, workspace, suite, datastores, os.Getenv(patternVariable))
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(results, found)
		})
	}
	running.Wait()
	for _, suite := range Suites {
		if pattern := results.HastyOnes(suite); pattern != "" {
			t.Logf("%s of %s failed and is tried again", pattern, suite)
			results.Replace(suite, run(t, workspace, suite, datastores, pattern))
		}
	}
	verdict := Judge(name, results, Exceptions)
	t.Log(verdict.Summary(time.Since(begin)))
	report(t, verdict, results)
}

func run(t *testing.T, workspace *Workspace, suite Suite, datastores, pattern string) Results {
	results, err := workspace.Run(t.Context(), suite, datastores, pattern)
	if err != nil {
		t.Error(err)
	}
	return results
}

func report(t *testing.T, verdict Verdict, results Results) {
	t.Helper()
	if verdict.Cases == 0 {
		t.Error("there was no case")
	}
	for _, name := range verdict.Failed {
		t.Errorf("%s failed:\n%s", name, results[name].Output)
	}
	if os.Getenv(patternVariable) != "" {
		return
	}
	for _, stale := range verdict.Stale {
		t.Errorf("an exception is stale: %s", stale)
	}
}

// startMariaDB runs a server with further options. It waits for no disk: see tempDir.
func startMariaDB(options ...string) func(t *testing.T) string {
	return func(t *testing.T) string {
		options := append([]string{"--innodb-flush-log-at-trx-commit=2"}, options...)
		return "mysql://" + storagetest.StartMariaDB(t, options...).NewDatabase(t)
	}
}

// startGalera runs a cluster; every store gets the next of its nodes.
func startGalera(t *testing.T) string {
	var values []string
	for _, node := range storagetest.StartGalera(t, 3).Nodes {
		values = append(values, "mysql://"+node.NewDatabase(t))
	}
	return strings.Join(values, " ")
}

// given is what the caller has started.
func given(t *testing.T) string {
	values := os.Getenv(testserver.DatastoreVariable)
	if values == "" {
		t.Skipf("set %s to --datastore values to run it", testserver.DatastoreVariable)
	}
	return values
}
