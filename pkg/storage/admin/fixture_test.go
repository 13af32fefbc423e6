package admin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/koinon-io/koinon/pkg/storage/archive"
	"github.com/koinon-io/koinon/pkg/storage/embedded"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// database gives the --datastore values of databases that are not there yet.
type database func(t *testing.T) string

func sqlite(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "koinon.db") }

func mariaDB(server *storagetest.MariaDB) database {
	return func(t *testing.T) string { return "mysql://" + server.NewDatabase(t) }
}

// onEveryDatabase runs a test on SQLite and MariaDB, at the same time.
func onEveryDatabase(t *testing.T, test func(t *testing.T, database database)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, sqlite)
	})
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		test(t, mariaDB(storagetest.StartMariaDB(t)))
	})
}

func mustParse(t *testing.T, value string) Store {
	t.Helper()
	store, err := ParseSource(value, t.TempDir(), Access{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// serve runs a server on a datastore until the test ends, or until it is stopped, and returns
// a client of it.
func serve(t *testing.T, value string) (client *clientv3.Client, stop func()) {
	t.Helper()
	store, err := embedded.Open(t.Context(), mustParse(t, value).datastore, embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	client, err = clientv3.New(clientv3.Config{
		Endpoints: []string{"http://" + net.JoinHostPort(embedded.Address, "2379")}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return store.Dial(ctx) })},
	})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = client.Close()
		if err := store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	}
	t.Cleanup(stop)
	return client, stop
}

// put writes a key whatever is there, as a server does: create, update or delete.
func put(t *testing.T, client *clientv3.Client, key, value string, options ...clientv3.OpOption) int64 {
	t.Helper()
	answer, err := client.Put(t.Context(), key, value, options...)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return answer.Header.Revision
}

func remove(t *testing.T, client *clientv3.Client, key string) int64 {
	t.Helper()
	found, err := client.Get(t.Context(), key)
	if err != nil || len(found.Kvs) != 1 {
		t.Fatalf("remove %s: %v", key, err)
	}
	answer, err := client.Txn(t.Context()).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", found.Kvs[0].ModRevision)).
		Then(clientv3.OpDelete(key)).
		Else(clientv3.OpGet(key)).Commit()
	if err != nil || !answer.Succeeded {
		t.Fatalf("remove %s: %v", key, err)
	}
	return answer.Header.Revision
}

// fill writes what has every property that a copy has to keep, and returns the last revision.
func fill(t *testing.T, client *clientv3.Client) int64 {
	t.Helper()
	put(t, client, "/registry/a", "a1")
	put(t, client, "/registry/gone", "x")
	put(t, client, "/registry/a", "a2")
	put(t, client, "/registry/b", "")
	lease, err := client.Grant(t.Context(), 3600)
	if err != nil {
		t.Fatal(err)
	}
	put(t, client, "/registry/events/e", "leased", clientv3.WithLease(lease.ID))
	put(t, client, "/registry/binary", string(allBytes()))
	put(t, client, "/registry/Case", "upper")
	put(t, client, "/registry/case", "lower")
	for i := range 60 {
		put(t, client, fmt.Sprintf("/registry/many/%02d", i), fmt.Sprint(i))
	}
	return remove(t, client, "/registry/gone")
}

func allBytes() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

// contents are the keys of a datastore with value and lease, in order of keys, and with
// revisions, if these are to be compared.
func contents(t *testing.T, value string, revisions bool) []string {
	t.Helper()
	source, close, err := mustParse(t, value).source(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer close()
	return keysOf(t, source, revisions)
}

// describe is a key with its value and lease. Of a value that is too long to read it has the
// hash.
func describe(key, value []byte, lease int64) string {
	if len(value) > 1<<10 {
		return fmt.Sprintf("%s=%d bytes %x lease %d", key, len(value), sha256.Sum256(value), lease)
	}
	return fmt.Sprintf("%s=%q lease %d", key, value, lease)
}

func keysOf(t *testing.T, source archive.Source, revisions bool) []string {
	t.Helper()
	var keys []string
	err := source.Each(t.Context(), func(kv archive.KeyValue) error {
		key := describe(kv.Key, kv.Value, kv.Lease)
		if revisions {
			key += fmt.Sprintf(" mod %d create %d version %d", kv.Revision, kv.Created, kv.Version)
		}
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(keys)) != source.Len() {
		t.Errorf("the %s says that it has %d keys, and has %d", source, source.Len(), len(keys))
	}
	slices.Sort(keys)
	return keys
}

func fileContents(t *testing.T, path string, revisions bool) []string {
	t.Helper()
	source, err := archive.FromFile(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	return keysOf(t, source, revisions)
}

func mustBackup(t *testing.T, value string) (path string, header archive.Header) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "backup")
	header, err := Backup(t.Context(), mustParse(t, value), path, BackupOptions{Software: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return path, header
}

// warnings collects what the user is told.
type warnings struct{ sentences []string }

func (w *warnings) add(sentence string) { w.sentences = append(w.sentences, sentence) }

func mustRestore(t *testing.T, value, path string, force bool) Restored {
	t.Helper()
	var told warnings
	restored, err := Restore(t.Context(), mustParse(t, value), path, RestoreOptions{Bump: DefaultBump, Force: force, Warn: told.add})
	if err != nil {
		t.Fatal(err)
	}
	return restored
}

func mustMigrate(t *testing.T, from, to string) Restored {
	t.Helper()
	migrated, err := Migrate(t.Context(), mustParse(t, from), mustParse(t, to), MigrateOptions{Warn: func(s string) { t.Errorf("told %q", s) }})
	if err != nil {
		t.Fatal(err)
	}
	return migrated
}
