package sqllog

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/storage/fault"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// sqliteFile makes an empty file in a directory.
func sqliteFile(t *testing.T, dir string) SQLiteConfig {
	t.Helper()
	config := SQLiteConfig{Path: filepath.Join(dir, "log.db"), Name: "test database"}
	if err := os.WriteFile(config.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

func mustOpenSQLite(t *testing.T, config SQLiteConfig) *Log {
	t.Helper()
	l, err := OpenSQLite(t.Context(), config)
	return opened(t, l, err)
}

// A read that finds all connections busy makes another one. That must not need what a writer
// has, which may be nothing: a disk without room.
func TestReadersOfSQLiteConnectWhileSomebodyHasTheWriteLock(t *testing.T) {
	l := mustOpenSQLite(t, sqliteFile(t, t.TempDir()))
	mustAppend(t, l, "x")
	lock, err := l.writes.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Rollback() }()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // less than who waits for the lock is given
	defer cancel()
	for range defaultOpenConnections { // all at a time, so that each is a new one
		conn, err := l.reads.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if mark, err := l.mark(ctx, conn); err != nil || mark.Tail != 2 {
			t.Fatalf("got %+v, %v", mark, err)
		}
	}
}

// How a server was left before somebody reads what it has written.
var leftBehind = map[string]func(t *testing.T, dir string){
	"nobody": func(*testing.T, string) {},
	"a server that was killed, and its log": func(t *testing.T, dir string) {
		for _, name := range []string{"log.db-wal", "log.db-shm"} {
			keep(t, dir, name)
		}
	},
	"a copy of a file and its log": func(t *testing.T, dir string) { keep(t, dir, "log.db-wal") },
}

// keep has the state of a file come back when the test says so: at the end of use, SQLite
// removes what a killed process leaves.
func keep(t *testing.T, dir, name string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".kept"), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// putBack has the files as they were kept.
func putBack(t *testing.T, dir string) {
	t.Helper()
	kept, err := filepath.Glob(filepath.Join(dir, "*.kept"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range kept {
		if err := os.Rename(name, strings.TrimSuffix(name, ".kept")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSQLiteIsReadWhereNothingCanBeWritten(t *testing.T) {
	disks := map[string]func(t *testing.T, dir string){
		"a disk with room": func(*testing.T, string) {},
		"a full disk":      func(t *testing.T, dir string) { storagetest.FillDisk(t, dir) },
		"a read-only disk": func(t *testing.T, dir string) { storagetest.MakeReadOnly(t, dir) },
	}
	for disk, spoil := range disks {
		for left, leave := range leftBehind {
			t.Run(disk+", left by "+left, func(t *testing.T) {
				dir := storagetest.SmallDisk(t, 8<<20)
				config := sqliteFile(t, dir)
				l, err := OpenSQLite(t.Context(), config)
				if err != nil {
					t.Fatal(err)
				}
				mustAppend(t, l, "a", "b")
				want := contents(t, l)
				leave(t, dir)
				file := read(t, config.Path)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if left != "nobody" {
					write(t, config.Path, file) // without what is in the log
				}
				putBack(t, dir)
				spoil(t, dir)
				config.Tables = ReadTables
				if diff := cmp.Diff(want, contents(t, mustOpenSQLite(t, config))); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReadingAloneEndsWhenSomebodyHasWritten(t *testing.T) {
	config := sqliteFile(t, t.TempDir())
	l, err := OpenSQLite(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, "a")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	config.Tables = ReadTables
	l, err = readSQLiteAlone(t.Context(), config)
	l = opened(t, l, err)
	snapshot, err := l.Snapshot(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	write(t, config.Path+"-wal", []byte("x")) // another process has begun to
	if err := snapshot.Each(t.Context(), func(Record) error { return nil }); err == nil || !strings.Contains(err.Error(), "run it again") {
		t.Errorf("got %v", err)
	}
}

func TestWhatReadsSQLiteLeavesTheFileAsItIs(t *testing.T) {
	config := sqliteFile(t, t.TempDir())
	db, err := sql.Open("sqlite3", config.Path) // as another program makes it
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"CREATE TABLE kine (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO kine VALUES (7, 'a')"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before := read(t, config.Path)
	config.Tables = ForeignTables
	l, err := OpenSQLite(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if tail, err := l.KineTail(t.Context()); err != nil || tail != 7 {
		t.Errorf("got %d, %v", tail, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, read(t, config.Path)); diff != "" {
		t.Errorf("the file was changed (-want +got):\n%s", diff)
	}
}

func TestAGrownSQLiteFileGivesBackWhatIsFree(t *testing.T) {
	config := sqliteFile(t, t.TempDir())
	l := mustOpenSQLite(t, config)
	large := strings.Repeat("x", 1<<20)
	for i := range 24 {
		mustAppend(t, l, fmt.Sprint(i)+large)
	}
	mark := mustAppend(t, l, "last")
	if _, err := l.Compact(t.Context(), mark.Tail); err != nil {
		t.Fatal(err)
	}
	var gone []int64
	for revision := int64(2); revision < mark.Tail; revision++ {
		gone = append(gone, revision)
	}
	if err := l.Delete(t.Context(), mark.Epoch, gone); err != nil {
		t.Fatal(err)
	}
	steps := 0
	for more := true; more; steps++ {
		var err error
		if more, err = l.Shrink(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if steps < 3 {
		t.Errorf("it took %d steps: writers wait while one is made", steps)
	}
	info, err := os.Stat(config.Path)
	if err != nil || info.Size() > 1<<20 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

// Clients are told the reason, and operators where the database is, too.
func TestADatabaseThatIsUnfitIsNamedToOperatorsOnly(t *testing.T) {
	config := SQLiteConfig{Path: filepath.Join(t.TempDir(), "log.db"), Name: "sqlite database /srv/koinon.db"}
	l, err := OpenSQLite(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.writes.ExecContext(t.Context(), "UPDATE koinon_meta SET layout = 99"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = OpenSQLite(t.Context(), config)
	what := fault.Of(err)
	if what.Kind != fault.Unfit || strings.Contains(what.Reason, "koinon.db") || !strings.Contains(what.Reason, "it has tables of layout 99") {
		t.Errorf("clients are told: %s: %s", what.Kind, what.Reason)
	}
	if err == nil || !strings.Contains(err.Error(), config.Name) {
		t.Errorf("operators are told: %v", err)
	}
}
