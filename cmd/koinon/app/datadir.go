package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/koinon-io/koinon/pkg/durable"
	"github.com/koinon-io/koinon/pkg/storage/datastore"
)

// dataFormat is the first line of the version file. A directory with another one belongs to
// another release, and is left alone.
const dataFormat = "koinon-data 1"

const (
	lockName    = "lock"
	versionName = "version"
)

// errDataDirInUse means that another process has the directory.
var errDataDirInUse = errors.New("is in use by another koinon server, or is being filled by koinon datastore")

// dataDir is a data directory that this process alone may use.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir makes the directory when it is absent, locks it and checks its version. The
// lock goes with the process, however it ends.
func openDataDir(path string) (*dataDir, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("--data-dir %q: %w", path, err)
	}
	if err := os.MkdirAll(absolute, 0o700); err != nil {
		return nil, notWritable(absolute, err)
	}
	lock, err := os.OpenFile(filepath.Join(absolute, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, notWritable(absolute, err)
	}
	dir := &dataDir{path: absolute, lock: lock}
	if err := dir.acquire(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	if err := dir.checkVersion(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return dir, nil
}

// fillDataDir is openDataDir for one who puts a datastore into the directory. It returns nil if
// a server has it.
func fillDataDir(path string) (io.Closer, error) {
	dir, err := openDataDir(path)
	if errors.Is(err, errDataDirInUse) {
		return nil, nil
	}
	if err != nil {
		return nil, err // not a *dataDir in an interface
	}
	return dir, nil
}

// file is a path in the directory.
func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// Close gives the directory free.
func (d *dataDir) Close() error { return d.lock.Close() }

func (d *dataDir) acquire() error {
	err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("the data directory %s %w: stop that one, or give each its own --data-dir", d.path, errDataDirInUse)
	}
	if err != nil {
		return fmt.Errorf("lock the data directory %s: %w", d.path, err)
	}
	return nil
}

// checkVersion refuses a directory of another version or of something else, and marks an
// empty one as ours.
func (d *dataDir) checkVersion() error {
	content, err := os.ReadFile(d.file(versionName))
	if errors.Is(err, fs.ErrNotExist) {
		return d.initialize()
	}
	if err != nil {
		return fmt.Errorf("read the version of the data directory: %w", err)
	}
	found, _, _ := strings.Cut(string(content), "\n")
	if found != dataFormat {
		return fmt.Errorf("the data directory %s has the format %q and this release reads %q: use the release that made it, or another --data-dir", d.path, found, dataFormat)
	}
	return nil
}

func (d *dataDir) initialize() error {
	if err := durable.RemoveUnfinished(d.path, versionName); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("read the data directory: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() != lockName {
			return fmt.Errorf("the directory %s is not empty and was not made by koinon (it has no file %q): give another --data-dir", d.path, versionName)
		}
	}
	if err := durable.WriteFile(d.file(versionName), []byte(dataFormat+"\n"), 0o600); err != nil {
		return notWritable(d.path, err)
	}
	return nil
}

// refuseEmptied refuses an SQLite database with nothing in it in a directory that has been
// used: the keys are made once the database is there. It was emptied by something else than
// Koinon, and whoever begins anew without a word has lost everything.
func (d *dataDir) refuseEmptied(url string) error {
	where, err := datastore.Parse(url, d.path)
	if err != nil || where.Kind != datastore.SQLite {
		return nil // whoever opens it says why
	}
	info, err := os.Stat(where.Path())
	if err != nil || info.Size() > 0 {
		return nil
	}
	if _, err := os.Stat(d.file(pkiName)); err != nil {
		return nil
	}
	return fmt.Errorf("the database file %s is empty, and the data directory %s has been used: put the file back, restore a backup with \"koinon datastore restore\", or remove the file to begin with nothing", where.Path(), d.path)
}

// notWritable turns the error of a first write into a sentence about the directory.
func notWritable(path string, err error) error {
	var reason syscall.Errno
	if errors.As(err, &reason) {
		return fmt.Errorf("the data directory %s is not writable: %w", path, reason)
	}
	return fmt.Errorf("the data directory %s is not writable: %w", path, err)
}
