package frontend

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// socketMode lets the owner and the group of a socket's file use it.
const socketMode = 0o660

// UnfinishedSocket begins the name of a directory beside a socket that is being made. One that is left was of a process that was killed.
const UnfinishedSocket = ".new"

// ErrLongPath is why a socket cannot be where it should.
var ErrLongPath = errors.New("the path is too long")

// maxSocketPath is what systems allow of a socket's path, and hiddenName how long its name in the directory is at first.
const maxSocketPath, hiddenName = 103, len("/.new1234567890/s")

// ListenUnix listens on a Unix socket that its owner and group may use, and nobody else at any time. A socket that is there is
// replaced: new clients come to this one, those that are connected stay. Another kind of file is left alone, which is an error.
// The file is removed when the listener is closed, if it has not been replaced.
func ListenUnix(path string) (net.Listener, error) {
	if len(path) > maxSocketPath || len(filepath.Dir(path)) > maxSocketPath-hiddenName {
		return nil, fmt.Errorf("listen on %s: %w: it has %d characters and its directory %d; %d and %d are allowed",
			path, ErrLongPath, len(path), len(filepath.Dir(path)), maxSocketPath, maxSocketPath-hiddenName)
	}
	switch found, err := os.Lstat(path); {
	case err == nil && found.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("listen on %s: it is there, and is no socket", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// It gets its mode where nobody else finds it.
	dir, err := os.MkdirTemp(filepath.Dir(path), UnfinishedSocket)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer os.RemoveAll(dir)
	hidden := filepath.Join(dir, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	listener.SetUnlinkOnClose(false)
	l := &unixListener{UnixListener: listener, path: path}
	err = os.Chmod(hidden, socketMode)
	if err == nil {
		l.file, err = os.Lstat(hidden)
	}
	if err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// unixListener removes its file.
type unixListener struct {
	*net.UnixListener
	path string
	file fs.FileInfo
}

func (l *unixListener) Close() error {
	if found, err := os.Lstat(l.path); err == nil && os.SameFile(found, l.file) {
		_ = os.Remove(l.path)
	}
	return l.UnixListener.Close()
}

// Addr is where clients find it.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }
