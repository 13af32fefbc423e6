package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strings"
	"time"
)

// Mark is the state of a log as a whole.
type Mark struct {
	// Tail is the last revision that was given out.
	Tail int64
	// Compact is the revision below which records may be gone.
	Compact int64
	// Epoch changes when the contents were replaced, by a restore. What was known before
	// is void.
	Epoch int64
	// Operation is that of the record at the tail, and 0 if no append made it. A log that
	// has another one there has another history: it was put back, and written to since.
	Operation int64
}

// Record is a row of the log: what a revision did to a key.
type Record struct {
	Revision int64
	Key      string
	// Created is the revision that created the key, Version counts its versions since.
	Created, Version int64
	// Lease is the lifetime that was asked for, in seconds, and Expires when it ends, in
	// seconds since 1970. 0 means forever.
	Lease, Expires int64
	// Deleted says that the key ends here; Value is empty then.
	Deleted bool
	// Operation names the attempt to write it, so that who has lost the connection finds
	// out whether it was written.
	Operation int64
	Value     []byte
}

// ErrEpoch is returned when the contents have been replaced since the mark was read. The
// caller should read everything anew.
var ErrEpoch = errors.New("the contents of the datastore were replaced")

// ErrGap is returned when records that were asked for in sequence are not all there,
// because they were compacted. The caller should read everything anew.
var ErrGap = errors.New("records were compacted before they were read")

// ErrDiverged is returned when a log has another record where the caller has read one: it has
// lost some, and others have written theirs in their place.
var ErrDiverged = errors.New("the datastore has other records than it had")

// Rebase is called while no other process can append. It is told where the log is now and
// what was appended since the mark it knew, and returns what to append instead, if anything.
// Revisions follow mark.Tail. An error ends the append, and nothing was written.
type Rebase func(mark Mark, missed []Record) ([]Record, error)

// dialect is what differs between databases.
type dialect interface {
	// append adds records, whose revisions follow mark.Tail, or calls rebase.
	append(ctx context.Context, l *Log, mark Mark, records []Record, rebase Rebase) error
	// beginSnapshot begins a transaction that sees the database as it is now until it ends,
	// however long that takes.
	beginSnapshot(ctx context.Context, conn *sql.Conn) error
	// size is what the tables take on disk, in bytes, free space in them included.
	size(ctx context.Context, l *Log) (int64, error)
	// shrink gives free space back, a little at a time, and says whether there is more.
	shrink(ctx context.Context, l *Log) (more bool, err error)
	// shrinks says whether shrink gives back whatever is free, and rewrite makes it so.
	shrinks(ctx context.Context, l *Log) (bool, error)
	rewrite(ctx context.Context, l *Log) error
	// inspect adds the version and what is wrong with the settings.
	inspect(ctx context.Context, l *Log, i *Inspection) error
	// noteFilling notes, as the first thing that is made, that the tables are made in order
	// to be filled. filling says whether that was noted, which means something as long as
	// koinon_meta has no row, and unnoteFilling forgets it, if it can.
	noteFilling(ctx context.Context, l *Log) error
	filling(ctx context.Context, l *Log) (bool, error)
	unnoteFilling()
	// now is the expression for the database's clock, in seconds since 1970.
	now() string
	// localIP is the address of this machine in the network of the database, nil if there
	// is no network.
	localIP() net.IP
}

// Log is an open log. Make one with OpenMySQL or OpenSQLite.
type Log struct {
	// writes is used by Append alone; for MySQL it is the same pool as reads.
	reads, writes *sql.DB
	dialect       dialect
	name          string
	// selectMark is the form of the statement that fits the servers.
	selectMark string
	// idle is how many connections reads keeps.
	idle int
	// batchBytes is the most that one append may carry.
	batchBytes int
	// undisturbed, if not nil, says whether what was read until now was read without others
	// that write.
	undisturbed func() error
}

// The deadlines of single statements. They bound what a database that hangs costs.
const (
	markTimeout   = 5 * time.Second
	appendTimeout = 15 * time.Second
	readTimeout   = time.Minute
)

// checkUndisturbed ends what reads a database as a whole.
func (l *Log) checkUndisturbed() error {
	if l.undisturbed == nil {
		return nil
	}
	return l.undisturbed()
}

// String names the database without user and password.
func (l *Log) String() string { return l.name }

// BatchBytes is the size of keys and values that one Append can be sure to carry.
func (l *Log) BatchBytes() int { return l.batchBytes }

// Close closes the connections.
func (l *Log) Close() error {
	if l.writes != l.reads {
		return errors.Join(l.writes.Close(), l.reads.Close())
	}
	return l.reads.Close()
}

// selectMark has two forms. Of several servers, one that was made a replica while it was
// connected must not be read: it says so in the second.
const (
	selectMark        = "SELECT tail, compact, epoch, op, 0 FROM koinon_meta WHERE id = 1"
	selectMarkAndRole = "SELECT tail, compact, epoch, op, @@global.read_only + 0 FROM koinon_meta WHERE id = 1"
)

// Mark reads the mark. Whatever was acknowledged before the call is not after it.
//
// It is on the way of every read, so it does not end early when ctx does, which would cost a
// goroutine: the time limits of the connection bound it.
func (l *Log) Mark(ctx context.Context) (Mark, error) {
	return l.mark(context.WithoutCancel(ctx), l.reads)
}

// querier is a database, connection or transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (l *Log) mark(ctx context.Context, q querier) (Mark, error) {
	var mark Mark
	var replica int
	err := q.QueryRowContext(ctx, l.selectMark).Scan(&mark.Tail, &mark.Compact, &mark.Epoch, &mark.Operation, &replica)
	if err == nil && replica != 0 {
		err = errReadOnly
	}
	if err != nil {
		return Mark{}, l.failed("read the state of", err)
	}
	return mark, nil
}

// Append adds records, whose revisions follow mark.Tail without a gap. If mark is not the
// state of the log, rebase decides anew. An error leaves open whether records were added.
func (l *Log) Append(ctx context.Context, mark Mark, records []Record, rebase Rebase) error {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	return l.dialect.append(ctx, l, mark, records, rebase)
}

// aboveBase leaves out what was replaced. The subquery is answered by the same view of the
// database as the rows.
const aboveBase = "rev > (SELECT base FROM koinon_meta WHERE id = 1)"

const columns = "rev, name, create_rev, version, lease, expires, deleted, op"

// Read returns the records after a revision, up to one, at most limit of them and about
// limitBytes of values (at least one), in order and without gaps, or ErrGap.
func (l *Log) Read(ctx context.Context, after, upTo int64, limit, limitBytes int) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return l.read(ctx, l.reads, after, upTo, limit, limitBytes)
}

func (l *Log) read(ctx context.Context, q querier, after, upTo int64, limit, limitBytes int) ([]Record, error) {
	rows, err := q.QueryContext(ctx, "SELECT "+columns+", value FROM koinon_log WHERE rev > ? AND rev <= ? AND "+aboveBase+" ORDER BY rev LIMIT ?", after, upTo, limit)
	if err != nil {
		return nil, l.failed("read from", err)
	}
	defer func() { _ = rows.Close() }()
	var records []Record
	for read := 0; read < limitBytes && rows.Next(); {
		record, err := scan(rows, true)
		if err != nil {
			return nil, l.failed("read from", err)
		}
		if record.Revision != after+int64(len(records))+1 {
			return nil, ErrGap
		}
		records = append(records, record)
		read += len(record.Value) + len(record.Key)
	}
	if err := rows.Err(); err != nil {
		return nil, l.failed("read from", err)
	}
	if len(records) == 0 && upTo > after {
		return nil, ErrGap
	}
	return records, nil
}

// Follow is Read for one who knows the log up to a mark: from there to a later one of the
// same epoch. It returns ErrDiverged if the known mark was never that of this log.
func (l *Log) Follow(ctx context.Context, known, mark Mark, limit, limitBytes int) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return l.follow(ctx, l.reads, known, mark, limit, limitBytes)
}

// follow reads the record at the known tail too, and compares. There is none if that tail
// is the first, or the compact revision.
func (l *Log) follow(ctx context.Context, q querier, known, mark Mark, limit, limitBytes int) ([]Record, error) {
	if mark.Compact > known.Tail {
		return nil, ErrGap
	}
	if known.Tail == firstRevision || mark.Compact == known.Tail {
		return l.read(ctx, q, known.Tail, mark.Tail, limit, limitBytes)
	}
	records, err := l.read(ctx, q, known.Tail-1, mark.Tail, limit+1, limitBytes)
	if err != nil {
		return nil, err
	}
	if records[0].Operation != known.Operation {
		return nil, ErrDiverged
	}
	return records[1:], nil
}

// scan reads a row with or without its value.
func scan(rows *sql.Rows, value bool) (Record, error) {
	var r Record
	var name []byte
	into := []any{&r.Revision, &name, &r.Created, &r.Version, &r.Lease, &r.Expires, &r.Deleted, &r.Operation}
	if value {
		into = append(into, &r.Value)
	}
	err := rows.Scan(into...)
	r.Key = string(name)
	return r, err
}

// Scan calls each for every record up to the tail of a mark, in order, without values. With an
// error, what it has called each with is not all there is: ErrShort, unless the database says
// something else, or ErrEpoch if the contents were replaced meanwhile.
func (l *Log) Scan(ctx context.Context, mark Mark, each func(Record)) error {
	came, err := l.scan(ctx, mark, each)
	if err != nil {
		return l.failed("read from", err)
	}
	now, err := l.Mark(ctx) // what was missing may have been compacted meanwhile
	if err != nil {
		return err
	}
	if now.Epoch != mark.Epoch {
		return ErrEpoch
	}
	last, err := l.last(ctx, l.reads, lastRecord, mark.Tail)
	if err == nil {
		err = came.check(mark, now.Compact, last)
	}
	if err != nil {
		return l.failed("read from", err)
	}
	return nil
}

func (l *Log) scan(ctx context.Context, mark Mark, each func(Record)) (reach, error) {
	var came reach
	rows, err := l.reads.QueryContext(ctx, "SELECT "+columns+" FROM koinon_log WHERE rev <= ? AND "+aboveBase+" ORDER BY rev", mark.Tail)
	if err != nil {
		return came, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		record, err := scan(rows, false)
		if err != nil {
			return came, err
		}
		came.see(record.Revision, mark.Compact)
		each(record)
	}
	return came, rows.Err()
}

// valuesPerQuery is how many revisions one statement names.
const valuesPerQuery = 500

// Values calls each with the value of every one of the revisions that is there, in any
// order. The values belong to the callee.
//
// It does not look whether they were replaced: a revision is given out once, so that its
// value cannot be another one later.
func (l *Log) Values(ctx context.Context, revisions []int64, each func(revision int64, value []byte)) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for len(revisions) > 0 {
		n := min(valuesPerQuery, len(revisions))
		if err := l.values(ctx, revisions[:n], each); err != nil {
			return err
		}
		revisions = revisions[n:]
	}
	return nil
}

func (l *Log) values(ctx context.Context, revisions []int64, each func(int64, []byte)) error {
	in, args := list(revisions)
	rows, err := l.reads.QueryContext(ctx, "SELECT rev, value FROM koinon_log WHERE rev IN "+in, args...)
	if err != nil {
		return l.failed("read values from", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var revision int64
		var value []byte
		if err := rows.Scan(&revision, &value); err != nil {
			return l.failed("read values from", err)
		}
		each(revision, value)
	}
	if err := rows.Err(); err != nil {
		return l.failed("read values from", err)
	}
	return nil
}

// list returns "(?,?,…)" and its arguments.
func list(revisions []int64) (string, []any) {
	args := make([]any, len(revisions))
	for i, revision := range revisions {
		args[i] = revision
	}
	return "(?" + strings.Repeat(",?", len(revisions)-1) + ")", args
}

// Compact raises the compact revision, and returns the mark as it is then.
func (l *Log) Compact(ctx context.Context, revision int64) (Mark, error) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	_, err := l.writes.ExecContext(ctx, "UPDATE koinon_meta SET compact = ?, compacted = "+l.dialect.now()+" WHERE id = 1 AND compact < ? AND tail >= ?", revision, revision, revision)
	if err != nil {
		return Mark{}, l.failed("compact", err)
	}
	return l.mark(ctx, l.writes)
}

// Delete removes records of an epoch. Only those that no reader can see at or after the
// compact revision may be named. What the log itself does not call compacted stays: a log
// that has lost revisions may have given them out again.
func (l *Log) Delete(ctx context.Context, epoch int64, revisions []int64) error {
	if len(revisions) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	// Asked in the statement itself, InnoDB would lock the row of koinon_meta, which writers
	// need. One connection is as good: it does not go on with another copy of the database.
	conn, err := l.writes.Conn(ctx)
	if err != nil {
		return l.failed("connect to", err)
	}
	defer func() { _ = conn.Close() }()
	mark, err := l.mark(ctx, conn)
	if err != nil || mark.Epoch != epoch {
		return err
	}
	in, args := list(revisions)
	if _, err := conn.ExecContext(ctx, "DELETE FROM koinon_log WHERE rev IN "+in+" AND rev <= ?", append(args, mark.Compact)...); err != nil {
		return l.failed("delete from", err)
	}
	return nil
}

// Probe writes something of no consequence, to see whether that works.
func (l *Log) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	if _, err := l.writes.ExecContext(ctx, "UPDATE koinon_meta SET probe = probe + 1 WHERE id = 1"); err != nil {
		return l.failed("write to", err)
	}
	return nil
}

// Size is what the tables take on disk, in bytes.
func (l *Log) Size(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, markTimeout)
	defer cancel()
	return l.dialect.size(ctx, l)
}

// Shrink gives some of the space that deletions freed back to the file system, where the
// database does not use it again by itself, and says whether there is more. Writers wait
// meanwhile, for some milliseconds.
func (l *Log) Shrink(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	return l.dialect.shrink(ctx, l)
}

// Shrinks says whether Shrink can give space back, or has none to give: an SQLite file that
// another program has made may have been made so that it cannot.
func (l *Log) Shrinks(ctx context.Context) (bool, error) {
	return l.dialect.shrinks(ctx, l)
}

// Rewrite writes the whole file of an SQLite database anew, so that it has no free space and
// can Shrink. Nobody else may use it meanwhile.
func (l *Log) Rewrite(ctx context.Context) error {
	return l.dialect.rewrite(ctx, l)
}
