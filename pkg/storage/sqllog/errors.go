package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/go-sql-driver/mysql"
	"github.com/mattn/go-sqlite3"
)

// mysqlReasons says in plain words what the server's codes mean to somebody who waits for
// the datastore.
var mysqlReasons = map[uint16]string{
	1021: "its disk is full",
	1026: "it cannot write to its disk",
	1030: "its storage engine reports an error",
	1036: "it is read-only",
	1040: "it has too many connections",
	1044: "the user may not use this database",
	1045: "it does not accept this user and password",
	1047: "this node is not part of a working cluster",
	1049: "the database does not exist",
	1053: "it is shutting down",
	1114: "a table is full",
	1142: "the user lacks a privilege",
	1205: "another transaction keeps the lock",
	1213: "transactions keep getting into each other's way",
	1290: "it is read-only",
	1792: "it is read-only",
	1836: "it is read-only",
	1927: "it ended the connection",
}

// refusals are the codes of a server that answers, and takes no writes until somebody does
// something about it.
var refusals = []uint16{1021, 1026, 1030, 1036, 1044, 1045, 1114, 1142, 1290, 1792, 1836}

// Refused says that the database is there and does not take writes: it is read-only, its
// disk is full, or a privilege is missing.
func Refused(err error) bool {
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		return slices.Contains(refusals, answer.Number)
	}
	var lite sqlite3.Error
	if errors.As(err, &lite) {
		return slices.Contains([]sqlite3.ErrNo{sqlite3.ErrFull, sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrIoErr, sqlite3.ErrCorrupt, sqlite3.ErrNotADB}, lite.Code)
	}
	return errors.Is(err, errReadOnly)
}

// NeedsMending says that the database works and will refuse writes until somebody has done
// something: its disk is full, or a privilege is missing. What is read-only may be a replica
// that is about to take over, so that is not among them.
func NeedsMending(err error) bool {
	var lite sqlite3.Error
	if errors.As(err, &lite) {
		return lite.Code == sqlite3.ErrFull || lite.Code == sqlite3.ErrPerm
	}
	return hasNumber(err, 1021, 1026, 1030, 1044, 1045, 1114, 1142)
}

// Conflict says that other transactions were in the way.
func Conflict(err error) bool { return hasNumber(err, 1020, 1213) }

// Reason says why in a few words, without addresses, statements or values.
func Reason(err error) string {
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		if reason, known := mysqlReasons[answer.Number]; known {
			return fmt.Sprintf("%s (%d)", reason, answer.Number)
		}
		return fmt.Sprintf("it answered with error %d", answer.Number)
	}
	var lite sqlite3.Error
	if errors.As(err, &lite) {
		return fmt.Sprintf("SQLite says %q", lite.Code.Error())
	}
	for reason, match := range networkReasons {
		if match(err) {
			return reason
		}
	}
	return "the connection was lost"
}

// networkReasons are told apart by what the operating system says.
var networkReasons = map[string]func(error) bool{
	"connection refused":         func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) },
	"it is read-only":            func(err error) bool { return errors.Is(err, errReadOnly) },
	"its host name is not known": isLookup,
	"the file with its password cannot be read": func(err error) bool {
		var file *fs.PathError
		return errors.As(err, &file)
	},
	"it did not answer in time": func(err error) bool {
		return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT)
	},
}

func isLookup(err error) bool {
	var lookup *net.DNSError
	return errors.As(err, &lookup)
}

// hasNumber says that the server answered with one of the codes.
func hasNumber(err error, numbers ...uint16) bool {
	var answer *mysql.MySQLError
	return errors.As(err, &answer) && slices.Contains(numbers, answer.Number)
}

// AccessDenied says that the server does not accept the user, which asking again cannot
// help.
func AccessDenied(err error) bool { return hasNumber(err, 1044, 1045, 1698) }

// isNoRows says that a row is not there.
func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }
