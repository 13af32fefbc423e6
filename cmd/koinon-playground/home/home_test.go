package home

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHomeRemembersItsClusters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	h, err := Create(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	m1 := ClusterMark{Name: "m1", Nodes: 2, APIServerArgs: []string{"--v=1"}}
	if err := h.Add(m1); err != nil {
		t.Fatal(err)
	}
	if err := h.Add(ClusterMark{Name: "m1", Nodes: 7}); err != nil {
		t.Fatal(err)
	}
	h.Close()
	again, err := Create(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if diff := cmp.Diff([]ClusterMark{m1}, again.Mark.Clusters); diff != "" {
		t.Errorf("clusters (-want +got):\n%s", diff)
	}
	if err := again.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	if _, err := Open(t.Context(), dir); !errors.Is(err, ErrAbsent) {
		t.Errorf("opening what is gone: got %v, want ErrAbsent", err)
	}
}

func TestForeignFilesAreSafe(t *testing.T) {
	t.Run("a directory with other files is refused", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "thesis.txt"))
		_, err := Create(t.Context(), dir)
		if err == nil || !strings.Contains(err.Error(), "thesis.txt") {
			t.Errorf("got %v, want a refusal that names the file", err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("the directory was written to: %v", entries)
		}
	})
	t.Run("a file that was put beside stays", func(t *testing.T) {
		dir := t.TempDir()
		h, err := Create(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		write(t, filepath.Join(dir, "thesis.txt"))
		if err := h.Destroy(t.Context()); err == nil {
			t.Error("got no error, though the directory could not be removed")
		}
		if _, err := os.Stat(filepath.Join(dir, "thesis.txt")); err != nil {
			t.Errorf("the file is gone: %v", err)
		}
	})
}

func TestAnOpenHomeIsLocked(t *testing.T) {
	dir := t.TempDir()
	h, err := Create(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("opening it twice: got %v, want to wait", err)
	}
	if _, err := Peek(dir); err != nil {
		t.Errorf("a look needs no lock: %v", err)
	}
	h.Close()
	second, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func TestReservedNames(t *testing.T) {
	h, err := Create(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, name := range []string{"koinon", "logs", "kubeconfig"} {
		if err := h.Add(ClusterMark{Name: name}); err == nil {
			t.Errorf("a cluster may be named %q", name)
		}
	}
}

func write(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}
