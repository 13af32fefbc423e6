package embedded

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// holdSQLite takes the file of a database for this server alone: SQLite tells a server
// nothing of what another has written. The lock goes with the process, however it ends.
//
// The file must stay open until SQLite has closed it: closing it takes SQLite's own locks
// away.
func holdSQLite(where datastore.Datastore) (*os.File, error) {
	if err := checkSQLite(where, false); err != nil {
		return nil, err
	}
	file, err := os.Open(where.Path())
	if err != nil {
		return nil, fmt.Errorf("open the database file: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock the database file %s: %w", where.Path(), err)
	}
	user := "another server"
	if pid, err := sqllog.InUse(where.Path()); err == nil && pid != 0 {
		user = fmt.Sprintf("the server with process number %d", pid)
	}
	return nil, fmt.Errorf("the %s is in use by %s, and SQLite serves one: stop that one, or have both use MySQL", where, user)
}
