package embedded

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// retryInterval is the pause between attempts to reach a datastore.
const retryInterval = 250 * time.Millisecond

// Check waits until the datastore answers, for at most the timeout; zero means 10 s. Kine on its
// own would try for five minutes and log each attempt.
func Check(ctx context.Context, parsed Datastore, files TLS, timeout time.Duration) error {
	if timeout == 0 {
		timeout = defaultConnectTimeout
	}
	if parsed.Kind == SQLite {
		return checkSQLite(parsed)
	}
	probe := probeMySQL
	if parsed.Kind == Etcd {
		probe = probeEtcd
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	for {
		err := probe(ctx, parsed, files)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if refused(err) {
			return fmt.Errorf("the %s refused the connection: %w", parsed, last)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the %s did not answer within %s: %w", parsed, timeout, last)
		case <-time.After(retryInterval):
		}
	}
}

// refused says that the database answered, and that asking again cannot help.
func refused(err error) bool {
	var answer *mysql.MySQLError
	return errors.As(err, &answer) && (answer.Number == 1045 || answer.Number == 1044 || answer.Number == 1698)
}

// sqliteMagic begins every SQLite database that is not empty.
const sqliteMagic = "SQLite format 3\x00"

func checkSQLite(parsed Datastore) error {
	if err := createFile(parsed.path); err != nil {
		return err
	}
	file, err := os.Open(parsed.path)
	if err != nil {
		return fmt.Errorf("open the database file: %w", err)
	}
	defer func() { _ = file.Close() }()
	head := make([]byte, len(sqliteMagic))
	n, err := io.ReadFull(file, head)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read the database file %s: %w", parsed.path, err)
	}
	if string(head[:n]) != sqliteMagic {
		return fmt.Errorf("%s is not a SQLite database: give another path, or restore it from a backup", parsed.path)
	}
	return nil
}

// probeMySQL connects to the database, and makes it when the server does not have it.
func probeMySQL(ctx context.Context, parsed Datastore, files TLS) error {
	config, err := mysql.ParseDSN(parsed.source)
	if err != nil {
		return errors.New("the data source name is not readable")
	}
	config.Logger = silent{}
	if config.TLS, err = ClientTLS(files); err != nil {
		return err
	}
	err = execMySQL(ctx, config, "DO 0")
	var answer *mysql.MySQLError
	if !errors.As(err, &answer) || answer.Number != unknownDatabase {
		return err
	}
	create := fmt.Sprintf("CREATE DATABASE IF NOT EXISTS `%s`", strings.ReplaceAll(config.DBName, "`", "``"))
	config.DBName = ""
	return execMySQL(ctx, config, create)
}

// unknownDatabase is the server's code for a database that it does not have.
const unknownDatabase = 1049

func execMySQL(ctx context.Context, config *mysql.Config, statement string) error {
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// silent keeps the driver from writing about failed attempts to standard error.
type silent struct{}

// Print implements mysql.Logger.
func (silent) Print(...any) {}

// probeEtcd reads a key. It makes a plain connection first: etcd's client would only say
// that time ran out, and log each attempt.
func probeEtcd(ctx context.Context, parsed Datastore, files TLS) error {
	if err := dialAny(ctx, parsed.Addresses); err != nil {
		return err
	}
	config, err := ClientTLS(files)
	if err != nil {
		return err
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: parsed.EtcdURLs(files), TLS: config, Context: ctx, Logger: zap.NewNop(),
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	_, err = client.Get(ctx, "koinon-probe")
	return err
}

// dialAny returns nil when one of the addresses takes connections.
func dialAny(ctx context.Context, addresses []string) error {
	var dialer net.Dialer
	var last error
	for _, address := range addresses {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		last = err
	}
	return last
}

// ClientTLS loads the files; nil means plain.
func ClientTLS(files TLS) (*tls.Config, error) {
	if files == (TLS{}) {
		return nil, nil
	}
	info := transport.TLSInfo{CertFile: files.CertFile, KeyFile: files.KeyFile, TrustedCAFile: files.CAFile}
	config, err := info.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("load the TLS files of the datastore: %w", err)
	}
	return config, nil
}
