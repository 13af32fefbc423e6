package sqllog

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// MySQLConfig says how to reach a database that speaks MySQL's protocol.
type MySQLConfig struct {
	// DSN is a data source name of the Go driver. Its address is replaced by Addresses.
	DSN string
	// Addresses are host:port pairs of the same database; the first that takes writes is
	// used, and another one when that ends.
	Addresses []string
	// Name is what errors call the database; it holds no password.
	Name string
	// TLS secures the connection; nil leaves that to the DSN.
	TLS *tls.Config
	// PasswordFile, if not empty, holds the password. It is read for every connection.
	PasswordFile string
	// Tables says what to do about tables that are not there.
	Tables Tables
	// MaxOpenConnections and MaxIdleConnections bound the pool; 0 means 8 and 4.
	MaxOpenConnections, MaxIdleConnections int
}

const (
	defaultOpenConnections = 8
	defaultIdleConnections = 4
	// maxIdleTime is below the time after which the server ends an idle connection, see
	// settings.
	maxIdleTime = 5 * time.Second

	// envelopeBytes are for what is around keys and values in a statement.
	envelopeBytes = 256 << 10
	// minPacketBytes is what the server must take in one packet: a value of 1.5 MiB, of
	// which every byte may need escaping, and what is around it.
	minPacketBytes = 4 << 20
	// maxBatchBytes is the most that one transaction carries even if the server would take
	// more: Galera and replicas like small ones.
	maxBatchBytes = 4 << 20
)

// mysqlSchema has nothing to compare names with: names are bytes, and not searched.
var mysqlSchema = []table{
	{"koinon_meta", `CREATE TABLE IF NOT EXISTS koinon_meta (
		id TINYINT NOT NULL PRIMARY KEY,
		layout INT NOT NULL,
		tail BIGINT NOT NULL,
		op BIGINT NOT NULL,
		compact BIGINT NOT NULL,
		epoch BIGINT NOT NULL,
		base BIGINT NOT NULL,
		staging BIGINT NOT NULL,
		compacted BIGINT NOT NULL,
		probe BIGINT NOT NULL,
		secret VARBINARY(32) NOT NULL
	) ENGINE=InnoDB`},
	{"koinon_log", `CREATE TABLE IF NOT EXISTS koinon_log (
		rev BIGINT NOT NULL PRIMARY KEY,
		name VARBINARY(2048) NOT NULL,
		create_rev BIGINT NOT NULL,
		version BIGINT NOT NULL,
		lease BIGINT NOT NULL,
		expires BIGINT NOT NULL,
		deleted TINYINT NOT NULL,
		op BIGINT NOT NULL,
		value MEDIUMBLOB NOT NULL
	) ENGINE=InnoDB`},
	{"koinon_peer", `CREATE TABLE IF NOT EXISTS koinon_peer (
		id BIGINT NOT NULL PRIMARY KEY,
		address VARBINARY(255) NOT NULL,
		seen BIGINT NOT NULL
	) ENGINE=InnoDB`},
}

// mysqlDialect is MySQL and what speaks its protocol.
type mysqlDialect struct {
	connector *connector
	packet    packet
}

// OpenMySQL opens a log, and makes the database and its tables if need be.
func OpenMySQL(ctx context.Context, config MySQLConfig) (*Log, error) {
	connector, err := newConnector(config, true)
	if err != nil {
		return nil, err
	}
	if config.MaxOpenConnections == 0 {
		config.MaxOpenConnections = defaultOpenConnections
	}
	if config.MaxIdleConnections == 0 {
		config.MaxIdleConnections = min(defaultIdleConnections, config.MaxOpenConnections)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(config.MaxOpenConnections)
	db.SetMaxIdleConns(config.MaxIdleConnections)
	db.SetConnMaxIdleTime(maxIdleTime)
	l := &Log{reads: db, writes: db, idle: config.MaxIdleConnections, name: config.Name, selectMark: selectMark}
	if len(config.Addresses) > 1 {
		l.selectMark = selectMarkAndRole
	}
	err = l.prepareMySQL(ctx, connector, config.Tables)
	if hasNumber(err, unknownDatabase) {
		if config.Tables.Exist() {
			err = fmt.Errorf("open the %s: %w", config.Name, ErrNoTables)
		} else if err = createDatabase(ctx, config, connector.database); err == nil {
			err = l.prepareMySQL(ctx, connector, config.Tables)
		}
	}
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return l, nil
}

// unknownDatabase is the server's code for a database that it does not have.
const unknownDatabase = 1049

func createDatabase(ctx context.Context, config MySQLConfig, name string) error {
	connector, err := newConnector(config, false)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS `"+strings.ReplaceAll(name, "`", "``")+"`"); err != nil {
		return fault.New("make the database of the "+config.Name, classify(err), err)
	}
	return nil
}

// unfit is a database that cannot be used as it is set up, or by this program: the reason
// follows "it", and is for clients, too, who are not told where the database is.
func (l *Log) unfit(format string, args ...any) error {
	what := fault.Fault{Kind: fault.Unfit, Reason: "the database cannot be used: it " + fmt.Sprintf(format, args...)}
	return fault.New("open the "+l.name, what, nil)
}

func (l *Log) prepareMySQL(ctx context.Context, connector *connector, tables Tables) error {
	var packet int
	var version string
	if err := l.reads.QueryRowContext(ctx, "SELECT @@max_allowed_packet, VERSION()").Scan(&packet, &version); err != nil {
		return l.failed("open", err)
	}
	dialect := mysqlDialect{connector, plain}
	if strings.Contains(version, "MariaDB") {
		dialect.packet = compound
		if err := l.checkReplicates(ctx); err != nil {
			return err
		}
	} else if err := l.checkNoGalera(ctx); err != nil {
		return err
	}
	l.dialect = dialect
	if packet < minPacketBytes && tables != ForeignTables {
		return l.unfit("takes packets of %d bytes; set max_allowed_packet to %d or more", packet, minPacketBytes)
	}
	l.batchBytes = min(maxBatchBytes, (packet-envelopeBytes)/2)
	return l.prepare(ctx, mysqlSchema, "INSERT IGNORE INTO", tables)
}

// checkNoGalera refuses Galera without MariaDB: there is no way to send it a packet of several
// statements as one.
func (l *Log) checkNoGalera(ctx context.Context) error {
	var on int
	err := l.reads.QueryRowContext(ctx, "SELECT @@wsrep_on + 0").Scan(&on)
	if hasNumber(err, unknownVariable) || err == nil && on == 0 {
		return nil
	}
	if err != nil {
		return l.failed("open", err)
	}
	return l.unfit("is a Galera cluster of MySQL, which may run a part of a transaction outside of it; MariaDB's Galera is supported")
}

// checkReplicates refuses a node of a Galera cluster that would keep what this session writes
// to itself. To change that takes a privilege, so it is not set but asked for.
func (l *Log) checkReplicates(ctx context.Context) error {
	var on int
	var provider sql.NullString
	err := l.reads.QueryRowContext(ctx, "SELECT @@wsrep_on + 0, @@global.wsrep_provider").Scan(&on, &provider)
	if hasNumber(err, unknownVariable) {
		return nil
	}
	if err != nil {
		return l.failed("open", err)
	}
	if on == 0 && provider.String != "" && provider.String != "none" {
		return l.unfit("is a node of a Galera cluster with wsrep_on off, so that other nodes would not get what is written to it; set it to ON, or leave it out of the data source name")
	}
	return nil
}

// newSecret is the key that peers sign their notices with.
func newSecret() []byte {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails: crypto/rand
	return secret
}

// snapshotVariables let a reader take its time: the time limits of other sessions are there
// to free a lock, and it holds none. Those that a server does not know, or forbids, are left
// out.
var snapshotVariables = []string{
	"wait_timeout = 600",
	"net_write_timeout = 600",
	"idle_transaction_timeout = 600",
	"idle_readonly_transaction_timeout = 600",
	// OceanBase, in microseconds.
	"ob_query_timeout = 600000000",
	"ob_trx_idle_timeout = 600000000",
	"ob_trx_timeout = 86400000000",
}

func (mysqlDialect) beginSnapshot(ctx context.Context, conn *sql.Conn) error {
	for _, variable := range snapshotVariables {
		_, err := conn.ExecContext(ctx, "SET SESSION "+variable)
		var answer *mysql.MySQLError
		if err != nil && !errors.As(err, &answer) {
			return err
		}
	}
	if _, err := conn.ExecContext(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
	return err
}

func (mysqlDialect) size(ctx context.Context, l *Log) (int64, error) {
	var size sql.NullInt64
	err := l.reads.QueryRowContext(ctx, `SELECT CAST(SUM(data_length + index_length + data_free) AS SIGNED) FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_name IN ('koinon_meta', 'koinon_log', 'koinon_peer')`).Scan(&size)
	if err != nil {
		return 0, l.failed("measure", err)
	}
	return size.Int64, nil
}

// shrink does nothing: InnoDB uses the space of deleted rows again.
func (mysqlDialect) shrink(context.Context, *Log) (more bool, err error) { return false, nil }

func (mysqlDialect) shrinks(context.Context, *Log) (bool, error) { return true, nil }

func (mysqlDialect) rewrite(context.Context, *Log) error { return nil }

// fillingComment is that of koinon_meta if somebody made it in order to fill the log: a note
// that is there at once with the first of the tables, which no transaction could do.
const fillingComment = "made by a restore or migration"

func (mysqlDialect) noteFilling(ctx context.Context, l *Log) error {
	meta := mysqlSchema[0]
	if there, err := l.hasTable(ctx, meta.name); err != nil || there {
		return err
	}
	_, err := l.writes.ExecContext(ctx, meta.statement+" COMMENT='"+fillingComment+"'")
	return err
}

func (mysqlDialect) filling(ctx context.Context, l *Log) (bool, error) {
	var comment string
	err := l.reads.QueryRowContext(ctx, "SELECT table_comment FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?", mysqlSchema[0].name).Scan(&comment)
	if isNoRows(err) {
		return false, nil
	}
	return comment == fillingComment, err
}

// unnoteFilling does nothing: once the table has a row, nobody asks.
func (mysqlDialect) unnoteFilling() {}

func (mysqlDialect) now() string { return "UNIX_TIMESTAMP()" }

func (d mysqlDialect) localIP() net.IP {
	if local := d.connector.local.Load(); local != nil {
		return *local
	}
	return nil
}

// silent keeps the driver from writing about failed connections to standard error.
type silent struct{}

// Print implements mysql.Logger.
func (silent) Print(...any) {}

var _ mysql.Logger = silent{}
