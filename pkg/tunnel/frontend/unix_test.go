package frontend_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
)

func TestASocketIsForItsOwnerAndGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, err := frontend.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := os.Stat(path); err != nil || found.Mode().Perm() != 0o660 {
		t.Errorf("%v: %v", found, err)
	}
	second, err := frontend.ListenUnix(path) // as after a crash, or beside one that still serves
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the first took the second's file away: %v", err)
	}
	_ = conn.Close()
	_ = second.Close()
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("%v are left: %v", left, err)
	}
}

func TestASocketReplacesNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{path, filepath.Join(path, "below"), filepath.Join(t.TempDir(), "no", "such"), "/tmp/" + strings.Repeat("x", 100)} {
		if _, err := frontend.ListenUnix(at); err == nil {
			t.Errorf("it listens on %s", at)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file is gone: %v", err)
	}
}
