package storage

import (
	"context"
	"net"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/server/egressselector"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/embedded"
)

// DefaultFile is the name of the SQLite database in the data directory.
const DefaultFile = datastore.DefaultFile

// TLS names the files that secure the connection to a database or etcd. Empty means plain.
type TLS = datastore.TLS

// Config says which store to open.
type Config struct {
	// Datastore is sqlite:///PATH, mysql://USER:PASSWORD@HOST:PORT/DATABASE,
	// oceanbase://… or etcd://HOST:PORT,…; empty means SQLite in DataDir.
	Datastore string
	// DataDir is where the default database file lies.
	DataDir string
	// TLS is for MySQL and etcd.
	TLS TLS
	// PasswordFile, if not empty, holds the password for MySQL, and is used instead of one
	// in Datastore. It is read for every new connection, so that it can be changed.
	PasswordFile string
	// MaxOpenConnections and MaxIdleConnections bound the connections to MySQL; 0 means 8
	// and 4.
	MaxOpenConnections, MaxIdleConnections int
	// ConnectTimeout is how long Open waits for an answer; zero means 10 s.
	ConnectTimeout time.Duration
}

// Store is an open store.
type Store struct {
	datastore datastore.Datastore
	tls       TLS
	// embedded is nil for etcd, and monitor for all others.
	embedded *embedded.Store
	monitor  *monitor
	// registered says that its metrics are in the registry of the process.
	registered bool
	reads      reads
}

// Open opens the store and waits until it answers. The error of a store that does not is
// one sentence that names host and port, and no password.
func Open(ctx context.Context, config Config) (*Store, error) {
	where, err := datastore.Parse(config.Datastore, config.DataDir)
	if err != nil {
		return nil, err
	}
	if err := where.CheckPasswordFile(config.PasswordFile); err != nil {
		return nil, err
	}
	store := &Store{datastore: where, tls: config.TLS}
	if where.Kind == datastore.Etcd {
		if err := datastore.CheckEtcd(ctx, where, config.TLS, config.ConnectTimeout); err != nil {
			return nil, err
		}
		store.monitor, err = store.startMonitor(ctx)
		return store, err
	}
	store.embedded, err = embedded.Open(ctx, where, embedded.Config{
		TLS: config.TLS, ConnectTimeout: config.ConnectTimeout, PasswordFile: config.PasswordFile,
		MaxOpenConnections: config.MaxOpenConnections, MaxIdleConnections: config.MaxIdleConnections,
	})
	if err != nil {
		return nil, err
	}
	// Of several stores in one process, as in tests, the first has the metrics.
	store.registered = legacyregistry.Registerer().Register(store.embedded.Metrics()) == nil
	return store, nil
}

// Shared says whether other servers may use the same data at the same time, so that
// controllers need a leader.
func (s *Store) Shared() bool { return s.datastore.Kind != datastore.SQLite }

// String names the store without user name and password.
func (s *Store) String() string { return s.datastore.String() }

// Transport is how an API server reaches the store.
func (s *Store) Transport() storagebackend.TransportConfig {
	if s.embedded == nil {
		return storagebackend.TransportConfig{
			ServerList: s.datastore.EtcdURLs(s.tls),
			CertFile:   s.tls.CertFile, KeyFile: s.tls.KeyFile, TrustedCAFile: s.tls.CAFile,
		}
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return s.embedded.Dial(ctx) }
	return storagebackend.TransportConfig{
		ServerList:   []string{"http://" + net.JoinHostPort(embedded.Address, "2379")},
		EgressLookup: func(egressselector.NetworkContext) (utilnet.DialFunc, error) { return dial, nil },
	}
}

// Close stops the store. Requests that are still running get half a second.
func (s *Store) Close() error {
	s.reads.close()
	if s.embedded == nil {
		s.monitor.close()
		return nil
	}
	if s.registered {
		legacyregistry.Registerer().Unregister(s.embedded.Metrics())
	}
	return s.embedded.Close()
}
