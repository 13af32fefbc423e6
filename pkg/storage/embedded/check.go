package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// retryInterval is the pause between attempts to reach a datastore.
const retryInterval = 250 * time.Millisecond

// UnfinishedKey is in an etcd as long as data is copied into it. It says from where.
const UnfinishedKey = "/koinon/unfinished-migration"

// CheckEtcd waits until an etcd answers, for at most the timeout; zero means 10 s. One that
// has only a part of what was to be copied into it is refused.
func CheckEtcd(ctx context.Context, etcd Datastore, files TLS, timeout time.Duration) error {
	client, err := OpenEtcd(ctx, etcd, files, timeout)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, defaultConnectTimeout)
	defer cancel()
	unfinished, err := client.Get(ctx, UnfinishedKey)
	if err != nil {
		return fmt.Errorf("read from the %s: %w", etcd, err)
	}
	if len(unfinished.Kvs) > 0 {
		return fmt.Errorf("the %s has only a part of the data of the %s: run the command again that copied it, which goes on where it was interrupted", etcd, unfinished.Kvs[0].Value)
	}
	return nil
}

// OpenEtcd returns a client once the etcd answers, which it does within the timeout; zero
// means 10 s.
func OpenEtcd(ctx context.Context, etcd Datastore, files TLS, timeout time.Duration) (*clientv3.Client, error) {
	if err := untilAnswer(ctx, etcd, timeout, func(ctx context.Context) error { return probeEtcd(ctx, etcd, files) }); err != nil {
		return nil, err
	}
	return newEtcdClient(ctx, etcd, files)
}

func newEtcdClient(ctx context.Context, etcd Datastore, files TLS) (*clientv3.Client, error) {
	config, err := ClientTLS(files)
	if err != nil {
		return nil, err
	}
	return clientv3.New(clientv3.Config{Endpoints: etcd.EtcdURLs(files), TLS: config, Context: ctx, Logger: zap.NewNop()})
}

// untilAnswer tries until the datastore answers, for at most the timeout; zero means 10 s.
func untilAnswer(ctx context.Context, datastore Datastore, timeout time.Duration, try func(context.Context) error) error {
	if timeout == 0 {
		timeout = defaultConnectTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if sqllog.AccessDenied(err) {
			return fmt.Errorf("the %s refused the connection: %w", datastore, last)
		}
		if sqllog.Unsuitable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the %s did not answer within %s: %w", datastore, timeout, last)
		case <-time.After(retryInterval):
		}
	}
}

// CheckPasswordFile finds at once what would not get better by waiting.
func CheckPasswordFile(datastore Datastore, path string) error {
	if path == "" {
		return nil
	}
	if datastore.Kind != MySQL {
		return fmt.Errorf("--datastore-password-file is given, but a %s takes no password", datastore.What())
	}
	if _, err := os.ReadFile(path); err != nil {
		return fmt.Errorf("--datastore-password-file: %w", err)
	}
	return nil
}

// sqliteMagic begins every SQLite database that is not empty.
const sqliteMagic = "SQLite format 3\x00"

// checkSQLite makes the file where it is not there, unless it has to be.
func checkSQLite(parsed Datastore, mustExist bool) error {
	if !mustExist {
		if err := createFile(parsed.path); err != nil {
			return err
		}
	}
	file, err := os.Open(parsed.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the %s is not there", parsed)
	}
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

// probeEtcd reads a key. It makes a plain connection first: etcd's client would only say
// that time ran out, and log each attempt.
func probeEtcd(ctx context.Context, parsed Datastore, files TLS) error {
	if err := dialAny(ctx, parsed.Addresses); err != nil {
		return err
	}
	client, err := newEtcdClient(ctx, parsed, files)
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
