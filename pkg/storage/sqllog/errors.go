package sqllog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/go-sql-driver/mysql"
	"github.com/mattn/go-sqlite3"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// failed says what could not be done to which database, and what is wrong with it: no error of
// a driver leaves this package in another way. Connections to a server that has given up its
// part are closed, so that the next ones may go to another.
func (l *Log) failed(action string, err error) error {
	what := classify(err)
	if what.Kind == fault.Away || what.Kind == fault.ReadOnly {
		l.reads.SetMaxIdleConns(0)
		l.reads.SetMaxIdleConns(l.idle)
	}
	return fault.New(action+" the "+l.name, what, err)
}

// classify is the one place that knows what errors of drivers mean.
func classify(err error) fault.Fault {
	var known *fault.Error
	var answer *mysql.MySQLError
	var lite sqlite3.Error
	switch {
	case errors.As(err, &known):
		return known.Fault
	case errors.As(err, &answer):
		return classifyMySQL(answer)
	case errors.As(err, &lite):
		return classifySQLite(lite)
	}
	for _, known := range connectionFaults {
		if known.match(err) {
			return known.Fault
		}
	}
	return fault.Of(err)
}

// connectionFaults are told apart by what the operating system and the libraries say; the
// first that matches counts.
var connectionFaults = []struct {
	match func(error) bool
	fault.Fault
}{
	{oneOf(errReadOnly), fault.Fault{Kind: fault.ReadOnly, Reason: "it is read-only", Remedy: "none of the servers that --datastore names takes writes: name the primary, or make one writable"}},
	{oneOf(mysql.ErrNoTLS), fault.Fault{Kind: fault.Settings, Reason: "it takes no encrypted connections", Remedy: "turn TLS on there, or leave the --datastore-ca-file out"}},
	{oneOf(mysql.ErrCleartextPassword, mysql.ErrNativePassword, mysql.ErrOldPassword, mysql.ErrUnknownPlugin), fault.Fault{Kind: fault.Settings, Reason: "the way in which the user logs in is not supported", Remedy: "identify the user there with caching_sha2_password or mysql_native_password"}},
	{isA[*net.DNSError], fault.Fault{Kind: fault.Away, Reason: "its host name is not known"}},
	{oneOf(syscall.ECONNREFUSED), fault.Fault{Kind: fault.Away, Reason: "connection refused"}},
	{isTLS, fault.Fault{Kind: fault.Away, Reason: "the TLS handshake failed", Remedy: "see that its certificate is signed by the --datastore-ca-file and names this host"}},
	{isA[*fs.PathError], fault.Fault{Kind: fault.Settings, Reason: "the file with its password cannot be read"}},
	{oneOf(context.DeadlineExceeded, os.ErrDeadlineExceeded, syscall.ETIMEDOUT), fault.Fault{Kind: fault.Silent, Reason: "it did not answer in time"}},
	{oneOf(context.Canceled), fault.Fault{Kind: fault.Closed, Reason: "this server does not wait for it any more"}},
	{oneOf(driver.ErrBadConn, mysql.ErrInvalidConn, mysql.ErrMalformPkt, mysql.ErrPktSync, mysql.ErrPktSyncMul, mysql.ErrBusyBuffer, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF), lostConnection},
	{isA[net.Error], lostConnection},
}

var lostConnection = fault.Fault{Kind: fault.Away, Reason: "the connection was lost"}

// oneOf matches errors that are one of some.
func oneOf(targets ...error) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
}

// isA matches errors of a type.
func isA[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func isTLS(err error) bool {
	return isA[*tls.CertificateVerificationError](err) || isA[tls.RecordHeaderError](err) || isA[tls.AlertError](err) ||
		isA[x509.UnknownAuthorityError](err) || isA[x509.HostnameError](err) || isA[x509.CertificateInvalidError](err)
}

// sqliteFaults are the library's codes.
var sqliteFaults = map[sqlite3.ErrNo]fault.Fault{
	sqlite3.ErrBusy:     {Kind: fault.Locked, Remedy: "another process uses the file: let it end"},
	sqlite3.ErrLocked:   {Kind: fault.Locked},
	sqlite3.ErrProtocol: {Kind: fault.Locked},
	sqlite3.ErrNomem:    {Kind: fault.Overloaded, Remedy: "give this process more memory"},
	sqlite3.ErrFull:     {Kind: fault.Full, Remedy: "make room on its disk"},
	sqlite3.ErrReadonly: {Kind: fault.ReadOnly, Remedy: "see that its disk is mounted to be written to, and that the file and its directory belong to this user"},
	sqlite3.ErrPerm:     {Kind: fault.Denied, Remedy: "see that the file and its directory belong to this user"},
	sqlite3.ErrAuth:     {Kind: fault.Denied, Remedy: "see that the file and its directory belong to this user"},
	sqlite3.ErrCantOpen: {Kind: fault.Away, Remedy: "see that the file and its directory are there and belong to this user"},
	sqlite3.ErrIoErr:    {Kind: fault.Damaged, Remedy: "look into the system's log for errors of its disk"},
	sqlite3.ErrCorrupt:  {Kind: fault.Damaged, Remedy: "restore it from a backup"},
	sqlite3.ErrNotADB:   {Kind: fault.Damaged, Remedy: "restore it from a backup"},
}

func classifySQLite(answer sqlite3.Error) fault.Fault {
	what, known := sqliteFaults[answer.Code]
	if !known {
		what.Kind = fault.Failed
	}
	if answer.SystemErrno == syscall.ENOSPC || answer.SystemErrno == syscall.EDQUOT {
		what = sqliteFaults[sqlite3.ErrFull]
	}
	what.Reason = fmt.Sprintf("SQLite says %q", answer.Code.Error())
	return what
}

// hasNumber says that the server answered with one of the codes.
func hasNumber(err error, numbers ...uint16) bool {
	var answer *mysql.MySQLError
	return errors.As(err, &answer) && slices.Contains(numbers, answer.Number)
}

// isNoRows says that a row is not there.
func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }
