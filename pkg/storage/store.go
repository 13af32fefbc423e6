package storage

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
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/server/egressselector"
	"k8s.io/apiserver/pkg/storage/storagebackend"
)

const (
	// inProcessAddress is what clients of an embedded store dial. It is never resolved.
	inProcessAddress = "koinon-store"

	// emulatedEtcdVersion tells API servers that progress notifications work, which they
	// need for consistent reads from the watch cache.
	emulatedEtcdVersion = "3.6.11"
	// notifyInterval is how often a quiet watch is told the current revision.
	notifyInterval = 5 * time.Second

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

// Config says which store to open.
type Config struct {
	// Datastore is sqlite:///PATH, mysql://USER:PASSWORD@HOST:PORT/DATABASE,
	// oceanbase://… or etcd://HOST:PORT,…; empty means SQLite in DataDir.
	Datastore string
	// DataDir is where the default database file lies.
	DataDir string
	// TLS is for MySQL and etcd.
	TLS TLS
	// ConnectTimeout is how long Open waits for an answer; zero means 10 s.
	ConnectTimeout time.Duration
	// PollInterval is how often a shared database is asked for other servers' writes;
	// zero means 100 ms. A server sees its own writes at once.
	PollInterval time.Duration
}

// Store is an open store.
type Store struct {
	datastore datastore
	transport storagebackend.TransportConfig

	// The rest is nil for etcd.
	listener *pairListener
	server   *grpc.Server
	// stopBackend ends the goroutines of the backend; backend counts them.
	stopBackend context.CancelFunc
	backend     *sync.WaitGroup
}

// Open opens the store and waits until it answers. The error of a store that does not is
// one sentence that names host and port, and no password.
func Open(ctx context.Context, config Config) (*Store, error) {
	parsed, err := parseDatastore(config.Datastore, config.DataDir)
	if err != nil {
		return nil, err
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = defaultConnectTimeout
	}
	redirectLogs()
	if err := check(ctx, parsed, config); err != nil {
		return nil, err
	}
	if parsed.kind == Etcd {
		return &Store{datastore: parsed, transport: etcdTransport(parsed, config.TLS)}, nil
	}
	return openEmbedded(parsed, config)
}

// Kind says what keeps the data.
func (s *Store) Kind() Kind { return s.datastore.kind }

// Shared says whether other servers may use the same data at the same time, so that
// controllers need a leader.
func (s *Store) Shared() bool { return s.datastore.kind != SQLite }

// String names the store without user name and password.
func (s *Store) String() string { return s.datastore.String() }

// Transport is how an API server reaches the store.
func (s *Store) Transport() storagebackend.TransportConfig { return s.transport }

// Close stops the store. Requests that are still running get half a second.
func (s *Store) Close() error {
	if s.server == nil {
		return nil
	}
	timer := time.AfterFunc(stopTimeout, s.server.Stop)
	defer timer.Stop()
	s.server.GracefulStop()
	s.stopBackend()
	s.backend.Wait()
	return nil
}

func openEmbedded(parsed datastore, config Config) (*Store, error) {
	// The backend outlives the context of Open: Close ends it.
	ctx, cancel := context.WithCancel(context.Background())
	store := &Store{datastore: parsed, stopBackend: cancel, backend: &sync.WaitGroup{}}
	backend, err := store.newBackend(ctx, config)
	if err != nil {
		cancel()
		store.backend.Wait()
		return nil, err
	}
	store.serve(backend)
	return store, nil
}

func (s *Store) newBackend(ctx context.Context, config Config) (kineserver.Backend, error) {
	var backend kineserver.Backend
	var err error
	driverConfig := s.driverConfig(config)
	if s.datastore.kind == SQLite {
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
	if s.Shared() {
		pool = generic.ConnectionPoolConfig{MaxIdle: 20, MaxOpen: 64, MaxIdleTime: 2 * time.Minute}
		poll = 100 * time.Millisecond
	}
	if config.PollInterval != 0 {
		poll = config.PollInterval
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
func (s *Store) serve(backend kineserver.Backend) {
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

	s.transport = storagebackend.TransportConfig{
		ServerList:   []string{"http://" + net.JoinHostPort(inProcessAddress, "2379")},
		EgressLookup: func(egressselector.NetworkContext) (utilnet.DialFunc, error) { return s.listener.dial, nil },
	}
}

func etcdTransport(parsed datastore, files TLS) storagebackend.TransportConfig {
	scheme := "http://"
	if files != (TLS{}) {
		scheme = "https://"
	}
	transport := storagebackend.TransportConfig{CertFile: files.CertFile, KeyFile: files.KeyFile, TrustedCAFile: files.CAFile}
	for _, address := range parsed.addresses {
		transport.ServerList = append(transport.ServerList, scheme+address)
	}
	return transport
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
