package admin

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/k3s-io/kine/pkg/drivers"
	kinemysql "github.com/k3s-io/kine/pkg/drivers/mysql"
	kinesqlite "github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/server"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/embedded"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/pkg/storage/storagetest/etcdtest"
)

func TestEverythingComesThroughAllKindsOfDatastore(t *testing.T) {
	mysql := mariaDB(storagetest.StartMariaDB(t))
	first, second, fourth, fifth := sqlite(t), mysql(t), mysql(t), sqlite(t)
	client, stop := serve(t, first)
	last := fill(t, client)
	stop()
	address, _ := etcdtest.Start(t)
	third := "etcd://" + address
	want := contents(t, first, true)

	migrated := mustMigrate(t, first, second)
	if migrated.Keys != 66 || migrated.Revision != last || migrated.Tail != last {
		t.Errorf("got %+v, want 66 keys, and revision %d to stay", migrated, last)
	}
	if diff := cmp.Diff(want, contents(t, second, true)); diff != "" {
		t.Errorf("SQLite to MariaDB (-want +got):\n%s", diff)
	}
	mustMigrate(t, second, third)
	if diff := cmp.Diff(contents(t, first, false), contents(t, third, false)); diff != "" {
		t.Errorf("MariaDB to etcd (-want +got):\n%s", diff)
	}
	mustMigrate(t, third, fourth)
	if diff := cmp.Diff(contents(t, third, true), contents(t, fourth, true)); diff != "" {
		t.Errorf("etcd to MariaDB (-want +got):\n%s", diff)
	}
	mustMigrate(t, fourth, fifth)
	if diff := cmp.Diff(contents(t, third, true), contents(t, fifth, true)); diff != "" {
		t.Errorf("MariaDB to SQLite (-want +got):\n%s", diff)
	}
	client, _ = serve(t, fifth)
	if got, err := client.Get(t.Context(), "/registry/binary"); err != nil || string(got.Kvs[0].Value) != string(allBytes()) {
		t.Errorf("a server has %v, %v", got, err)
	}
}

func TestAServerGoesOnWhereTheOneBeforeWas(t *testing.T) {
	onEveryDatabase(t, func(t *testing.T, database database) {
		from, to := sqlite(t), database(t)
		client, stop := serve(t, from)
		last := fill(t, client)
		stop()
		mustMigrate(t, from, to)
		client, _ = serve(t, to)
		got, err := client.Get(t.Context(), "/registry/a")
		if err != nil || got.Header.Revision != last || got.Kvs[0].ModRevision != 4 || got.Kvs[0].Version != 2 {
			t.Errorf("got %v, %v", got, err)
		}
		watching := client.Watch(t.Context(), "/registry/", clientv3.WithPrefix(), clientv3.WithRev(last+1))
		if next := put(t, client, "/registry/next", "x"); next != last+1 {
			t.Errorf("the next revision is %d, want %d", next, last+1)
		}
		if answer := <-watching; answer.Err() != nil || len(answer.Events) != 1 || answer.Events[0].Kv.ModRevision != last+1 {
			t.Errorf("who watched before is told %+v", answer)
		}
	})
}

// kine runs Kine's own driver, as upstream does, and returns its backend.
func kine(t *testing.T, value string) (backend server.Backend, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	config := &drivers.Config{CompactInterval: time.Hour, CompactTimeout: time.Minute, CompactBatchSize: 1000, PollBatchSize: 500, PollInterval: 100 * time.Millisecond}
	start := kinesqlite.New
	if rest, found := strings.CutPrefix(value, "mysql://"); found {
		config.DataSourceName, start = rest, kinemysql.New
	} else {
		config.DataSourceName = strings.TrimPrefix(value, "sqlite://") + "?_journal_mode=WAL&_txlock=immediate"
	}
	_, backend, err := start(ctx, &running, config)
	if err == nil {
		err = backend.Start(ctx)
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return backend, stop
}

// fillKine writes through Kine's driver, and returns what is there.
func fillKine(t *testing.T, backend server.Backend) (want []string, revision int64) {
	t.Helper()
	must := func(revision int64, err error) int64 {
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	ctx := t.Context()
	created := must(backend.Create(ctx, "/registry/a", []byte("a1"), 0))
	updated, _, _, err := backend.Update(ctx, "/registry/a", []byte("a2"), created, 0)
	must(updated, err)
	binary := must(backend.Create(ctx, "/registry/binary", allBytes(), 0))
	gone := must(backend.Create(ctx, "/registry/gone", []byte("x"), 0))
	_, _, _, err = backend.Delete(ctx, "/registry/gone", gone)
	must(0, err)
	again := must(backend.Create(ctx, "/registry/again", []byte("1"), 0))
	_, _, _, err = backend.Delete(ctx, "/registry/again", again)
	must(0, err)
	must(backend.Create(ctx, "/registry/again", []byte("2"), 0))
	// Of a key that was there before, Kine answers with what it takes for the current
	// revision, and not with that of the creation.
	_, recreated, err := backend.Get(ctx, "/registry/again", 0, false)
	must(0, err)
	again = recreated.ModRevision
	leased := must(backend.Create(ctx, "/registry/events/e", []byte("leased"), 3600))
	compaction := must(backend.Create(ctx, "compact_rev_key_apiserver", []byte("1|1"), 0))
	health, kv, err := backend.Get(ctx, server.HealthKey, 0, false)
	must(health, err)
	want = []string{
		fmt.Sprintf(`/registry/a="a2" lease 0 mod %d create %d version 2`, updated, created),
		fmt.Sprintf(`/registry/again="2" lease 0 mod %d create %d version 1`, again, again),
		fmt.Sprintf(`/registry/binary=%q lease 0 mod %d create %d version 1`, allBytes(), binary, binary),
		fmt.Sprintf(`/registry/events/e="leased" lease 3600 mod %d create %d version 1`, leased, leased),
		fmt.Sprintf(`/registry/health=%q lease 0 mod %d create %d version 1`, server.HealthVal, kv.ModRevision, kv.ModRevision),
		fmt.Sprintf(`compact_rev_key_apiserver="1|1" lease 0 mod %d create %d version 1`, compaction, compaction),
	}
	return want, compaction
}

func TestWhatKineHasWritten(t *testing.T) {
	onEveryDatabase(t, func(t *testing.T, database database) {
		value := database(t)
		backend, stop := kine(t, value)
		want, revision := fillKine(t, backend)
		stop()

		_, err := embedded.Open(t.Context(), mustParse(t, value).datastore, embedded.Config{})
		if err == nil || !strings.Contains(err.Error(), "koinon datastore migrate 'kine+") || strings.Contains(err.Error(), "test-password") {
			t.Errorf("a server on it: %v, want how to migrate", err)
		}
		if _, err := Inspect(t.Context(), mustParse(t, value), StatusOptions{}); err == nil || !strings.Contains(err.Error(), "koinon datastore migrate 'kine+") {
			t.Errorf("its status: %v, want how to migrate", err)
		}
		for name, into := range map[string]string{"the same database": value, "another one": sqlite(t)} {
			migrated := mustMigrate(t, "kine+"+value, into)
			if migrated.Tail != revision || migrated.Keys != int64(len(want)) {
				t.Errorf("into %s: %+v, want revision %d to stay", name, migrated, revision)
			}
			if diff := cmp.Diff(want, contents(t, into, true)); diff != "" {
				t.Errorf("into %s (-want +got):\n%s", name, diff)
			}
		}
		client, _ := serve(t, value)
		if next := put(t, client, "/registry/next", "x"); next != revision+1 {
			t.Errorf("the next revision is %d, want %d", next, revision+1)
		}
		if got, err := client.Get(t.Context(), "compact_rev_key"); err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "1" || got.Kvs[0].Version != 1 {
			t.Errorf("API servers see of their compactions %v, %v", got, err)
		}
	})
}

// TestAMigrationFromKineThatWasInterrupted leaves our tables, in which is nothing.
func TestAMigrationFromKineThatWasInterruptedLeavesNoServerWithoutData(t *testing.T) {
	value := sqlite(t)
	backend, stop := kine(t, value)
	fillKine(t, backend)
	stop()
	ctx, cancel := context.WithCancel(t.Context())
	log, err := mustParse(t, value).log(ctx, sqllog.MakeTablesBesideKine)
	if err != nil {
		t.Fatal(err)
	}
	source, err := mustParse(t, "kine+"+value).logSource(ctx, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replace(ctx, log, cancelling{source, cancel}, nil, RestoreOptions{}); err == nil {
		t.Error("it was not interrupted")
	}
	_ = source.Close()
	_ = log.Close()
	if _, err := embedded.Open(t.Context(), mustParse(t, value).datastore, embedded.Config{}); err == nil || !strings.Contains(err.Error(), "has data of Kine") {
		t.Errorf("a server on it: %v, want that it is refused", err)
	}
	mustMigrate(t, "kine+"+value, value)
}

func TestAMigrationIsRefusedWhileServersUseTheSource(t *testing.T) {
	t.Run("MariaDB", func(t *testing.T) {
		from := mariaDB(storagetest.StartMariaDB(t))(t)
		client, _ := serve(t, from)
		fill(t, client)
		refuseThenForce(t, from, "in use by the server at 127.0.0.1:")
	})
	t.Run("SQLite", func(t *testing.T) {
		from := sqlite(t)
		client, stop := serve(t, from)
		fill(t, client)
		stop()
		user := helper(t, "open", from)
		output, err := user.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := user.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := output.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		refuseThenForce(t, from, fmt.Sprintf("in use by the process %d:", user.Process.Pid))
	})
}

func refuseThenForce(t *testing.T, from, want string) {
	t.Helper()
	to := sqlite(t)
	_, err := Migrate(t.Context(), mustParse(t, from), mustParse(t, to), MigrateOptions{})
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--force") {
		t.Errorf("got %v, want %q", err, want)
	}
	var told warnings
	if _, err := Migrate(t.Context(), mustParse(t, from), mustParse(t, to), MigrateOptions{Force: true, Warn: told.add}); err != nil {
		t.Fatal(err)
	}
	if len(told.sentences) != 1 || !strings.Contains(told.sentences[0], want) {
		t.Errorf("told %q, want one sentence with %q", told.sentences, want)
	}
	if diff := cmp.Diff(contents(t, from, true), contents(t, to, true)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAMigrationIsRefusedWhenSomethingIsWrittenMeanwhile(t *testing.T) {
	value := sqlite(t)
	client, _ := serve(t, value) // in this process, which the look for users leaves out
	fill(t, client)
	source, close, err := mustParse(t, value).source(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer close()
	put(t, client, "/registry/late", "x")
	into := sqlite(t)
	log, err := mustParse(t, into).log(t.Context(), sqllog.MakeTablesToFill)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if _, err := replace(t.Context(), log, source, nil, RestoreOptions{}); err == nil || !strings.Contains(err.Error(), "1 revisions were written") {
		t.Errorf("got %v", err)
	}
	if empty, err := log.Empty(t.Context()); !empty || err != nil {
		t.Errorf("empty: %v, %v", empty, err)
	}
	var told warnings
	if _, err := replace(t.Context(), log, source, nil, RestoreOptions{Force: true, Warn: told.add}); err != nil || len(told.sentences) != 1 {
		t.Errorf("with force: %v, told %q", err, told.sentences)
	}
}

func TestAMigrationToADatastoreWithContents(t *testing.T) {
	from, to := sqlite(t), sqlite(t)
	client, stop := serve(t, from)
	fill(t, client)
	stop()
	client, stop = serve(t, to)
	before := put(t, client, "/registry/there", "x")
	stop()
	_, err := Migrate(t.Context(), mustParse(t, from), mustParse(t, to), MigrateOptions{})
	if err == nil || !strings.Contains(err.Error(), "holds 1 keys at revision 2") {
		t.Errorf("got %v", err)
	}
	var told warnings
	migrated, err := Migrate(t.Context(), mustParse(t, from), mustParse(t, to), MigrateOptions{Force: true, Warn: told.add})
	if err != nil || migrated.Tail < before+1_000_000 || len(told.sentences) != 1 {
		t.Errorf("with force: %+v, %v, told %q", migrated, err, told.sentences)
	}
	if diff := cmp.Diff(contents(t, from, false), contents(t, to, false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Migrate(t.Context(), mustParse(t, from), mustParse(t, from), MigrateOptions{Force: true}); err == nil || !strings.Contains(err.Error(), "are both the sqlite database") {
		t.Errorf("from itself: %v", err)
	}
}

func TestAMigrationToEtcdGoesOnWhereItWasInterrupted(t *testing.T) {
	from := sqlite(t)
	client, stop := serve(t, from)
	fill(t, client)
	put(t, client, "/registry/changes", "1")
	put(t, client, "/registry/goes", "x")
	address, etcd := etcdtest.Start(t)
	to := "etcd://" + address

	source, close, err := mustParse(t, from).source(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := mustParse(t, to).fillEtcd(ctx, cancelling{source, cancel}, RestoreOptions{}); err == nil {
		t.Fatal("it was not interrupted")
	}
	close()
	if err := datastore.CheckEtcd(t.Context(), mustParse(t, to).datastore, datastore.TLS{}, 0); err == nil || !strings.Contains(err.Error(), "has only a part of the data of the sqlite database") {
		t.Errorf("a server on it: %v, want that it is refused", err)
	}
	before, err := etcd.Get(t.Context(), "/registry/a")
	if err != nil || len(before.Kvs) != 1 {
		t.Fatalf("nothing was copied: %v, %v", before, err)
	}
	put(t, client, "/registry/changes", "2")
	remove(t, client, "/registry/goes")
	stop()
	mustMigrate(t, from, to)
	if diff := cmp.Diff(contents(t, from, false), contents(t, to, false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	after, err := etcd.Get(t.Context(), "/registry/a")
	if err != nil || after.Kvs[0].ModRevision != before.Kvs[0].ModRevision {
		t.Errorf("a key that was there was put again: %v, %v", after, err)
	}
	if err := datastore.CheckEtcd(t.Context(), mustParse(t, to).datastore, datastore.TLS{}, 0); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotThereIsNotMigrated(t *testing.T) {
	dir := t.TempDir()
	file := "sqlite://" + filepath.Join(dir, "none.db")
	empty := sqlite(t)
	client, stop := serve(t, empty)
	put(t, client, "/registry/a", "x")
	stop()
	server := storagetest.StartMariaDB(t)
	for from, want := range map[string]string{
		file:                                    "none.db is not there",
		"kine+" + file:                          "none.db is not there",
		"kine+" + empty:                         "has no table of Kine",
		"mysql://" + server.NewDatabase(t):      "no tables of Koinon",
		"kine+mysql://" + server.NewDatabase(t): "no tables of Koinon",
	} {
		_, err := Migrate(t.Context(), mustParse(t, from), mustParse(t, sqlite(t)), MigrateOptions{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "test-password") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := Migrate(t.Context(), mustParse(t, "kine+"+empty), mustParse(t, empty), MigrateOptions{}); err == nil || !strings.Contains(err.Error(), "has no table of Kine") {
		t.Errorf("in place: %v", err)
	}
}
