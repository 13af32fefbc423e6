package sqllog

import (
	"context"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

const (
	// firstRevision is the revision of an empty store, as it is in etcd.
	firstRevision = 1
	// firstEpoch is the epoch of a store whose contents were never replaced.
	firstEpoch = 1
	// layout is the version of the tables. A later one that this program cannot read has a
	// higher number.
	layout = 1
)

// table is one of the tables and the statement that makes it.
type table struct{ name, statement string }

// Tables says what to do about tables that are not there.
type Tables int

const (
	// MakeTables makes them, for a server. It fails where the server would begin with nothing
	// and the user miss something: beside data that Kine has left, and where a restore was
	// interrupted.
	MakeTables Tables = iota
	// MakeTablesToFill makes them, for a restore: from the first thing that it makes, and
	// until the restore is done, MakeTables fails. It fails beside data of Kine.
	MakeTablesToFill
	// MakeTablesBesideKine is MakeTablesToFill in any case.
	MakeTablesBesideKine
	// NeedTables makes none, and fails where there are none.
	NeedTables
	// ReadTables is NeedTables for one who writes nothing, so that it works on a full or
	// read-only disk.
	ReadTables
	// ForeignTables is for one who reads others with SnapshotKine. Ours are left alone, be
	// they there or not.
	ForeignTables
)

// fill says that the tables are made to be filled.
func (t Tables) fill() bool { return t == MakeTablesToFill || t == MakeTablesBesideKine }

// Exist says that the database has to be there already.
func (t Tables) Exist() bool { return t == NeedTables || t.reading() }

// reading says that nothing is written.
func (t Tables) reading() bool { return t == ReadTables || t == ForeignTables }

// How a database can be the wrong one.
var (
	// ErrNoTables means that no server has ever used the database.
	ErrNoTables = unfitFor("it has no tables of Koinon: the first start of a server makes them, or a restore")
	// ErrKine means that the database has data of Kine, and none of ours. It should be
	// migrated.
	ErrKine = unfitFor("it has data of Kine, and none of Koinon yet")
	// ErrUnfinished means that data is being copied into an empty log, or was until that was
	// interrupted.
	ErrUnfinished = unfitFor("it is empty, and data is being copied into it, or was until that was interrupted: run that command again, or koinon datastore compact --discard-staged to begin with nothing")
)

func unfitFor(reason string) error {
	return fault.New("", fault.Fault{Kind: fault.Unfit, Reason: reason}, nil)
}

// MySQLSchema and SQLiteSchema are the statements that make the tables, for those who do
// not let programs do it.
func MySQLSchema() []string { return statements(mysqlSchema) }

// SQLiteSchema is MySQLSchema for SQLite.
func SQLiteSchema() []string { return statements(sqliteSchema) }

func statements(schema []table) []string {
	var all []string
	for _, each := range schema {
		all = append(all, each.statement)
	}
	return all
}

// prepare makes the tables if they are not there, and checks that they are ours. A user who
// may not make tables is fine where somebody else has made them.
func (l *Log) prepare(ctx context.Context, schema []table, insertNew string, tables Tables) error {
	if tables == ForeignTables {
		return nil
	}
	found, err := l.layout(ctx)
	if noTable(err) {
		if err := l.missing(ctx, tables); err != nil {
			return err
		}
		if err := l.create(ctx, schema, insertNew, tables); err != nil {
			return err
		}
		found, err = l.layout(ctx)
	}
	if err != nil {
		return l.failed("open", err)
	}
	if !tables.Exist() {
		l.dialect.unnoteFilling() // the row says it now
	}
	if found != layout {
		return l.unfit("has tables of layout %d, and this program knows %d; use the version of Koinon that wrote them, or a newer one", found, layout)
	}
	if tables == MakeTablesBesideKine {
		return nil
	}
	return l.refuseNothing(ctx, tables)
}

func (l *Log) layout(ctx context.Context) (int, error) {
	var found int
	err := l.writes.QueryRowContext(ctx, "SELECT layout FROM koinon_meta WHERE id = 1").Scan(&found)
	return found, err
}

// missing says why tables that are not there must not be made, if that is so.
func (l *Log) missing(ctx context.Context, tables Tables) error {
	if tables == MakeTablesBesideKine {
		return nil
	}
	kine, err := l.hasKine(ctx)
	if err != nil {
		return err
	}
	if kine {
		return l.cannotOpen(ErrKine)
	}
	if !tables.fill() {
		filling, err := l.dialect.filling(ctx, l)
		if err != nil {
			return l.failed("open", err)
		}
		if filling {
			return l.cannotOpen(ErrUnfinished)
		}
	}
	if tables.Exist() {
		return l.cannotOpen(ErrNoTables)
	}
	return nil
}

func (l *Log) cannotOpen(why error) error { return fmt.Errorf("open the %s: %w", l.name, why) }

// refuseNothing keeps a server from beginning with nothing where there should be something.
func (l *Log) refuseNothing(ctx context.Context, tables Tables) error {
	m, err := l.meta(ctx, l.writes)
	if err != nil || m.Tail != firstRevision {
		return err
	}
	if m.Epoch == firstEpoch {
		kine, err := l.hasKine(ctx)
		if err != nil {
			return err
		}
		if kine {
			return l.cannotOpen(ErrKine)
		}
	}
	if m.unfinished() && tables == MakeTables {
		return l.cannotOpen(ErrUnfinished)
	}
	return nil
}

// unfinished says that the log is empty because what is to be in it is not there yet.
func (m meta) unfinished() bool { return m.Tail == firstRevision && m.staging > 0 }

// Unfinished says that the log is empty, and that data is being copied into it, or was until
// that was interrupted.
func (l *Log) Unfinished(ctx context.Context) (bool, error) {
	m, err := l.meta(ctx, l.reads)
	return m.unfinished(), err
}

// hasKine says that the database has a table of Kine with something in it.
func (l *Log) hasKine(ctx context.Context) (bool, error) {
	var one int
	err := l.writes.QueryRowContext(ctx, "SELECT 1 FROM kine WHERE name <> 'compact_rev_key' LIMIT 1").Scan(&one)
	if err == nil {
		return true, nil
	}
	if noTable(err) || hasNumber(err, noPrivilege, noColumn) {
		return false, nil
	}
	return false, l.failed("open", err)
}

// The server's codes for a table that the user may not read, and a column that is not there.
const (
	noPrivilege = 1142
	noColumn    = 1054
)

// create makes the tables that are not there. Two processes may do it at the same time: the
// row of koinon_meta comes last, and one of them makes it. If that one will fill the log, the
// row says so from its beginning, and until then a note does.
func (l *Log) create(ctx context.Context, schema []table, insertNew string, tables Tables) error {
	staging := 0
	if tables.fill() {
		staging = firstClaim
		if err := l.dialect.noteFilling(ctx, l); err != nil {
			return l.failed("make the tables of", err)
		}
	}
	for _, each := range schema {
		there, err := l.hasTable(ctx, each.name)
		if err == nil && !there {
			_, err = l.writes.ExecContext(ctx, each.statement)
		}
		if err != nil {
			return l.failed("make the tables of", err)
		}
	}
	_, err := l.writes.ExecContext(ctx, insertNew+" koinon_meta (id, layout, tail, op, compact, epoch, base, staging, compacted, probe, secret) VALUES (1, ?, ?, 0, 0, ?, 0, ?, 0, 0, ?)",
		layout, firstRevision, firstEpoch, staging, newSecret())
	if err != nil {
		return l.failed("make the tables of", err)
	}
	return nil
}

// hasTable looks for a table. To make one IF NOT EXISTS takes the privilege to make tables,
// even if it is there.
func (l *Log) hasTable(ctx context.Context, name string) (bool, error) {
	var one int
	err := l.writes.QueryRowContext(ctx, "SELECT 1 FROM "+name+" LIMIT 1").Scan(&one)
	switch {
	case err == nil, isNoRows(err):
		return true, nil
	case noTable(err):
		return false, nil
	}
	return false, err
}

// noTable says that the tables are not there, or not yet complete.
func noTable(err error) bool {
	if err == nil {
		return false
	}
	var lite sqlite3.Error
	if errors.As(err, &lite) {
		return lite.Code == sqlite3.ErrError // "no such table": there is nothing else to be wrong with the statement
	}
	return hasNumber(err, 1146) || isNoRows(err)
}
