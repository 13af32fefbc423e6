package store

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// format is that of files that this package writes; it reads no others.
const format = 1

const schema = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE views (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, version TEXT NOT NULL,
	count INTEGER NOT NULL, digest INTEGER NOT NULL, sum INTEGER NOT NULL);
CREATE TABLE objects (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, sum INTEGER NOT NULL, body BLOB NOT NULL,
	UNIQUE (kind, name, version, sum));
CREATE TABLE members (view INTEGER NOT NULL, name TEXT NOT NULL, object INTEGER NOT NULL, PRIMARY KEY (view, name)) WITHOUT ROWID;
CREATE INDEX members_by_object ON members (object);
`

// files are those of a database.
func files(path string) []string {
	return []string{path, path + "-wal", path + "-journal", path + "-shm"}
}

func removeAll(path string) (err error) {
	for _, name := range files(path) {
		if removed := os.Remove(name); removed != nil && !errors.Is(removed, os.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}
	return err
}

// open opens a database, or makes it. One connection has it, and no other process: so the index of the log is in memory, and not in a file. A commit is on the
// disk when it returns.
func open(path string) (*sql.DB, error) {
	pragmas := url.Values{"_pragma": {
		"busy_timeout(1000)", "locking_mode(EXCLUSIVE)", "journal_mode(WAL)", "journal_size_limit(4194304)", "synchronous(FULL)", "cache_size(-1024)", "cell_size_check(1)", "trusted_schema(0)",
	}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := prepare(db); err != nil {
		_ = db.Close()
		return nil, explain(err)
	}
	return db, nil
}

// prepare takes the lock, and makes tables where there are none.
func prepare(db *sql.DB) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing after Commit
	var found int
	if err := tx.QueryRow("PRAGMA user_version").Scan(&found); err != nil {
		return err
	}
	switch found {
	case format:
		return tx.Commit()
	case 0:
		_, err := tx.Exec(schema + fmt.Sprintf("PRAGMA user_version = %d;", format))
		return errors.Join(err, tx.Commit())
	}
	return fmt.Errorf("it has the format %d, and this version knows %d: it is of another version of the hub", found, format)
}

// codeOf is the code of SQLite of an error, without what extends it; 0 if it is none.
func codeOf(err error) int {
	var of *sqlite.Error
	if !errors.As(err, &of) {
		return 0
	}
	return of.Code() & 0xff
}

// explain returns an error of opening as a caller knows it.
func explain(err error) error {
	switch codeOf(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return errTaken
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

// damagedError is why a part of a file cannot be read.
type damagedError struct{ reason string }

func (e *damagedError) Error() string { return "it is damaged: " + e.reason }

func damaged(format string, args ...any) error {
	return &damagedError{fmt.Sprintf(format, args...)}
}

// isDamage reports whether a file is not what it should be, and not just out of reach or full.
func isDamage(err error) bool {
	var own *damagedError
	if errors.As(err, &own) {
		return true
	}
	switch codeOf(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH:
		return true // statements are right: what they do not find is not what it was
	}
	return false
}
