package storagetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// SmallDisk mounts a file system of so many bytes, and skips the test where only root could.
func SmallDisk(t testing.TB, bytes int) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// FillDisk leaves no byte free on a SmallDisk, until the function that it returns is called.
func FillDisk(t testing.TB, dir string) (free func()) {
	t.Helper()
	file := filepath.Join(dir, "ballast")
	ballast, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ballast.Close() }()
	for _, piece := range []int{1 << 20, 1 << 12, 1} { // the last pages go in one by one
		for err = nil; err == nil; {
			_, err = ballast.Write(make([]byte, piece))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	return func() { _ = os.Remove(file) }
}

// MakeReadOnly makes a SmallDisk read-only. Nobody may have a file open on it to write.
func MakeReadOnly(t testing.TB, dir string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}
