package durable

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/renameio/v2"
)

func TestAFileGetsTheModeThatIsAskedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v; want mode 0600", info.Mode(), err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "new" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestWhatAKillHasLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	// A kill before the rename.
	pending, err := renameio.NewPendingFile(filepath.Join(dir, "key"), renameio.WithTempDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pending.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"key", ".keyring", ".key"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveUnfinished(dir, "key"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(pending.Name()); !os.IsNotExist(err) {
		t.Errorf("%s: got %v, want it gone", pending.Name(), err)
	}
	for _, name := range []string{"key", ".keyring", ".key"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("what somebody else has put there: %v", err)
		}
	}
}

func TestADirectoryThatIsNotThereIsAnError(t *testing.T) {
	if err := WriteFile(filepath.Join(t.TempDir(), "none", "key"), nil, 0o600); err == nil {
		t.Error("got no error")
	}
}
