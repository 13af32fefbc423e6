package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/engine"
	"github.com/koinon-io/koinon/pkg/storage/notice"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

const (
	// Address is what clients of an embedded store dial. It is never resolved.
	Address = "koinon-store"

	// stopTimeout is how long Close lets requests finish. The API servers have drained by
	// then; what is left are idle watches of their clients.
	stopTimeout = 500 * time.Millisecond
)

// Config says how to open a store.
type Config struct {
	// TLS is for MySQL.
	TLS datastore.TLS
	// PasswordFile, if not empty, holds the password for MySQL, instead of the data source
	// name. It is read for every new connection, so that it can be changed.
	PasswordFile string
	// MaxOpenConnections and MaxIdleConnections bound the connections to MySQL; 0 means 8
	// and 4.
	MaxOpenConnections, MaxIdleConnections int
	// ConnectTimeout is how long Open waits for an answer; zero means 10 s.
	ConnectTimeout time.Duration
	// NotifyInterval is how often a quiet watch is told the current revision; zero means 5 s.
	NotifyInterval time.Duration
	// Engine tunes the store.
	Engine engine.Options
}

// Store is an open store with etcd's API in front.
type Store struct {
	log *sqllog.Log
	// network is nil where no other server can use the data.
	network  *notice.Network
	engine   *engine.Engine
	listener *pairListener
	server   *grpc.Server
	held     *os.File // nil but for SQLite
}

// Open opens the database, which must be SQLite or MySQL, and returns once it answers and
// its keys are read.
func Open(ctx context.Context, where datastore.Datastore, config Config) (*Store, error) {
	redirectLogs()
	store := &Store{}
	var err error
	if where.Kind == datastore.SQLite {
		if store.held, err = holdSQLite(where); err != nil {
			return nil, err
		}
	}
	if store.log, err = OpenLog(ctx, where, config, sqllog.MakeTables); err != nil {
		store.release()
		return nil, err
	}
	log := store.log
	if store.network, err = notice.Join(ctx, log); err != nil {
		_ = store.closeLog()
		return nil, err
	}
	config.Engine.Store = where.What()
	if store.network != nil {
		config.Engine.Notices = store.network
	}
	if store.engine, err = engine.Open(ctx, log, config.Engine); err != nil {
		_ = store.closeLog()
		return nil, err
	}
	if config.NotifyInterval == 0 {
		config.NotifyInterval = defaultNotifyInterval
	}
	store.listener, store.server = newPairListener(), newServer(store.engine, config.NotifyInterval)
	go func() { _ = store.Serve(store.listener) }() // Close ends it
	return store, nil
}

// OpenLog opens the log in a database, which must be SQLite or MySQL, once it answers, and
// does as it is told about tables that are not there.
func OpenLog(ctx context.Context, where datastore.Datastore, config Config, tables sqllog.Tables) (*sqllog.Log, error) {
	log, err := openLog(ctx, where, config, tables)
	if errors.Is(err, sqllog.ErrKine) {
		return nil, fmt.Errorf("the %s has data of Kine, or of a Koinon that used it, and nothing in the form of this release: stop all servers and run `koinon datastore migrate %s`, or remove the table kine if its data is of no use", where, where.FromKine())
	}
	return log, err
}

func openLog(ctx context.Context, where datastore.Datastore, config Config, tables sqllog.Tables) (log *sqllog.Log, err error) {
	if where.Kind == datastore.SQLite {
		if err := checkSQLite(where, tables.Exist()); err != nil {
			return nil, err
		}
		return sqllog.OpenSQLite(ctx, sqllog.SQLiteConfig{Path: where.Path(), Name: where.String(), Normal: where.Normal(), Tables: tables})
	}
	tls, err := config.TLS.Client()
	if err != nil {
		return nil, err
	}
	mysql := sqllog.MySQLConfig{
		DSN: where.DSN(), Addresses: where.Addresses, Name: where.String(), TLS: tls, Tables: tables,
		PasswordFile: config.PasswordFile, MaxOpenConnections: config.MaxOpenConnections, MaxIdleConnections: config.MaxIdleConnections,
	}
	err = datastore.Await(ctx, where, config.ConnectTimeout, func(ctx context.Context) (err error) {
		log, err = sqllog.OpenMySQL(ctx, mysql)
		return err
	})
	return log, err
}

// Dial connects to the store.
func (s *Store) Dial(ctx context.Context) (net.Conn, error) { return s.listener.dial(ctx) }

// Serve serves the store on a further listener too, until Close. It returns the error with
// which the listener ended.
func (s *Store) Serve(l net.Listener) error { return s.server.Serve(l) }

// Metrics are for a registry of the caller's.
func (s *Store) Metrics() prometheus.Collector { return s.engine.Metrics() }

// Health says why the store cannot be used: nil means that it can.
func (s *Store) Health() error { return s.engine.Health() }

// Readable is Health for reads alone, which go on while the database refuses writes.
func (s *Store) Readable() error { return s.engine.Readable() }

// Close stops the store. Requests that are still running get half a second.
func (s *Store) Close() error {
	timer := time.AfterFunc(stopTimeout, s.server.Stop)
	defer timer.Stop()
	s.server.GracefulStop()
	s.engine.Close()
	return s.closeLog()
}

func (s *Store) closeLog() error {
	if s.network != nil {
		s.network.Leave()
	}
	defer s.release()
	return s.log.Close()
}

// release lets another server have the file of the database.
func (s *Store) release() {
	if s.held != nil {
		_ = s.held.Close()
	}
}
