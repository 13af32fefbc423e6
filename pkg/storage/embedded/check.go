package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
)

// sqliteMagic begins every SQLite database that is not empty.
const sqliteMagic = "SQLite format 3\x00"

// checkSQLite makes the file where it is not there, unless it has to be.
func checkSQLite(parsed datastore.Datastore, mustExist bool) error {
	if !mustExist {
		if err := createFile(parsed.Path()); err != nil {
			return err
		}
	}
	file, err := os.Open(parsed.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the %s is not there", parsed)
	}
	if err != nil {
		return fmt.Errorf("open the database file: %w", err)
	}
	defer func() { _ = file.Close() }()
	head := make([]byte, len(sqliteMagic))
	n, err := io.ReadFull(file, head)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read the database file %s: %w", parsed.Path(), err)
	}
	if string(head[:n]) != sqliteMagic {
		return fmt.Errorf("%s is not a SQLite database: give another path, or restore it from a backup", parsed.Path())
	}
	return nil
}

// createFile makes the database file before SQLite does, readable for its owner only.
func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the directory of the database: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the database file: %w", err)
	}
	return file.Close()
}
