package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// SQLiteConfig says which file to open.
type SQLiteConfig struct {
	// Path is the file, which must exist; an empty one is an empty database.
	Path string
	// Name is what errors call it.
	Name string
	// Normal leaves out the sync of every commit: kill -9 loses nothing, a power cut may
	// take the last commits back.
	Normal bool
	// Tables says what to do about tables that are not there.
	Tables Tables
	// MaxOpenConnections bounds the readers; 0 means 8.
	MaxOpenConnections int
}

// sqliteSchema keeps names as bytes. The pragma is for databases without tables; others
// keep what they have.
var sqliteSchema = []table{
	{"koinon_meta", `CREATE TABLE IF NOT EXISTS koinon_meta (
		id INTEGER PRIMARY KEY,
		layout INTEGER NOT NULL,
		tail INTEGER NOT NULL,
		op INTEGER NOT NULL,
		compact INTEGER NOT NULL,
		epoch INTEGER NOT NULL,
		base INTEGER NOT NULL,
		staging INTEGER NOT NULL,
		compacted INTEGER NOT NULL,
		probe INTEGER NOT NULL,
		secret BLOB NOT NULL
	)`},
	{"koinon_log", `CREATE TABLE IF NOT EXISTS koinon_log (
		rev INTEGER PRIMARY KEY,
		name BLOB NOT NULL,
		create_rev INTEGER NOT NULL,
		version INTEGER NOT NULL,
		lease INTEGER NOT NULL,
		expires INTEGER NOT NULL,
		deleted INTEGER NOT NULL,
		op INTEGER NOT NULL,
		value BLOB NOT NULL
	)`},
	{"koinon_peer", `CREATE TABLE IF NOT EXISTS koinon_peer (
		id INTEGER PRIMARY KEY,
		address BLOB NOT NULL,
		seen INTEGER NOT NULL
	)`},
}

// sqliteDialect keeps the statements of an append prepared.
type sqliteDialect struct {
	path            string
	normal          bool
	insert, advance *sql.Stmt
}

// The parameters of connections. Those of a reader write nothing, not even to connect, as
// other pragmas would: a reader can connect while the disk is full. Writers take the lock when
// they begin, and readers go on beside them (WAL).
const (
	sqliteReading = "_query_only=true&_busy_timeout=5000&_cache_size=-4000"
	sqliteWriting = "_journal_mode=WAL&_txlock=immediate&_busy_timeout=5000&_cache_size=-4000"
	// sqliteMaking is for the first connection to an empty file: only there can it be said
	// that freed pages can be given back (auto_vacuum=incremental).
	sqliteMaking = sqliteWriting + "&_auto_vacuum=2"
)

// OpenSQLite opens a log in a file, and makes the tables if need be.
func OpenSQLite(ctx context.Context, config SQLiteConfig) (*Log, error) {
	if config.Tables.reading() {
		return readSQLite(ctx, config)
	}
	if config.Tables.fill() {
		if err := config.dialect().noteBeforeOpening(ctx); err != nil {
			return nil, fmt.Errorf("open the %s: %w", config.Name, err)
		}
	}
	if !config.Tables.Exist() {
		if err := initializeSQLite(ctx, config); err != nil {
			return nil, err
		}
	}
	reads, err := config.open(sqliteReading)
	if err != nil {
		return nil, err
	}
	writes, err := config.open(sqliteWriting + "&_synchronous=" + config.synchronous())
	if err != nil {
		_ = reads.Close()
		return nil, err
	}
	writes.SetMaxOpenConns(1)
	l, dialect := config.log(reads, writes)
	err = l.prepare(ctx, sqliteSchema, "INSERT OR IGNORE INTO", config.Tables)
	if err == nil {
		err = dialect.prepare(ctx, l)
	}
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// initializeSQLite makes a database of an empty file.
func initializeSQLite(ctx context.Context, config SQLiteConfig) error {
	if info, err := os.Stat(config.Path); err != nil || info.Size() > 0 {
		return nil // whoever opens it finds out
	}
	db, err := config.open(sqliteMaking + "&_synchronous=" + config.synchronous())
	if err != nil {
		return err
	}
	if err := errors.Join(db.PingContext(ctx), db.Close()); err != nil {
		return fault.New("make the "+config.Name, classify(err), err)
	}
	return nil
}

func (c SQLiteConfig) synchronous() string {
	if c.Normal {
		return "NORMAL"
	}
	return "FULL"
}

// open opens the file with some parameters.
func (c SQLiteConfig) open(parameters string) (*sql.DB, error) {
	db, err := sql.Open("sqlite3", "file:"+c.Path+"?"+parameters)
	if err != nil {
		return nil, fmt.Errorf("open the %s: %w", c.Name, err)
	}
	return db, nil
}

func (c SQLiteConfig) dialect() *sqliteDialect { return &sqliteDialect{path: c.Path, normal: c.Normal} }

// log is a log on two pools, which may be the same one.
func (c SQLiteConfig) log(reads, writes *sql.DB) (*Log, *sqliteDialect) {
	if c.MaxOpenConnections == 0 {
		c.MaxOpenConnections = defaultOpenConnections
	}
	reads.SetMaxOpenConns(c.MaxOpenConnections)
	reads.SetMaxIdleConns(defaultIdleConnections)
	dialect := c.dialect()
	return &Log{reads: reads, writes: writes, idle: defaultIdleConnections, dialect: dialect, name: c.Name, selectMark: selectMark, batchBytes: maxBatchBytes}, dialect
}

func (d *sqliteDialect) prepare(ctx context.Context, l *Log) error {
	var err error
	if d.insert, err = l.writes.PrepareContext(ctx, insert+"(?"+rowTail); err != nil {
		return l.failed("open", err)
	}
	if d.advance, err = l.writes.PrepareContext(ctx, "UPDATE koinon_meta SET tail = ?, op = ? WHERE id = 1"); err != nil {
		return l.failed("open", err)
	}
	return nil
}

// append runs a transaction that has the write lock from its begin. It does not end early
// when ctx does: a local disk answers, and the driver would start a goroutine for each
// statement to watch over it.
func (d *sqliteDialect) append(ctx context.Context, l *Log, known Mark, records []Record, rebase Rebase) error {
	ctx = context.WithoutCancel(ctx)
	tx, err := l.writes.BeginTx(ctx, nil)
	if err != nil {
		return l.failed("write to", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	mark, err := l.mark(ctx, tx)
	if err != nil {
		return err
	}
	if known.Compact = mark.Compact; mark != known {
		if records, err = l.rebase(ctx, tx, known, mark, rebase); err != nil || len(records) == 0 {
			return err
		}
	}
	insert := tx.StmtContext(ctx, d.insert)
	for _, r := range records {
		args := append([]any{r.Revision}, rowArgs(r)...)
		_, err := insert.ExecContext(ctx, args...)
		if isDuplicate(err) {
			if err := l.makeRoom(ctx, tx, r.Revision-1, len(records)); err != nil {
				return err
			}
			_, err = insert.ExecContext(ctx, args...)
		}
		if err != nil {
			return l.failed("write to", err)
		}
	}
	last := records[len(records)-1]
	if _, err := tx.StmtContext(ctx, d.advance).ExecContext(ctx, last.Revision, last.Operation); err != nil {
		return l.failed("write to", err)
	}
	if err := tx.Commit(); err != nil {
		return l.failed("write to", err)
	}
	return nil
}

// isDuplicate says that a revision is there already: of a row above the tail, which is
// nothing.
func isDuplicate(err error) bool {
	var lite sqlite3.Error
	return errors.As(err, &lite) && lite.ExtendedCode == sqlite3.ErrConstraintPrimaryKey
}

// beginSnapshot takes no lock, which BEGIN alone would here. The view is that of the first
// statement after it.
func (*sqliteDialect) beginSnapshot(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "BEGIN DEFERRED")
	return err
}

func (*sqliteDialect) size(ctx context.Context, l *Log) (int64, error) {
	var pages, pageBytes int64
	err := l.reads.QueryRowContext(ctx, "SELECT page_count, page_size FROM pragma_page_count(), pragma_page_size()").Scan(&pages, &pageBytes)
	if err != nil {
		return 0, l.failed("measure", err)
	}
	return pages * pageBytes, nil
}

// shrinkPages is how much one call gives back, so that writers do not wait.
const shrinkPages = 500

// shrink moves pages from the end of the file to where some are free, and cuts it off. The file
// gets shorter when that is copied from the log beside it, which the last call does not leave to
// the writes that follow.
func (*sqliteDialect) shrink(ctx context.Context, l *Log) (more bool, err error) {
	before, err := l.freePages(ctx)
	if err != nil || before == 0 {
		return false, err
	}
	if err := l.drain(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", shrinkPages)); err != nil { // each row is a page
		return false, err
	}
	after, err := l.freePages(ctx)
	if err != nil || after > 0 {
		return after < before, err
	}
	return false, l.drain(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
}

func (l *Log) freePages(ctx context.Context) (int64, error) {
	var free int64
	if err := l.writes.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
		return 0, l.failed("measure", err)
	}
	return free, nil
}

// drain runs a statement whose rows mean nothing.
func (l *Log) drain(ctx context.Context, statement string) error {
	rows, err := l.writes.QueryContext(ctx, statement)
	if err != nil {
		return l.failed("shrink", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
	}
	if err := rows.Err(); err != nil {
		return l.failed("shrink", err)
	}
	return nil
}

// shrinks looks at how the file was made.
func (*sqliteDialect) shrinks(ctx context.Context, l *Log) (bool, error) {
	var vacuum, free int
	err := l.reads.QueryRowContext(ctx, "SELECT auto_vacuum, freelist_count FROM pragma_auto_vacuum(), pragma_freelist_count()").Scan(&vacuum, &free)
	if err != nil {
		return false, l.failed("measure", err)
	}
	return vacuum != 0 || free == 0, nil
}

// rewrite needs as much space again. Only here does auto_vacuum take effect on a file that was
// made without.
func (*sqliteDialect) rewrite(ctx context.Context, l *Log) error {
	for _, statement := range []string{"PRAGMA auto_vacuum = 2", "VACUUM"} {
		if _, err := l.writes.ExecContext(ctx, statement); err != nil {
			return l.failed("rewrite", err)
		}
	}
	return nil
}

func (*sqliteDialect) localIP() net.IP { return nil }

// fillingNote is what is in the file of that note, for people who find it.
const fillingNote = "Data is being copied into the database beside this file, or was until that was interrupted.\n"

// filling is noted in a file beside the database: before SQLite has synced anything, what it
// has written to the database is taken back after a crash.
func (d *sqliteDialect) notePath() string { return d.path + "-unfinished" }

func (d *sqliteDialect) noteFilling(context.Context, *Log) error {
	file, err := os.OpenFile(d.notePath(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(fillingNote)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	directory, err := os.Open(filepath.Dir(d.path))
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// noteBeforeOpening notes it of a file with nothing in it: to open that is to write to it.
func (d *sqliteDialect) noteBeforeOpening(ctx context.Context) error {
	info, err := os.Stat(d.path)
	if err != nil || info.Size() > 0 {
		return err
	}
	return d.noteFilling(ctx, nil)
}

func (d *sqliteDialect) filling(context.Context, *Log) (bool, error) {
	_, err := os.Stat(d.notePath())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// unnoteFilling removes the file. If it stays, nobody asks for it.
func (d *sqliteDialect) unnoteFilling() { _ = os.Remove(d.notePath()) }

func (*sqliteDialect) now() string { return "CAST(strftime('%s', 'now') AS INTEGER)" }
