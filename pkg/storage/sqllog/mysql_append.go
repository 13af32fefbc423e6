package sqllog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math"
	"strings"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// The statements of an append. lockTail takes the lock that orders all writers: the row
// keeps its value, and is locked all the same.
const (
	lockTail = "UPDATE koinon_meta SET tail = tail WHERE id = 1;"
	// guard gives the first revision only if nothing has changed since the mark was read,
	// and otherwise NULL, which the column refuses.
	guard   = "(SELECT ? FROM koinon_meta WHERE id = 1 AND tail = ? AND epoch = ? AND op = ?)"
	insert  = "INSERT INTO koinon_log (" + columns + ", value) VALUES "
	advance = ";UPDATE koinon_meta SET tail = ?, op = ? WHERE id = 1;COMMIT;"
	// rowTail is a row without its revision.
	rowTail = ",?,?,?,?,?,?,?,?)"
)

// packet is how several statements are sent in one packet so that none is run after one
// that has failed.
type packet struct {
	// begin is before the statements of a transaction, resume before those that finish one.
	// That may have been ended by Galera without a word; without autocommit, what comes is
	// a transaction all the same.
	begin, resume, end string
	// exec runs it.
	exec func(ctx context.Context, conn *sql.Conn, packet string, args []any) error
}

var (
	// plain is for servers that end a packet at the first error.
	plain = packet{"BEGIN;", "SET autocommit = 0;", "", execText}
	// compound is for MariaDB. Galera may end a transaction between two statements of a
	// packet, and then runs the rest outside of it, without an error; it does not do so in
	// a compound statement. That can be prepared, too.
	compound = packet{"BEGIN NOT ATOMIC START TRANSACTION;", "BEGIN NOT ATOMIC SET autocommit = 0;", "END", execPrepared}
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
func (d mysqlDialect) append(ctx context.Context, l *Log, mark Mark, records []Record, rebase Rebase) error {
	conn, err := l.writes.Conn(ctx)
	if err != nil {
		return l.failed("connect to", err)
	}
	defer func() { _ = conn.Close() }()
	statement, args := appendStatement(mark, records)
	err = d.packet.exec(ctx, conn, d.packet.begin+lockTail+statement+d.packet.end, args)
	switch {
	case err == nil:
		return nil
	case hasNumber(err, duplicate):
		err = d.goOn(ctx, l, conn, mark, records)
	case hasNumber(err, badNull):
		err = d.rebase(ctx, l, conn, mark, rebase)
	default:
		err = l.failed("write to", err)
	}
	if err == nil {
		return nil
	}
	if undone(err) || errors.Is(err, ErrEpoch) || errors.Is(err, ErrGap) || errors.Is(err, ErrDiverged) {
		rollback(ctx, conn)
	} else {
		discard(conn)
	}
	return err
}

// execText runs statements that are sent as text, with their arguments in it.
func execText(ctx context.Context, conn *sql.Conn, packet string, args []any) error {
	_, err := conn.ExecContext(ctx, packet, args...)
	return err
}

// autocommit is how a session is when it is not in a transaction.
const autocommit = "SET autocommit = 1;"

// undone says that the server has undone a transaction, or a part of it, and that nothing is
// wrong with the connection.
func undone(err error) bool {
	kind := fault.KindOf(err)
	return kind == fault.Conflict || kind == fault.Locked
}

// goOn appends in a transaction that is open and has the lock, if it still is: the guard
// finds out. Without autocommit, nothing is deleted before it has.
func (d mysqlDialect) goOn(ctx context.Context, l *Log, conn *sql.Conn, mark Mark, records []Record) error {
	if _, err := conn.ExecContext(ctx, "SET autocommit = 0"); err != nil {
		return l.failed("write to", err)
	}
	if err := l.makeRoom(ctx, conn, mark.Tail, len(records)); err != nil {
		return err
	}
	return d.finish(ctx, l, conn, mark, records)
}

// finish inserts and commits.
func (d mysqlDialect) finish(ctx context.Context, l *Log, conn *sql.Conn, mark Mark, records []Record) error {
	statement, args := appendStatement(mark, records)
	if err := d.packet.exec(ctx, conn, d.packet.resume+statement+autocommit+d.packet.end, args); err != nil {
		return l.failed("write to", err)
	}
	return nil
}

// rebase reads what was missed and appends what is left to append.
func (d mysqlDialect) rebase(ctx context.Context, l *Log, conn *sql.Conn, known Mark, rebase Rebase) error {
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
	if err := d.finish(ctx, l, conn, mark, records); !hasNumber(err, duplicate) {
		return err
	}
	return d.goOn(ctx, l, conn, mark, records)
}

// appendStatement is the insert, the new tail and the commit.
func appendStatement(mark Mark, records []Record) (string, []any) {
	var statement strings.Builder
	statement.WriteString(insert)
	args := make([]any, 0, 9*len(records)+5)
	for i, r := range records {
		if i == 0 {
			statement.WriteString("(" + guard)
			args = append(args, r.Revision, mark.Tail, mark.Epoch, mark.Operation)
		} else {
			statement.WriteString(",(?")
			args = append(args, r.Revision)
		}
		statement.WriteString(rowTail)
		args = append(args, rowArgs(r)...)
	}
	statement.WriteString(advance)
	last := records[len(records)-1]
	return statement.String(), append(args, last.Revision, last.Operation)
}

// rowArgs are the values of a row, without its revision.
func rowArgs(r Record) []any {
	value := r.Value
	if value == nil {
		value = []byte{}
	}
	return []any{[]byte(r.Key), r.Created, r.Version, r.Lease, r.Expires, r.Deleted, r.Operation, value}
}

// rebase reads what was appended between two marks and asks what to append now.
func (l *Log) rebase(ctx context.Context, q querier, known, mark Mark, rebase Rebase) ([]Record, error) {
	if mark.Epoch != known.Epoch || mark.Tail < known.Tail {
		return nil, ErrEpoch
	}
	if mark.Tail == known.Tail {
		return nil, ErrDiverged
	}
	const all = math.MaxInt32
	missed, err := l.follow(ctx, q, known, mark, all, all)
	if err != nil {
		return nil, err
	}
	return rebase(mark, missed)
}

// rollback ends a transaction. A connection on which that fails is not used again: the
// server ends its transaction when it closes.
func rollback(ctx context.Context, conn *sql.Conn) {
	if _, err := conn.ExecContext(ctx, "ROLLBACK;"+autocommit); err != nil {
		discard(conn)
	}
}

// discard closes a connection for good, since the pool would hand it out again.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}
