package admin

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/storage/embedded"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// tryToServe starts a server and ends it.
func tryToServe(t *testing.T, value string) error {
	t.Helper()
	store, err := embedded.Open(t.Context(), mustParse(t, value).datastore, embedded.Config{})
	if err != nil {
		return err
	}
	return store.Close()
}

// TestServersRefuseAMariaDBThatARestoreHasNotFilledYet starts a server before every statement
// of a restore: what the database shows then is what it shows if the restore is killed there.
func TestServersRefuseAMariaDBThatARestoreHasNotFilledYet(t *testing.T) {
	source := sqlite(t)
	client, stop := serve(t, source)
	fill(t, client)
	path, _ := mustBackup(t, source)
	want := contents(t, source, true)
	stop()
	server := storagetest.StartMariaDB(t)
	proxy := storagetest.StartProxy(t, server.Address)
	direct := server.NewDatabase(t)
	_, name, _ := strings.Cut(direct, "/")
	var begun atomic.Bool
	came := map[string]int{}
	proxy.Before(func(statement string) {
		if begun.Load() {
			err := tryToServe(t, "mysql://"+direct)
			switch {
			case err != nil && strings.Contains(err.Error(), "run that command again"):
				came["refused"]++
			case err != nil:
				t.Errorf("before %.80q a server says %v, want what to do", statement, err)
			default:
				came["complete"]++
				if diff := cmp.Diff(want, contents(t, "mysql://"+direct, true)); diff != "" {
					t.Errorf("before %.80q a server starts (-want +got):\n%.500s", statement, diff)
				}
			}
		}
		if strings.Contains(statement, "CREATE TABLE") {
			begun.Store(true)
		}
	})
	mustRestore(t, "mysql://"+proxy.DSN(name), path, false)
	proxy.Before(nil)
	t.Logf("servers find %v", came)
	if came["refused"] == 0 || came["complete"] == 0 {
		t.Errorf("servers find %v: want some that is refused, and some that is complete", came)
	}
	if err := tryToServe(t, "mysql://"+direct); err != nil {
		t.Error(err)
	}
}

// TestWhatWasBegunAndNotFilledCanBeGivenUp: a copy was killed as soon as it had noted that it
// has begun.
func TestWhatWasBegunAndNotFilledCanBeGivenUp(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		value := sqlite(t)
		if err := os.WriteFile(strings.TrimPrefix(value, "sqlite://")+"-unfinished", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		canBeGivenUp(t, value)
	})
	t.Run("MariaDB", func(t *testing.T) {
		server := storagetest.StartMariaDB(t)
		dsn := server.NewDatabase(t)
		_, name, _ := strings.Cut(dsn, "/")
		meta := strings.Replace(sqllog.MySQLSchema()[0], "koinon_meta", name+".koinon_meta", 1)
		server.Exec(t, "CREATE DATABASE "+name, meta+" COMMENT='made by a restore or migration'")
		canBeGivenUp(t, "mysql://"+dsn)
	})
}

func canBeGivenUp(t *testing.T, value string) {
	t.Helper()
	store := mustParse(t, value)
	if err := tryToServe(t, value); err == nil || !strings.Contains(err.Error(), "run that command again") {
		t.Fatalf("a server: %v", err)
	}
	if status, err := Inspect(t.Context(), store, StatusOptions{}); err == nil || !status.Reachable || !status.RestoreUnfinished {
		t.Errorf("its status: %+v, %v", status, err)
	}
	if _, err := Backup(t.Context(), store, filepath.Join(t.TempDir(), "backup"), BackupOptions{}); err == nil {
		t.Error("there is a backup of it")
	}
	if _, err := Compact(t.Context(), store, CompactOptions{}); err == nil {
		t.Error("it is compacted")
	}
	if _, err := Compact(t.Context(), store, CompactOptions{DiscardStaged: true, Warn: func(string) {}}); err != nil {
		t.Fatal(err)
	}
	if err := tryToServe(t, value); err != nil {
		t.Error(err)
	}
}

// TestNoBackupIsMadeOfWhatIsNotFilledYet: it would have no keys.
func TestNoBackupIsMadeOfWhatIsNotFilledYet(t *testing.T) {
	value := sqlite(t)
	log, err := mustParse(t, value).log(t.Context(), sqllog.MakeTablesToFill)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Backup(t.Context(), mustParse(t, value), filepath.Join(t.TempDir(), "backup"), BackupOptions{})
	if !errors.Is(err, sqllog.ErrUnfinished) {
		t.Errorf("got %v", err)
	}
}
