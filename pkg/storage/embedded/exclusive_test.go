package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
)

func TestASecondServerOnAnSQLiteFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "koinon.db")
	link := filepath.Join(dir, "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	open := func(path string) (*Store, error) {
		where, err := datastore.Parse("sqlite://"+path, dir)
		if err != nil {
			t.Fatal(err)
		}
		return Open(t.Context(), where, Config{})
	}
	first, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, link} {
		if second, err := open(path); err == nil {
			_ = second.Close()
			t.Errorf("a second server was let in by %s", path)
		} else if !strings.Contains(err.Error(), "is in use by") || !strings.Contains(err.Error(), "SQLite serves one") {
			t.Errorf("it was refused with %q", err)
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := open(path)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	_ = next.Close()
}
