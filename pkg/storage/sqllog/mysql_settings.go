package sqllog

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// setting is what every session is set to, and what happens if that cannot be done. A variable
// that a server does not know belongs to another one of those that speak the protocol, and is
// left out.
type setting struct {
	statement string
	refused   refusal
}

// refusal says what it means that the server refuses a setting.
type refusal int

const (
	// fatal: the server cannot be used.
	fatal refusal = iota
	// harmless: whoever may not change it has not changed it either, and there is no default
	// of the server that could be another one.
	harmless
)

// settings are made on every connection, after the server's defaults, its init_connect and the
// parameters of the data source name, and so whatever these say. They are all the variables
// that could change what the statements of this package do, or what they return. docs/store.md says
// why others are left alone.
var settings = []setting{
	// All that is sent are bytes and ASCII. In some character sets, a byte of a value could be
	// read as one half of a character, and the quote behind it as the other half.
	{"NAMES binary", fatal},
	{"SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", fatal},
	// Bad data is an error. The guard of an append relies on it. In a compound statement,
	// MariaDB puts the arguments of what is prepared back into its text: with only quotes to
	// escape, that takes a quarter of the time. Others do not read that comment, and do not
	// all say how they escape when the driver looks for it.
	{"SESSION sql_mode = CONCAT('STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'/*M! ,',NO_BACKSLASH_ESCAPES' */)", fatal},
	// Without it, a single statement is never committed.
	{"SESSION autocommit = 1", fatal},
	// A COMMIT begins no other transaction, and does not end the connection.
	{"SESSION completion_type = 0", fatal},
	// How many rows a SELECT returns at most. OceanBase has no higher limit.
	{"SESSION sql_select_limit = 9223372036854775807", fatal},
	// How many rows a SELECT may look at, and for how long it may (MariaDB, MySQL). The time
	// limits of this package are its own.
	{"SESSION sql_big_selects = 1", fatal},
	{"SESSION max_statement_time = 0", fatal},
	{"SESSION max_execution_time = 0", fatal},
	{"SESSION sql_safe_updates = 0", fatal},
	// An append relies on it that a revision is there once.
	{"SESSION unique_checks = 1", fatal},
	// What is read is what the tables hold, now, and not what a cache does (MariaDB), another
	// replica (OceanBase), or the past (TiDB).
	{"SESSION query_cache_type = 0", fatal},
	{"SESSION ob_read_consistency = 'STRONG'", fatal},
	{"SESSION tidb_snapshot = ''", fatal},
	{"SESSION tidb_read_staleness = 0", fatal},
	// Replicas get what is written, and the clock runs.
	{"SESSION sql_log_bin = 1", harmless},
	{"SESSION timestamp = DEFAULT", harmless},
	// How long one writer waits for another before it begins anew.
	{"SESSION innodb_lock_wait_timeout = 2", fatal},
	// A process that is stopped or cut off must not keep the lock: the server ends its
	// transaction (MariaDB), or at last its connection.
	{"SESSION idle_transaction_timeout = 3", fatal},
	{"SESSION wait_timeout = 10", fatal},
	// Galera: a read sees what any node has acknowledged.
	{"SESSION wsrep_sync_wait = 1", fatal},
	// MySQL 8: sizes are measured, not remembered for a day.
	{"SESSION information_schema_stats_expiry = 0", fatal},
}

const (
	// unknownVariable is the server's code for a variable that it does not have, and
	// unsupportedValue OceanBase's for one that it has in name only.
	unknownVariable  = 1193
	unsupportedValue = 1235
)

// forbidden are the codes of a server that does not let a session change a variable.
var forbidden = []uint16{1227, 1290}

// sessionSettings are the settings as one server takes them.
type sessionSettings struct {
	// packet has all that it took the last time, to be sent at once.
	packet atomic.Pointer[string]
}

// apply makes the settings on a connection.
func (s *sessionSettings) apply(ctx context.Context, conn driver.ExecerContext) error {
	if packet := s.packet.Load(); packet != nil {
		_, err := conn.ExecContext(ctx, *packet, nil)
		var answer *mysql.MySQLError
		if err == nil || !errors.As(err, &answer) {
			return err
		}
		s.packet.Store(nil) // it is another server now
	}
	var taken []string
	for _, each := range settings {
		took, err := each.apply(ctx, conn)
		if err != nil {
			return err
		}
		if took {
			taken = append(taken, "SET "+each.statement)
		}
	}
	packet := strings.Join(taken, ";")
	s.packet.Store(&packet)
	return nil
}

// apply makes one setting. It is not taken if the server need not have it.
func (s setting) apply(ctx context.Context, conn driver.ExecerContext) (taken bool, err error) {
	_, err = conn.ExecContext(ctx, "SET "+s.statement, nil)
	var answer *mysql.MySQLError
	switch {
	case err == nil:
		return true, nil
	case hasNumber(err, unknownVariable, unsupportedValue), s.refused == harmless && hasNumber(err, forbidden...):
		return false, nil
	case !errors.As(err, &answer), classify(err).Kind.Passes():
		return false, err
	}
	return false, fault.New("", fault.Fault{Kind: fault.Unfit, Reason: "the database cannot be used: it refuses to SET " + s.statement + ", on which it depends what it does and returns"}, err)
}
