package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/koinon-io/koinon/pkg/durable"
)

// The files of a directory.
const (
	NodeFile      = "node.pem"
	AuthorityFile = "authority.pem"
	nextFile      = "next.pem"
	pendingFile   = "pending.key"
	trustFile     = "ca.crt"
	givenFile     = "given.crt"
)

// Files are all of them.
func Files() []string {
	return []string{NodeFile, AuthorityFile, nextFile, pendingFile, trustFile, givenFile}
}

// openDir makes a directory, and removes what a kill has left in it.
func openDir(dir string) error {
	if dir == "" {
		return errors.New("a directory for the identity of the node is required")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the node's identity: %w", err)
	}
	err := durable.RemoveUnfinished(dir, Files()...)
	if errors.Is(err, syscall.EROFS) {
		return nil // what is there is read all the same
	}
	return err
}

// read reads a file; nil if there is none. Nobody else may read it from then on.
func read(dir, file string) ([]byte, error) {
	path := filepath.Join(dir, file)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the identity of the node: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		_ = os.Chmod(path, 0o600) // on a disk that is read-only it stays as it is
	}
	return data, nil
}

func write(dir, file string, data []byte) error {
	return durable.WriteFile(filepath.Join(dir, file), data, 0o600)
}

// remove is no error if there is no such file.
func remove(dir, file string) error {
	if err := os.Remove(filepath.Join(dir, file)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// both is one error of two, each of which may be nil, and one line.
func both(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return fmt.Errorf("%w; %w", a, b)
}
