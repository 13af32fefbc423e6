//go:build unix

package book

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/koinon-io/koinon/pkg/durable"
)

// makeDir makes a directory that survives a power cut, if there is none.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of what is kept for pods: %w", err)
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer parent.Close()
	return parent.Sync()
}

// takeLock waits for the lock, and has it until the file is closed.
func takeLock(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of what is kept for pods: %w", err)
	}
	taken := make(chan error, 1)
	go func() { // ends when whoever has the lock lets it go
		for {
			err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
			if !errors.Is(err, syscall.EINTR) {
				taken <- err
				return
			}
		}
	}()
	select {
	case err = <-taken:
	case <-ctx.Done():
		go func() { <-taken; _ = file.Close() }()
		return nil, fmt.Errorf("wait for %s, which another process has locked: %w", path, context.Cause(ctx))
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}

// writeFile replaces a file, and removes what kills in the middle of that have left. The lock is held.
func writeFile(dir, name string, data []byte) error {
	if err := durable.RemoveUnfinished(dir, name); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, name), data, 0o600)
}
