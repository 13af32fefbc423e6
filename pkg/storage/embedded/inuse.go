package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// The bytes of a database file on which SQLite has a shared lock as long as it is open.
const (
	sharedLockStart = 0x40000002
	sharedLockBytes = 510
)

// InUse returns a process that has the file of a SQLite database open, 0 if none has.
//
// It must not be called while this process has: it would not find itself, and to close the
// file again takes SQLite's locks away.
func (d Datastore) InUse() (int, error) {
	file, err := os.OpenFile(d.path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open the %s: %w", d, err)
	}
	defer func() { _ = file.Close() }()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: sharedLockStart, Len: sharedLockBytes}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock); err != nil {
		return 0, fmt.Errorf("see who uses the %s: %w", d, err)
	}
	if lock.Type == syscall.F_UNLCK {
		return 0, nil
	}
	return int(lock.Pid), nil
}
