package sqllog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// readSQLite opens a log that nothing is written to.
//
// Processes that have a file open share memory in a file beside it. Where that is not there
// and cannot be made, because the disk is full or read-only, nobody else has the file open, and
// it is read without.
func readSQLite(ctx context.Context, config SQLiteConfig) (*Log, error) {
	l, err := readSQLiteWith(ctx, config, sqliteReading)
	if !cannotShare(err) {
		return l, err
	}
	alone, aloneErr := readSQLiteAlone(ctx, config)
	if aloneErr != nil {
		return nil, err
	}
	return alone, nil
}

func readSQLiteWith(ctx context.Context, config SQLiteConfig, parameters string) (*Log, error) {
	db, err := config.open(parameters)
	if err != nil {
		return nil, err
	}
	l, _ := config.log(db, db)
	if err = l.prepare(ctx, sqliteSchema, "", config.Tables); err == nil {
		err = db.PingContext(ctx) // it has asked nothing for foreign tables
	}
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// cannotShare says that a file could be opened but for the memory that is shared beside it, or
// that it looks so.
func cannotShare(err error) bool {
	var lite sqlite3.Error
	return errors.As(err, &lite) && slices.Contains([]sqlite3.ErrNo{sqlite3.ErrCantOpen, sqlite3.ErrIoErr, sqlite3.ErrFull, sqlite3.ErrReadonly}, lite.Code)
}

// How to read without locks and shared memory: what they keep from changing must not change.
// Without a log beside the file, or with an empty one, the file is all that there is; otherwise
// the index of the log is made in the memory of this process.
const (
	sqliteImmutable = sqliteReading + "&mode=ro&immutable=1"
	sqliteAlone     = sqliteReading + "&mode=ro&vfs=unix-none&_locking_mode=EXCLUSIVE"
)

// errDisturbed is the end of reading without locks beside a process that has come.
var errDisturbed = errors.New("another process has opened it meanwhile: run it again")

// readSQLiteAlone reads a file that nobody else has open. Whether that stays so is asked at the
// end of what is read: without the memory to share, locks mean nothing.
func readSQLiteAlone(ctx context.Context, config SQLiteConfig) (*Log, error) {
	before, err := traceOf(config.Path)
	if err != nil {
		return nil, err
	}
	parameters := sqliteAlone
	if before.logBytes == 0 {
		parameters = sqliteImmutable
	}
	l, err := readSQLiteWith(ctx, config, parameters)
	if err != nil {
		return nil, err
	}
	l.undisturbed = func() error {
		now, err := traceOf(config.Path)
		if err == nil && now != before {
			err = errDisturbed
		}
		if err != nil {
			return fmt.Errorf("read the %s: %w", config.Name, err)
		}
		return nil
	}
	return l, l.undisturbed()
}

// trace is what another process changes that writes to a database: the sizes and times, in
// nanoseconds, of the file and of the log beside it.
type trace struct {
	fileBytes, fileTime int64
	logBytes, logTime   int64
}

// traceOf fails if another process has the file open.
func traceOf(path string) (trace, error) {
	var t trace
	pid, err := InUse(path)
	if err == nil && pid != 0 {
		err = errDisturbed
	}
	if err == nil {
		t.fileBytes, t.fileTime, err = sizeAndTime(path)
	}
	if err == nil {
		t.logBytes, t.logTime, err = sizeAndTime(path + "-wal")
	}
	return t, err
}

// sizeAndTime are those of a file, and 0 if it is not there.
func sizeAndTime(path string) (bytes, nanoseconds int64, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	return info.Size(), info.ModTime().UnixNano(), nil
}

// The bytes of a database file on which SQLite has a shared lock as long as it is open.
const (
	sharedLockStart = 0x40000002
	sharedLockBytes = 510
)

// InUse returns a process that has the file of an SQLite database open, 0 if none has, or if
// the file is not there.
//
// It must not be called while this process has it open: it would not find itself, and to close
// the file again takes SQLite's locks away.
func InUse(path string) (int, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: sharedLockStart, Len: sharedLockBytes}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock); err != nil {
		return 0, err
	}
	if lock.Type == syscall.F_UNLCK {
		return 0, nil
	}
	return int(lock.Pid), nil
}
