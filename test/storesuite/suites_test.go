package storesuite

import (
	"database/sql"
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
	"SQLite":             {start: func(*testing.T) string { return "sqlite://" }},
	"MariaDB":            {start: func(t *testing.T) string { return "mysql://" + storagetest.StartMariaDB(t).NewDatabase(t) }},
	"MariaDBInterleaved": {long: true, start: startInterleaved},
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
			found, err := workspace.Run(t.Context(), suite, datastores, os.Getenv(patternVariable))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(results, found)
		})
	}
	running.Wait()
	verdict := Judge(name, results, Exceptions)
	t.Log(verdict.Summary(time.Since(begin)))
	report(t, verdict, results)
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

// startInterleaved runs a server that leaves gaps between the numbers it gives out by
// itself, as each of three that replicate to each other does.
func startInterleaved(t *testing.T) string {
	name := storagetest.StartMariaDB(t).NewDatabase(t)
	server, _, _ := strings.Cut(name, "/")
	db, err := sql.Open("mysql", server+"/")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, setting := range []string{"auto_increment_increment = 3", "auto_increment_offset = 2"} {
		if _, err := db.ExecContext(t.Context(), "SET GLOBAL "+setting); err != nil {
			t.Fatalf("set %s: %v", setting, err)
		}
	}
	return "mysql://" + name
}

// given is what the caller has started.
func given(t *testing.T) string {
	values := os.Getenv(testserver.DatastoreVariable)
	if values == "" {
		t.Skipf("set %s to --datastore values to run it", testserver.DatastoreVariable)
	}
	return values
}
