package sqllog

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/mattn/go-sqlite3"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

func TestErrorsOfDriversAreClassified(t *testing.T) {
	answer := func(code uint16, message string) error { return &mysql.MySQLError{Number: code, Message: message} }
	for name, c := range map[string]struct {
		err    error
		kind   fault.Kind
		reason string
	}{
		"read-only by an option":               {answer(1290, "The MariaDB server is running with the --read-only option so it cannot execute this statement"), fault.ReadOnly, "it is read-only (1290)"},
		"read-only in a word of MySQL 8":       {answer(1290, "The MySQL server is running with the --super-read-only option so it cannot execute this statement"), fault.ReadOnly, "it is read-only (1290)"},
		"another option":                       {answer(1290, "The MySQL server is running with the --skip-grant-tables option so it cannot execute this statement"), fault.Settings, "an option of the server forbids it (1290)"},
		"a transaction that is read-only":      {answer(1792, "Cannot execute statement in a READ ONLY transaction"), fault.ReadOnly, "it is read-only (1792)"},
		"a variable that is not known":         {answer(1193, "Unknown system variable 'foo'"), fault.Settings, "it does not know a variable, or a value of one, that the connection is to have (1193)"},
		"a collation of another character set": {answer(1253, "COLLATION 'binary' is not valid for CHARACTER SET 'utf8mb4'"), fault.Settings, "it does not know the character set or collation that the connection is to have (1253)"},
		"a binary log of statements":           {answer(1665, "Cannot execute statement: impossible to write to binary log"), fault.Settings, "its binary log cannot take what is written (1665)"},
		"a privilege":                          {answer(1142, "INSERT command denied to user 'koinon'@'10.0.0.1' for table 'koinon_log'"), fault.Denied, "the user lacks a privilege (1142)"},
		"a password":                           {answer(1045, "Access denied for user 'koinon'@'10.0.0.1' (using password: YES)"), fault.Denied, "it does not accept this user and password (1045)"},
		"a deadlock":                           {answer(1213, "Deadlock found"), fault.Conflict, "transactions keep getting into each other's way (1213)"},
		"a lock":                               {answer(1205, "Lock wait timeout exceeded"), fault.Locked, "another transaction keeps the lock (1205)"},
		"a disk":                               {answer(1021, "Disk full (/var/lib/mysql)"), fault.Full, "its disk is full (1021)"},
		"a disk, as the engine says it":        {answer(1030, `Got error 28 "No space left on device" from storage engine InnoDB`), fault.Full, "its disk is full (1030)"},
		"an engine that fails otherwise":       {answer(1030, `Got error 168 "Unknown error" from storage engine InnoDB`), fault.Damaged, "its storage engine reports an error (1030)"},
		"the end of a server":                  {answer(1053, "Server shutdown in progress"), fault.Away, "it is shutting down, or not ready yet (1053)"},
		"the end of a connection":              {answer(1927, "Connection was killed"), fault.Away, "it ended the connection (1927)"},
		"too many connections":                 {answer(1040, "Too many connections"), fault.Overloaded, "it has too many connections (1040)"},
		"a code that nobody knows":             {answer(64000, "secret words"), fault.Refused, "it answered with error 64000"},
		"nobody listens":                       {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, fault.Away, "connection refused"},
		"a name that is not known":             {&net.DNSError{Name: "db.example"}, fault.Away, "its host name is not known"},
		"no answer in time":                    {fmt.Errorf("x: %w", context.DeadlineExceeded), fault.Silent, "it did not answer in time"},
		"a connection that broke":              {driver.ErrBadConn, fault.Away, "the connection was lost"},
		"one that broke in another way":        {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, fault.Away, "the connection was lost"},
		"SQLite without room":                  {sqlite3.Error{Code: sqlite3.ErrFull}, fault.Full, `SQLite says "database or disk is full"`},
		"SQLite above a quota":                 {sqlite3.Error{Code: sqlite3.ErrIoErr, SystemErrno: syscall.EDQUOT}, fault.Full, `SQLite says "disk I/O error"`},
		"SQLite that is read-only":             {sqlite3.Error{Code: sqlite3.ErrReadonly}, fault.ReadOnly, `SQLite says "attempt to write a readonly database"`},
		"SQLite on a disk that fails":          {sqlite3.Error{Code: sqlite3.ErrIoErr}, fault.Damaged, `SQLite says "disk I/O error"`},
		"SQLite that another process uses":     {sqlite3.Error{Code: sqlite3.ErrBusy}, fault.Locked, `SQLite says "database is locked"`},
	} {
		t.Run(name, func(t *testing.T) {
			l := mustOpenSQLite(t, sqliteFile(t, t.TempDir()))
			err := l.failed("read from", l.failed("read the state of", c.err)) // a second time says no more
			got := fault.Of(err)
			if got.Kind != c.kind || got.Reason != c.reason {
				t.Errorf("got %s, %q, want %s, %q", got.Kind, got.Reason, c.kind, c.reason)
			}
			if !errors.Is(err, c.err) || strings.Count(err.Error(), "("+c.err.Error()+")") != 1 || !strings.HasPrefix(err.Error(), "read from the test database: ") {
				t.Errorf("the operator is told %q", err)
			}
		})
	}
}

func TestEveryCodeHasOneMeaning(t *testing.T) {
	seen := map[uint16]bool{}
	for _, each := range mysqlFaults {
		for _, code := range each.codes {
			if seen[code] {
				t.Errorf("%d is there twice", code)
			}
			seen[code] = true
		}
	}
}
