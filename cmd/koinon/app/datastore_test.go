package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/cmd/koinon/app/datastorecmd"
	"github.com/koinon-io/koinon/pkg/storage"
	"github.com/koinon-io/koinon/pkg/storage/admin"
)

// run runs koinon and returns what it writes.
func run(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd := NewCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err = cmd.ExecuteContext(ctx)
	return out.String(), errs.String(), err
}

// mustRun runs koinon datastore.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, err := run(t.Context(), append([]string{"datastore"}, args...)...)
	if err != nil {
		t.Fatalf("koinon datastore %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return stdout
}

func TestDatastoreHelp(t *testing.T) {
	var got strings.Builder
	var help func(cmd *cobra.Command)
	help = func(cmd *cobra.Command) {
		got.WriteString("$ " + cmd.CommandPath() + " --help\n")
		cmd.SetOut(&got)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		got.WriteString("\n")
		for _, sub := range cmd.Commands() {
			help(sub)
		}
	}
	root := NewCommand()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "datastore" {
			help(cmd)
		}
	}
	golden := filepath.Join("testdata", "datastore-help.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("go test ./cmd/koinon/app -update writes the golden file (-want +got):\n%s", diff)
	}
}

// TestDatastoreErrors: each is one sentence, and none has the password.
func TestDatastoreErrors(t *testing.T) {
	t.Chdir(t.TempDir()) // the default data directory is in it
	dir := t.TempDir()
	dsn := "mysql://koinon:hunter2@127.0.0.1:1/koinon"
	backup := filepath.Join(dir, "backup")
	if err := os.WriteFile(backup, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("UNREADABLE", "koinon:hunter2@host")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"a command that is a datastore":      {[]string{dsn}, "unknown command"},
		"no file":                            {[]string{"backup"}, "koinon datastore backup takes a FILE, and 0 arguments were given"},
		"too many arguments":                 {[]string{"status", dsn}, "koinon datastore status takes no arguments, and 1 were given"},
		"one argument for migrate":           {[]string{"migrate", dsn}, "takes FROM and TO, and 1 arguments were given"},
		"a datastore instead of a file":      {[]string{"restore", dsn}, "a datastore was given where a file is expected"},
		"no database":                        {[]string{"status", "--data-dir", dir}, "the sqlite database " + filepath.Join(dir, storage.DefaultFile) + " is not there"},
		"no backup":                          {[]string{"restore", "--data-dir", filepath.Join(dir, "new"), filepath.Join(dir, "none")}, "none is not there"},
		"a backup that is none":              {[]string{"restore", "--data-dir", filepath.Join(dir, "new"), backup}, "it is cut off, was changed, or is no backup of a datastore"},
		"a bump that is negative":            {[]string{"restore", "--bump-revision=-1", backup}, "--bump-revision is -1: it must be 0 or more"},
		"a keep that is negative":            {[]string{"compact", "--keep=-1"}, "--keep is -1: it must be 0 or more"},
		"an output that is neither":          {[]string{"status", "-o", "yaml"}, `--output is "yaml": it must be text or json`},
		"a schema of nothing":                {[]string{"schema", "--kind", "etcd"}, `there is no schema for "etcd"`},
		"a source without scheme":            {[]string{"migrate", "koinon:hunter2@host", dsn}, "FROM has no scheme"},
		"a target that is not readable":      {[]string{"migrate", "sqlite:///a.db", "mysql://koinon:hunter2@tcp(host"}, "TO is not readable"},
		"a source in a variable":             {[]string{"migrate", "env:UNREADABLE", dsn}, "FROM has no scheme"},
		"a variable that is not set":         {[]string{"migrate", "env:UNSET", dsn}, "FROM is in the environment variable UNSET, which is not set"},
		"an empty target":                    {[]string{"migrate", dsn, ""}, "TO is empty"},
		"a password file for SQLite":         {[]string{"migrate", "--from-password-file=x", "sqlite:///a.db", dsn}, "--from-password-file is given, but a sqlite database takes no password"},
		"a password file that is not there":  {[]string{"status", "--datastore", "mysql://koinon@127.0.0.1:1/k", "--datastore-password-file", filepath.Join(dir, "none")}, "--datastore-password-file: open"},
		"a scheme with a password before it": {[]string{"status", "--datastore", "koinon:hunter2@tcp(host)/k?a=http://x"}, "unknown scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := run(t.Context(), append([]string{"datastore"}, c.args...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want one line with %q", err, c.want)
			}
			if strings.Contains(stdout+stderr+err.Error(), "hunter2") {
				t.Errorf("the password was written: %s%s%v", stdout, stderr, err)
			}
		})
	}
	if _, err := os.Stat(defaultDataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a data directory was made for nothing: %v", err)
	}
}

// TestDatastoreCommands goes through all of them, on SQLite.
func TestDatastoreCommands(t *testing.T) {
	dir := t.TempDir()
	data, backup := filepath.Join(dir, "data"), filepath.Join(dir, "backup")
	store, err := storage.Open(t.Context(), storage.Config{DataDir: data})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"/a", "/b"} {
		if _, err := store.Claim(t.Context(), key, "value"); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(data, storage.DefaultFile)

	want := "Backed up 2 keys of the sqlite database " + file + " at revision 3.\n"
	if got := mustRun(t, "backup", "--data-dir", data, backup); got != want {
		t.Errorf("backup: got %q, want %q", got, want)
	}

	fresh := filepath.Join(dir, "fresh")
	freshFile := filepath.Join(fresh, storage.DefaultFile)
	want = "Restored 2 keys at revision 3 of the backup " + backup + " to the sqlite database " + freshFile + ", where revisions go on above 1000000003.\n"
	if got := mustRun(t, "restore", "--data-dir", fresh, backup); got != want {
		t.Errorf("restore: got %q, want %q", got, want)
	}
	if opened, err := openDataDir(fresh); err != nil {
		t.Errorf("a server does not take the directory: %v", err)
	} else {
		_ = opened.Close()
	}

	if _, _, err := run(t.Context(), "datastore", "restore", "--data-dir", dir, backup); err == nil || !strings.Contains(err.Error(), "is not empty and was not made by koinon") {
		t.Errorf("restore into a directory of something else: got %v", err)
	}

	t.Setenv("FROM", "sqlite://"+freshFile)
	moved := filepath.Join(dir, "moved.db")
	want = "Copied 2 keys at revision 1000000003 of the sqlite database " + freshFile + " to the sqlite database " + moved + ".\n"
	if got := mustRun(t, "migrate", "env:FROM", "sqlite://"+moved); got != want {
		t.Errorf("migrate: got %q, want %q", got, want)
	}

	t.Setenv(datastorecmd.Variable, "sqlite://"+moved)
	var status admin.Status
	if err := json.Unmarshal([]byte(mustRun(t, "status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	if *status.Keys != 2 || status.Revision != 1000000003 || status.Datastore != "sqlite database "+moved {
		t.Errorf("status: got %+v", status)
	}
	for _, want := range []string{"Datastore     sqlite database " + moved + "\n", "Revision      1000000003\n", "Keys          2\n", "Used by       nobody\n"} {
		if got := mustRun(t, "status"); !strings.Contains(got, want) {
			t.Errorf("status: got %q, want %q", got, want)
		}
	}
	want = "The sqlite database " + moved + " was compacted to revision 1000000003 already, deleted 0 rows, size "
	if got := mustRun(t, "compact"); !strings.HasPrefix(got, want) {
		t.Errorf("compact: got %q, want %q", got, want)
	}
	if got := mustRun(t, "schema"); strings.Count(got, "CREATE TABLE IF NOT EXISTS") != 3 {
		t.Errorf("schema: got %q", got)
	}
}

func TestWhatIsInterruptedSaysWhatThatMeans(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	store, err := storage.Open(t.Context(), storage.Config{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err = run(ctx, "datastore", "backup", "--data-dir", dir, filepath.Join(dir, "backup"))
	if err == nil || err.Error() != "interrupted: there is no new backup" {
		t.Errorf("got %v", err)
	}
}

func TestADatabaseThatWasEmptiedIsNotBegunAnew(t *testing.T) {
	path := t.TempDir()
	dir, err := openDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	database := dir.file("koinon.db")
	if err := os.WriteFile(database, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dir.refuseEmptied(""); err != nil {
		t.Errorf("a first start that was killed: %v", err)
	}
	if err := os.Mkdir(dir.file(pkiName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := dir.refuseEmptied(""); err == nil || !strings.Contains(err.Error(), database) {
		t.Errorf("an emptied database got %v", err)
	}
	if err := dir.refuseEmptied("mysql://u@127.0.0.1/x"); err != nil {
		t.Errorf("another datastore: %v", err)
	}
	if err := os.Remove(database); err != nil {
		t.Fatal(err)
	}
	if err := dir.refuseEmptied(""); err != nil {
		t.Errorf("whoever removes it begins anew: %v", err)
	}
}
