package embedded

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/generic"
	kinemysql "github.com/k3s-io/kine/pkg/drivers/mysql"
	kinesqlite "github.com/k3s-io/kine/pkg/drivers/sqlite"
	kineserver "github.com/k3s-io/kine/pkg/server"
	kinetls "github.com/k3s-io/kine/pkg/tls"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// Address is what clients of an embedded store dial. It is never resolved.
	Address = "koinon-store"

	// emulatedEtcdVersion tells API servers that progress notifications work, which they
	// need for consistent reads from the watch cache.
	emulatedEtcdVersion = "3.6.11"
	// defaultNotifyInterval is how often a quiet watch is told the current revision.
	defaultNotifyInterval = 5 * time.Second

	// defaultConnectTimeout is how long Open waits for a datastore to answer.
	defaultConnectTimeout = 10 * time.Second
	// stopTimeout is how long Close lets requests finish. The API servers have drained by
	// then; what is left are idle watches of their clients.
	stopTimeout = 500 * time.Millisecond

	// maxRequestBytes is etcd's limit for one request, with room for the envelope.
	maxRequestBytes = 2 << 20
	// maxResponseBytes is the most that gRPC can carry.
	maxResponseBytes = 1<<31 - 1
)

// TLS names the files that secure the connection to a database or etcd. Empty means plain.
type TLS struct {
	CAFile   string
	CertFile string
	KeyFile  string
}

// Config says how to open a store.
type Config struct {
	// TLS is for MySQL.
	TLS TLS
	// ConnectTimeout is how long Open waits for an answer; zero means 10 s.
	ConnectTimeout time.Duration
	// NotifyInterval is how often a quiet watch is told the current revision; zero means 5 s.
	NotifyInterval time.Duration
}

// Store is an open store with etcd's API in front.
type Store struct {
	datastore Datastore
	listener  *pairListener
	server    *grpc.Server
	// stopBackend ends the goroutines of the backend; backend counts them.
	stopBackend context.CancelFunc
	backend     *sync.WaitGroup
}

// Open opens the database, which must be SQLite or MySQL, and returns once it answers.
func Open(ctx context.Context, datastore Datastore, config Config) (*Store, error) {
	redirectLogs()
	if err := Check(ctx, datastore, config.TLS, config.ConnectTimeout); err != nil {
		return nil, err
	}
	if config.NotifyInterval == 0 {
		config.NotifyInterval = defaultNotifyInterval
	}
	// The backend outlives the context of Open: Close ends it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	store := &Store{datastore: datastore, stopBackend: cancel, backend: &sync.WaitGroup{}}
	backend, err := store.newBackend(ctx, config)
	if err != nil {
		cancel()
		store.backend.Wait()
		return nil, err
	}
	store.serve(backend, config.NotifyInterval)
	return store, nil
}

// Dial connects to the store.
func (s *Store) Dial(ctx context.Context) (net.Conn, error) { return s.listener.dial(ctx) }

// Serve takes the connections of a listener too, until Close; it closes the listener then.
// Whoever can connect to it can read and write everything.
func (s *Store) Serve(listener net.Listener) error { return s.server.Serve(listener) }

// Close stops the store. Requests that are still running get half a second.
func (s *Store) Close() error {
	timer := time.AfterFunc(stopTimeout, s.server.Stop)
	defer timer.Stop()
	s.server.GracefulStop()
	s.stopBackend()
	s.backend.Wait()
	return nil
}

func (s *Store) newBackend(ctx context.Context, config Config) (kineserver.Backend, error) {
	var backend kineserver.Backend
	var err error
	driverConfig := s.driverConfig(config)
	if s.datastore.Kind == SQLite {
		if _, backend, err = kinesqlite.New(ctx, s.backend, driverConfig); err == nil {
			backend = newSerialBackend(backend)
		}
	} else {
		_, backend, err = kinemysql.New(ctx, s.backend, driverConfig)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.datastore, err)
	}
	if err := backend.Start(ctx); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.datastore, err)
	}
	return backend, nil
}

// driverConfig spells out what Kine's own command line would default. Compaction is left
// to the API servers, which ask for it every five minutes and agree on who does.
func (s *Store) driverConfig(config Config) *drivers.Config {
	pool := generic.ConnectionPoolConfig{MaxIdle: 4, MaxOpen: 8, MaxIdleTime: 2 * time.Minute}
	poll := time.Second
	if s.datastore.Kind != SQLite {
		pool = generic.ConnectionPoolConfig{MaxIdle: 20, MaxOpen: 64, MaxIdleTime: 2 * time.Minute}
		poll = 100 * time.Millisecond
	}
	return &drivers.Config{
		MetricsRegisterer:    registerMetrics(),
		DataSourceName:       s.datastore.source,
		ConnectionPoolConfig: pool,
		BackendTLSConfig:     kinetls.Config{CAFile: config.TLS.CAFile, CertFile: config.TLS.CertFile, KeyFile: config.TLS.KeyFile},
		CompactTimeout:       5 * time.Second,
		CompactMinRetain:     1000,
		CompactBatchSize:     1000,
		PollInterval:         poll,
		PollBatchSize:        500,
	}
}

// serve puts Kine's etcd front before the backend.
func (s *Store) serve(backend kineserver.Backend, notifyInterval time.Duration) {
	s.listener = newPairListener()
	s.server = grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxSendMsgSize(maxResponseBytes),
		// An API server opens a connection for each resource: keep the idle ones small.
		grpc.ReadBufferSize(8<<10),
		grpc.SharedWriteBuffer(true),
	)
	kineserver.New(backend, "http", notifyInterval, emulatedEtcdVersion).Register(s.server)
	// Serve returns when Close stops the server.
	go func() { _ = s.server.Serve(s.listener) }()
}

// createFile makes the database file before SQLite does, readable for its owner only.
func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the directory of the database: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the database file: %w", err)
	}
	return file.Close()
}
