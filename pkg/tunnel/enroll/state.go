package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The files of a state.
const (
	agentFile   = "agent.pem"
	caFile      = "ca.crt"
	pendingFile = "pending.key"
)

// Files are the names of all files of a state.
var Files = []string{agentFile, caFile, pendingFile}

// State keeps files. What was written stays, whatever happens to the machine, and others may not read it.
type State interface {
	// Read returns fs.ErrNotExist for a file that there is not.
	Read(file string) ([]byte, error)
	// Write replaces a file as a whole.
	Write(file string, data []byte) error
	// Remove is no error if there is no such file.
	Remove(file string) error
	// String is what messages call it.
	String() string
}

// Dir is a directory that is a state.
type Dir struct {
	path  string
	write func(path string, data []byte, mode os.FileMode) error
}

// NewDir returns a directory, which is made if it is not there. write replaces a file durably, with
// exactly this mode.
func NewDir(path string, write func(path string, data []byte, mode os.FileMode) error) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	return &Dir{path, write}, nil
}

// Read implements State.
func (d *Dir) Read(file string) ([]byte, error) { return os.ReadFile(filepath.Join(d.path, file)) }

// Write implements State.
func (d *Dir) Write(file string, data []byte) error {
	return d.write(filepath.Join(d.path, file), data, 0o600)
}

// Remove implements State.
func (d *Dir) Remove(file string) error {
	if err := os.Remove(filepath.Join(d.path, file)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// String implements State.
func (d *Dir) String() string { return d.path }
