package sqllog

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"
)

// Inspection is what there is to say about a log and its database.
type Inspection struct {
	Mark Mark
	// Version is that of the server, or of the library, with its name.
	Version string
	// Size is what the tables take on disk, in bytes.
	Size int64
	// MaxPacket is the largest packet that the server takes, in bytes; 0 if there are none.
	MaxPacket int64
	// Compacted is how long ago the log was compacted; negative means never.
	Compacted time.Duration
	// Staging says that a restore has begun to prepare rows, and not finished.
	Staging bool
	// Peers are the servers that use the database.
	Peers []Peer
	// Warnings say what makes acknowledged writes less safe than they should be, a sentence
	// each.
	Warnings []string
}

// Inspect looks at the log. It does not read rows.
func (l *Log) Inspect(ctx context.Context) (Inspection, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var i Inspection
	var now, compacted, staging int64
	err := l.reads.QueryRowContext(ctx, "SELECT tail, compact, epoch, op, compacted, staging, "+l.dialect.now()+" FROM koinon_meta WHERE id = 1").
		Scan(&i.Mark.Tail, &i.Mark.Compact, &i.Mark.Epoch, &i.Mark.Operation, &compacted, &staging, &now)
	if err != nil {
		return i, l.failed("read the state of", err)
	}
	i.Staging, i.Compacted = staging > 0, -1
	if compacted > 0 {
		i.Compacted = time.Duration(max(0, now-compacted)) * time.Second
	}
	if i.Size, err = l.Size(ctx); err != nil {
		return i, err
	}
	if i.Peers, err = l.Peers(ctx); err != nil {
		return i, err
	}
	return i, l.dialect.inspect(ctx, l, &i)
}

// Rows counts the rows that replaced contents have left (void) and those that a restore has
// prepared (staged).
func (l *Log) Rows(ctx context.Context) (void, staged int64, err error) {
	m, err := l.meta(ctx, l.reads)
	if err != nil {
		return 0, 0, err
	}
	if void, _, err = l.count(ctx, 0, m.base, 0, 0); err != nil {
		return 0, 0, err
	}
	_, staged, err = l.count(ctx, m.Tail, math.MaxInt64, firstClaim, math.MaxInt64)
	return void, staged, err
}

// countRows is how many rows one statement counts.
const countRows = 20000

// count counts the rows between two revisions, and those among them whose operation is
// between two others, both inclusive. It counts some at a time, so that no statement takes
// long.
func (l *Log) count(ctx context.Context, after, upTo, from, to int64) (all, some int64, err error) {
	for {
		var n, among, last sql.NullInt64
		err := l.reads.QueryRowContext(ctx, `SELECT COUNT(*), SUM(CASE WHEN op BETWEEN ? AND ? THEN 1 ELSE 0 END), MAX(rev)
			FROM (SELECT rev, op FROM koinon_log WHERE rev > ? AND rev <= ? ORDER BY rev LIMIT ?) AS first_rows`, from, to, after, upTo, countRows).
			Scan(&n, &among, &last)
		if err != nil {
			return 0, 0, l.failed("read from", err)
		}
		if n.Int64 == 0 {
			return all, some, nil
		}
		all, some, after = all+n.Int64, some+among.Int64, last.Int64
	}
}

// variable reads a variable of a MySQL server; false means that the server has none of that
// name.
func (l *Log) variable(ctx context.Context, name string) (string, bool, error) {
	var value sql.NullString
	err := l.reads.QueryRowContext(ctx, "SELECT CAST(@@global."+name+" AS CHAR)").Scan(&value)
	if hasNumber(err, unknownVariable, sessionOnly) {
		return "", false, nil
	}
	if err != nil {
		return "", false, l.failed("ask for a setting of", err)
	}
	return value.String, value.Valid, nil
}

// sessionOnly is the server's code for a variable that is not a global one.
const sessionOnly = 1238

// safety is what a MySQL server should have, and what it means if it has not.
var safety = []struct {
	name, want, warning string
}{
	{"innodb_flush_log_at_trx_commit", "1", "a crash of its machine loses the writes of the last second or so, which clients have seen: set it to 1"},
	{"innodb_doublewrite", "1", "a power cut can destroy pages: leave it on, unless the file system writes 16 KiB atomically"},
	{"read_only", "0", "it takes no writes: this is a replica, or somebody has set it so"},
	{"super_read_only", "0", "it takes no writes: this is a replica, or somebody has set it so"},
	{"innodb_read_only", "0", "it takes no writes"},
}

func (mysqlDialect) inspect(ctx context.Context, l *Log, i *Inspection) error {
	if err := l.reads.QueryRowContext(ctx, "SELECT CONCAT(VERSION(), ', ', @@version_comment), @@max_allowed_packet").Scan(&i.Version, &i.MaxPacket); err != nil {
		return l.failed("ask for the version of", err)
	}
	for _, setting := range safety {
		value, known, err := l.variable(ctx, setting.name)
		if err != nil {
			return err
		}
		if known && !isSet(value, setting.want) {
			i.Warnings = append(i.Warnings, fmt.Sprintf("%s is %s: %s", setting.name, value, setting.warning))
		}
	}
	logging, _, err := l.variable(ctx, "log_bin")
	if err != nil {
		return err
	}
	sync, known, err := l.variable(ctx, "sync_binlog")
	if err == nil && known && isSet(logging, "1") && sync != "1" {
		i.Warnings = append(i.Warnings, fmt.Sprintf("sync_binlog is %s with log_bin on: a crash of its machine can make replicas differ from it, or lose writes: set it to 1", sync))
	}
	return err
}

// isSet compares values of variables, of which some are words in some servers.
func isSet(value, want string) bool {
	switch value {
	case "ON", "on", "TRUE", "true", "fast", "FAST", "DETECT_AND_RECOVER":
		value = "1"
	case "OFF", "off", "FALSE", "false":
		value = "0"
	}
	return value == want
}

func (d *sqliteDialect) inspect(ctx context.Context, l *Log, i *Inspection) error {
	if err := l.reads.QueryRowContext(ctx, "SELECT 'SQLite ' || sqlite_version()").Scan(&i.Version); err != nil {
		return l.failed("ask for the version of", err)
	}
	if d.normal {
		i.Warnings = append(i.Warnings, "synchronous is normal: a power cut can take the last writes back, which clients have seen: leave out synchronous=normal")
	}
	return nil
}
