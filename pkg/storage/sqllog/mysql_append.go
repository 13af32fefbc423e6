package sqllog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// The statements of an append. begin takes the lock that orders all writers: the row keeps
// its value, and is locked all the same.
const (
	begin = "BEGIN;UPDATE koinon_meta SET tail = tail WHERE id = 1;"
	// guard gives the first revision only if nothing has changed since the mark was read,
	// and otherwise NULL, which the column refuses.
	guard   = "(SELECT ? FROM koinon_meta WHERE id = 1 AND tail = ? AND epoch = ?)"
	insert  = "INSERT INTO koinon_log (" + columns + ", value) VALUES "
	advance = ";UPDATE koinon_meta SET tail = ? WHERE id = 1;COMMIT"
	// rowTail is a row without its revision.
	rowTail = ",?,?,?,?,?,?,?,?)"
)

const (
	// badNull is what the server says of NULL in a column that has to have a value.
	badNull = 1048
	// duplicate is what it says of a revision that is there: of rows above the tail, which
	// are nothing.
	duplicate = 1062
)

// append sends everything in one packet. When the guard refuses, or there are rows above
// the tail, the transaction is still open and holds the lock; the rest is done in it.
func (mysqlDialect) append(ctx context.Context, l *Log, mark Mark, records []Record, rebase Rebase) error {
	conn, err := l.writes.Conn(ctx)
	if err != nil {
		return l.failed("connect to", err)
	}
	defer func() { _ = conn.Close() }()
	statement, args := appendStatement(mark, records)
	_, err = conn.ExecContext(ctx, begin+statement, args...)
	if hasNumber(err, duplicate) {
		if err = l.makeRoom(ctx, conn, mark.Tail, len(records)); err == nil {
			_, err = conn.ExecContext(ctx, statement, args...)
		}
	}
	if err == nil {
		return nil
	}
	var answer *mysql.MySQLError
	if errors.As(err, &answer) && answer.Number == badNull {
		if err = l.rebaseMySQL(ctx, conn, mark, rebase); err == nil {
			return nil
		}
	} else {
		err = l.failed("write to", err)
	}
	if hasNumber(err, retriable...) || errors.Is(err, ErrEpoch) || errors.Is(err, ErrGap) {
		rollback(ctx, conn)
	} else {
		discard(conn)
	}
	return err
}

// retriable are the codes of a deadlock, a lock wait that took too long and a conflict
// between snapshots: nothing is wrong with the connection.
var retriable = []uint16{1020, 1205, 1213}

// appendStatement is the insert, the new tail and the commit. Without a mark to guard there
// is no guard.
func appendStatement(mark Mark, records []Record) (string, []any) {
	var statement strings.Builder
	statement.WriteString(insert)
	args := make([]any, 0, 9*len(records)+3)
	for i, r := range records {
		if i == 0 {
			statement.WriteString("(" + guard)
			args = append(args, r.Revision, mark.Tail, mark.Epoch)
		} else {
			statement.WriteString(",(?")
			args = append(args, r.Revision)
		}
		statement.WriteString(rowTail)
		args = append(args, rowArgs(r)...)
	}
	statement.WriteString(advance)
	return statement.String(), append(args, records[len(records)-1].Revision)
}

// rowArgs are the values of a row, without its revision.
func rowArgs(r Record) []any {
	value := r.Value
	if value == nil {
		value = []byte{}
	}
	return []any{[]byte(r.Key), r.Created, r.Version, r.Lease, r.Expires, r.Deleted, r.Operation, value}
}

// rebaseMySQL goes on in a transaction that holds the lock: it reads what was missed and
// appends what is left to append.
func (l *Log) rebaseMySQL(ctx context.Context, conn *sql.Conn, known Mark, rebase Rebase) error {
	mark, err := l.mark(ctx, conn)
	if err != nil {
		return err
	}
	records, err := l.rebase(ctx, conn, known, mark, rebase)
	if err != nil {
		return err
	}
	if len(records) == 0 {
		rollback(ctx, conn)
		return nil
	}
	statement, args := appendStatement(mark, records)
	_, err = conn.ExecContext(ctx, statement, args...)
	if hasNumber(err, duplicate) {
		if err := l.makeRoom(ctx, conn, mark.Tail, len(records)); err != nil {
			return err
		}
		_, err = conn.ExecContext(ctx, statement, args...)
	}
	if err != nil {
		return l.failed("write to", err)
	}
	return nil
}

// rebase reads what was appended between two marks and asks what to append now.
func (l *Log) rebase(ctx context.Context, q querier, known, mark Mark, rebase Rebase) ([]Record, error) {
	if mark.Epoch != known.Epoch || mark.Tail < known.Tail {
		return nil, ErrEpoch
	}
	if mark.Compact > known.Tail {
		return nil, ErrGap
	}
	missed, err := l.readAll(ctx, q, known.Tail, mark.Tail)
	if err != nil {
		return nil, err
	}
	return rebase(mark, missed)
}

// rollback ends a transaction. A connection on which that fails is not used again: the
// server ends its transaction when it closes.
func rollback(ctx context.Context, conn *sql.Conn) {
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		discard(conn)
	}
}

// discard closes a connection for good, since the pool would hand it out again.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}
