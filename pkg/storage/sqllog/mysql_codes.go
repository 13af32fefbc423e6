package sqllog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// mysqlFaults are the codes with which MySQL, MariaDB and what speaks their protocol refuse
// what this package sends, and those of the proxies before them. Their names are those of
// MySQL's and MariaDB's error references. What is not here is told with its number.
var mysqlFaults = []struct {
	fault.Fault
	codes []uint16
}{
	{
		fault.Fault{Kind: fault.Away, Reason: "it is shutting down, or not ready yet"},
		[]uint16{
			1047, // ER_UNKNOWN_COM_ERROR: a Galera node that is not part of a working cluster
			1053, // ER_SERVER_SHUTDOWN
			1079, // ER_SHUTDOWN_COMPLETE
		},
	},
	{
		fault.Fault{Kind: fault.Away, Reason: "it ended the connection"},
		[]uint16{
			1152, 1184, // ER_ABORTING_CONNECTION, ER_NEW_ABORTING_CONNECTION
			1158, 1159, 1160, 1161, // ER_NET_READ_ERROR … ER_NET_WRITE_INTERRUPTED
			1927,       // ER_CONNECTION_KILLED
			2006, 2013, // CR_SERVER_GONE_ERROR, CR_SERVER_LOST, from a proxy
			3169, // ER_SESSION_WAS_KILLED
			4031, // ER_CLIENT_INTERACTION_TIMEOUT
		},
	},
	{
		fault.Fault{Kind: fault.Away, Reason: "the proxy before it does not reach it", Remedy: "see to the servers behind the proxy"},
		[]uint16{
			2002, 2003, // CR_CONNECTION_ERROR, CR_CONN_HOST_ERROR
			9001, // ProxySQL: no server of the host group is reached
		},
	},
	{
		fault.Fault{Kind: fault.Silent, Reason: "it gave the statement up", Remedy: "see what keeps it busy, and that max_statement_time and max_execution_time are not too short"},
		[]uint16{
			1317, // ER_QUERY_INTERRUPTED
			1969, // ER_STATEMENT_TIMEOUT
			3024, // ER_QUERY_TIMEOUT
		},
	},
	{
		fault.Fault{Kind: fault.Overloaded, Reason: "it has too many connections", Remedy: "raise max_connections, or lower --datastore-max-open-connections"},
		[]uint16{
			1040, // ER_CON_COUNT_ERROR
			1203, // ER_TOO_MANY_USER_CONNECTIONS
			1226, // ER_USER_LIMIT_REACHED
		},
	},
	{
		fault.Fault{Kind: fault.Overloaded, Reason: "it is out of memory, threads or locks", Remedy: "give it more memory"},
		[]uint16{
			1037, 1038, 1041, // ER_OUTOFMEMORY, ER_OUT_OF_SORTMEMORY, ER_OUT_OF_RESOURCES
			1135, // ER_CANT_CREATE_THREAD
			1206, // ER_LOCK_TABLE_FULL
			1637, // ER_TOO_MANY_CONCURRENT_TRXS
		},
	},
	{
		fault.Fault{Kind: fault.Conflict, Reason: "transactions keep getting into each other's way"},
		[]uint16{
			1020, // ER_CHECKREAD
			1180, // ER_ERROR_DURING_COMMIT
			1213, // ER_LOCK_DEADLOCK
			1614, // ER_XA_RBDEADLOCK
			3101, // ER_TRANSACTION_ROLLBACK_DURING_COMMIT
			8022, // TiDB: the commit failed and may be tried again
			9007, // TiDB: write conflict
		},
	},
	{
		fault.Fault{Kind: fault.Locked, Reason: "another transaction keeps the lock", Remedy: "see who has locked koinon_meta or koinon_log, a backup with locks perhaps"},
		[]uint16{
			1099, 1223, // ER_TABLE_NOT_LOCKED_FOR_WRITE, ER_CANT_UPDATE_WITH_READLOCK
			1205, // ER_LOCK_WAIT_TIMEOUT
			3572, // ER_LOCK_NOWAIT
		},
	},
	{
		readOnly,
		[]uint16{
			1036, // ER_OPEN_AS_READONLY
			1207, // ER_READ_ONLY_TRANSACTION
			1792, // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
			1836, // ER_READ_ONLY_MODE
			1874, // ER_INNODB_READ_ONLY
			3989, // ER_SCHEMA_READ_ONLY
		},
	},
	{
		fault.Fault{Kind: fault.Full, Reason: "its disk is full", Remedy: "make room on its disk"},
		[]uint16{
			1021, // ER_DISK_FULL
			1026, // ER_ERROR_ON_WRITE
			1598, // ER_BINLOG_LOGGING_IMPOSSIBLE
		},
	},
	{
		fault.Fault{Kind: fault.Full, Reason: "a table is full", Remedy: "make room on its disk, or raise the limit of its tablespace"},
		[]uint16{
			1114, // ER_RECORD_FILE_FULL
		},
	},
	{
		fault.Fault{Kind: fault.Denied, Reason: "it does not accept this user and password", Remedy: "correct --datastore, or the --datastore-password-file"},
		[]uint16{
			1045, // ER_ACCESS_DENIED_ERROR
			1698, // ER_ACCESS_DENIED_NO_PASSWORD_ERROR
		},
	},
	{
		fault.Fault{Kind: fault.Denied, Reason: "the user's account is locked, or its password has expired", Remedy: "unlock the account, or give it a new password"},
		[]uint16{
			1820, // ER_MUST_CHANGE_PASSWORD
			1862, // ER_MUST_CHANGE_PASSWORD_LOGIN
			3118, // ER_ACCOUNT_HAS_BEEN_LOCKED
			3955, // ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK
			4151, // ER_ACCOUNT_HAS_BEEN_LOCKED of MariaDB
		},
	},
	{
		fault.Fault{Kind: fault.Denied, Reason: "it takes no connections from this host", Remedy: "create the user for this host, or end its block there with FLUSH HOSTS"},
		[]uint16{
			1129, // ER_HOST_IS_BLOCKED
			1130, // ER_HOST_NOT_PRIVILEGED
		},
	},
	{
		fault.Fault{Kind: fault.Denied, Reason: "the user may not use this database", Remedy: "grant SELECT, INSERT, UPDATE and DELETE on it"},
		[]uint16{
			1044, // ER_DBACCESS_DENIED_ERROR
		},
	},
	{
		fault.Fault{Kind: fault.Denied, Reason: "the user lacks a privilege", Remedy: "grant SELECT, INSERT, UPDATE and DELETE on the database, and CREATE for the first start, or make the tables with: koinon datastore schema"},
		[]uint16{
			1142, 1143, // ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR
			1227, // ER_SPECIFIC_ACCESS_DENIED_ERROR
			1370, // ER_PROCACCESS_DENIED_ERROR
		},
	},
	{
		fault.Fault{Kind: fault.Settings, Reason: "it does not know a variable, or a value of one, that the connection is to have", Remedy: "correct the parameters after the ? in --datastore"},
		[]uint16{
			1193,       // ER_UNKNOWN_SYSTEM_VARIABLE
			1228, 1229, // ER_LOCAL_VARIABLE, ER_GLOBAL_VARIABLE
			1231, 1232, // ER_WRONG_VALUE_FOR_VAR, ER_WRONG_TYPE_FOR_VAR
			1238, // ER_INCORRECT_GLOBAL_LOCAL_VAR
		},
	},
	{
		fault.Fault{Kind: fault.Settings, Reason: "it does not know the character set or collation that the connection is to have", Remedy: "leave charset and collation out of --datastore: they do not matter"},
		[]uint16{
			1115, // ER_UNKNOWN_CHARACTER_SET
			1253, // ER_COLLATION_CHARSET_MISMATCH
			1273, // ER_UNKNOWN_COLLATION
		},
	},
	{
		fault.Fault{Kind: fault.Settings, Reason: "its binary log cannot take what is written", Remedy: "set binlog_format to ROW or MIXED"},
		[]uint16{
			1661, 1662, 1663, 1664, 1665, 1666, // ER_BINLOG_ROW_ENGINE_AND_STMT_ENGINE … ER_BINLOG_ROW_INJECTION_AND_STMT_MODE
		},
	},
	{
		fault.Fault{Kind: fault.Settings, Reason: "its replication does not take what is written", Remedy: "look into the database's log"},
		[]uint16{
			1785, 1786, 1787, // ER_GTID_UNSAFE_…
			3098, 3100, // ER_BEFORE_DML_VALIDATION_ERROR, ER_RUN_HOOK_ERROR
		},
	},
	{
		fault.Fault{Kind: fault.Settings, Reason: "it takes only smaller packets", Remedy: fmt.Sprintf("set max_allowed_packet to %d or more, also in proxies", minPacketBytes)},
		[]uint16{
			1153, // ER_NET_PACKET_TOO_LARGE
		},
	},
	{
		fault.Fault{Kind: fault.Settings, Reason: "it requires encrypted connections", Remedy: "give the authority of its certificate with --datastore-ca-file"},
		[]uint16{
			3159, // ER_SECURE_TRANSPORT_REQUIRED
		},
	},
	{
		fault.Fault{Kind: fault.Settings, Reason: "it does not support the way in which the user logs in", Remedy: "identify the user there with caching_sha2_password or mysql_native_password"},
		[]uint16{
			1251, // ER_NOT_SUPPORTED_AUTH_MODE
			1275, // ER_SERVER_IS_IN_SECURE_AUTH_MODE
		},
	},
	{
		fault.Fault{Kind: fault.Settings, Reason: "it does not have InnoDB, or something else that is needed", Remedy: "turn on what its log names"},
		[]uint16{
			1286, // ER_UNKNOWN_STORAGE_ENGINE
			1289, // ER_FEATURE_DISABLED
		},
	},
	{
		fault.Fault{Kind: fault.Settings, Reason: "the database does not exist", Remedy: "make it, or grant CREATE to the user"},
		[]uint16{
			1046, // ER_NO_DB_ERROR
			1049, // ER_BAD_DB_ERROR
		},
	},
	{
		fault.Fault{Kind: fault.Damaged, Reason: "a table of Koinon is not there, or not as it was", Remedy: "restore it from a backup"},
		[]uint16{
			1054, // ER_BAD_FIELD_ERROR
			1146, // ER_NO_SUCH_TABLE
			1932, // ER_NO_SUCH_TABLE_IN_ENGINE
			1812, // ER_TABLESPACE_MISSING
			1814, // ER_TABLESPACE_DISCARDED
		},
	},
	{
		fault.Fault{Kind: fault.Damaged, Reason: "its storage engine reports an error", Remedy: "look into the database's log"},
		[]uint16{
			1015, 1016, 1023, 1024, // ER_CANT_LOCK, ER_CANT_OPEN_FILE, ER_ERROR_ON_CLOSE, ER_ERROR_ON_READ
			1030,             // ER_GET_ERRNO
			1033, 1034, 1035, // ER_NOT_FORM_FILE, ER_NOT_KEYFILE, ER_OLD_KEYFILE
			1194, 1195, // ER_CRASHED_ON_USAGE, ER_CRASHED_ON_REPAIR
			1712, 1815, 1817, // ER_INDEX_CORRUPT, ER_INTERNAL_ERROR, ER_INNODB_INDEX_CORRUPT
		},
	},
}

var readOnly = fault.Fault{Kind: fault.ReadOnly, Reason: "it is read-only", Remedy: "make it writable (read_only, super_read_only, innodb_read_only, transaction_read_only), or name the primary in --datastore"}

// optionForbids is ER_OPTION_PREVENTS_STATEMENT, which names the option.
const optionForbids = 1290

// engineFailed is ER_GET_ERRNO, which has the number of the operating system's error.
const engineFailed = 1030

func classifyMySQL(answer *mysql.MySQLError) fault.Fault {
	what := faultOfCode(answer.Number)
	said := strings.ReplaceAll(strings.ToLower(answer.Message), "_", "-")
	switch {
	case answer.Number == optionForbids && strings.Contains(said, "read-only"):
		what = readOnly
	case answer.Number == optionForbids:
		what = fault.Fault{Kind: fault.Settings, Reason: "an option of the server forbids it", Remedy: "start it without the option that it names"}
	case answer.Number == engineFailed && strings.Contains(said, "error 28 "):
		what = faultOfCode(1021)
	}
	if what.Kind == "" {
		return fault.Fault{Kind: fault.Refused, Reason: fmt.Sprintf("it answered with error %d", answer.Number)}
	}
	what.Reason = fmt.Sprintf("%s (%d)", what.Reason, answer.Number)
	return what
}

func faultOfCode(code uint16) fault.Fault {
	for _, each := range mysqlFaults {
		if slices.Contains(each.codes, code) {
			return each.Fault
		}
	}
	return fault.Fault{}
}
