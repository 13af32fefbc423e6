// Package testserver stands in for the package of the same name in k8s.io/apiserver, which
// starts an etcd for Kubernetes' own storage tests. This one opens an embedded store of
// Koinon and hands out the same kind of client.
//
// It is compiled twice: here, so that the compiler and go vet watch over it, and in the
// copy of k8s.io/apiserver that package storesuite makes, in place of the original. So it
// must not import anything that needs k8s.io/apiserver/pkg/storage/etcd3.
//
// The environment variable KOINON_SUITE_DATASTORE says where the data is kept: one or
// several --datastore values with blanks between. Every call of RunEtcd takes the next of
// them, and a database of its own in it. Empty means SQLite.
package testserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/embedded"
)

// DatastoreVariable names the environment variable with the --datastore values.
const DatastoreVariable = "KOINON_SUITE_DATASTORE"

// dialTimeout is etcd's own in these tests.
const dialTimeout = 10 * time.Second

// opened counts the databases of this process.
var opened atomic.Int64

// NewTestConfig returns a configuration for RunEtcd. Of its fields RunEtcd heeds Dir, which
// is removed with the test, and WatchProgressNotifyInterval.
func NewTestConfig(t testing.TB) *embed.Config {
	config := embed.NewConfig()
	config.Dir = t.TempDir()
	return config
}

// RunEtcd opens an empty store and returns a client of it, which records what is read. Both
// end with the test. A nil config means NewTestConfig.
func RunEtcd(t testing.TB, config *embed.Config) *kubernetes.Client {
	t.Helper()
	if config == nil {
		config = NewTestConfig(t)
	}
	client, err := connect(t, open(t, config))
	if err != nil {
		t.Fatalf("connect to the store: %v", err)
	}
	t.Cleanup(func() { _ = client.Close() })
	client.KV = storagetesting.NewKVRecorder(client.KV)
	client.Kubernetes = storagetesting.NewKubernetesRecorder(client.Kubernetes)
	return client
}

func open(t testing.TB, config *embed.Config) *embedded.Store {
	t.Helper()
	values := strings.Fields(os.Getenv(DatastoreVariable))
	where, err := datastore.Parse(emptyDatabase(values, os.Getpid(), opened.Add(1)), config.Dir)
	if err != nil {
		t.Fatalf("read %s: %v", DatastoreVariable, err)
	}
	store, err := embedded.Open(context.Background(), where, embedded.Config{NotifyInterval: config.WatchProgressNotifyInterval})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return store
}

// emptyDatabase returns the --datastore value of the nth database of a process. SQLite's lies
// in the directory of the test; the name of any other ends in process and number.
func emptyDatabase(values []string, process int, n int64) string {
	if len(values) == 0 {
		return ""
	}
	value := values[n%int64(len(values))]
	if strings.HasPrefix(value, "sqlite:") {
		return value
	}
	value, parameters, found := strings.Cut(value, "?")
	value = fmt.Sprintf("%s_%d_%d", value, process, n)
	if found {
		value += "?" + parameters
	}
	return value
}

func connect(t testing.TB, store *embedded.Store) (*kubernetes.Client, error) {
	dial := func(ctx context.Context, _ string) (net.Conn, error) { return store.Dial(ctx) }
	return kubernetes.New(clientv3.Config{
		Endpoints:   []string{"http://" + net.JoinHostPort(embedded.Address, "2379")},
		DialTimeout: dialTimeout,
		DialOptions: []grpc.DialOption{grpc.WithBlock(), grpc.WithContextDialer(dial)}, //nolint:staticcheck // as the original does
		Logger:      zaptest.NewLogger(t, zaptest.Level(zapcore.ErrorLevel)).Named("etcd-client"),
	})
}
