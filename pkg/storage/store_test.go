package storage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"k8s.io/apiserver/pkg/server/egressselector"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// open opens a store and returns a client of it. Both end with the test.
func open(t *testing.T, config Config) (*Store, *clientv3.Client) {
	t.Helper()
	store, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(t, store.Transport())
	t.Cleanup(func() {
		_ = client.Close()
		if err := store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return store, client
}

func newClient(t *testing.T, transport storagebackend.TransportConfig) *clientv3.Client {
	t.Helper()
	config := clientv3.Config{Endpoints: transport.ServerList}
	if transport.EgressLookup != nil {
		dial, err := transport.EgressLookup(egressselector.Etcd.AsNetworkContext())
		if err != nil {
			t.Fatal(err)
		}
		config.DialOptions = []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return dial(ctx, "tcp", address)
		})}
	}
	client, err := clientv3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestSQLite(t *testing.T) {
	contract(t, func(t *testing.T) Config { return Config{DataDir: t.TempDir()} })
}

func TestMariaDB(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	contract(t, func(t *testing.T) Config { return Config{Datastore: "mysql://" + database.NewDatabase(t)} })
}

// contract is what every embedded store must do: the requests that an API server sends.
func contract(t *testing.T, config func(t *testing.T) Config) {
	t.Run("a key is created once", func(t *testing.T) {
		_, client := open(t, config(t))
		first := create(t, client, "/registry/a", "1")
		second := create(t, client, "/registry/a", "2")
		if !first.Succeeded || second.Succeeded {
			t.Errorf("created: got %v and %v, want true and false", first.Succeeded, second.Succeeded)
		}
		if got := get(t, client, "/registry/a"); got != "1" {
			t.Errorf("value: got %q, want 1", got)
		}
	})
	t.Run("of racing creators one wins", func(t *testing.T) {
		_, client := open(t, config(t))
		const racers = 16
		won := make(chan int, racers)
		var racing sync.WaitGroup
		for racer := range racers {
			racing.Go(func() {
				answer, err := client.Txn(t.Context()).
					If(clientv3.Compare(clientv3.ModRevision("/registry/race"), "=", 0)).
					Then(clientv3.OpPut("/registry/race", fmt.Sprint(racer))).
					Else(clientv3.OpGet("/registry/race")).Commit()
				if err == nil && answer.Succeeded {
					won <- racer
				}
			})
		}
		racing.Wait()
		close(won)
		var winners []int
		for winner := range won {
			winners = append(winners, winner)
		}
		if len(winners) != 1 || get(t, client, "/registry/race") != fmt.Sprint(winners[0]) {
			t.Errorf("winners %v, value %q: want one winner and its value", winners, get(t, client, "/registry/race"))
		}
	})
	t.Run("puts are never lost in a race", func(t *testing.T) {
		_, client := open(t, config(t))
		var writing sync.WaitGroup
		for range 4 {
			writing.Go(func() {
				for range 20 {
					if _, err := client.Put(t.Context(), "/registry/a", "v"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writing.Wait()
		answer, err := client.Put(t.Context(), "/registry/a", "last", clientv3.WithPrevKV())
		if err != nil || answer.PrevKv.GetVersion() != 80 || string(answer.PrevKv.GetValue()) != "v" {
			t.Errorf("before the last: %v, %v, want version 80", answer, err)
		}
	})
	t.Run("an update of an old revision is refused", func(t *testing.T) {
		_, client := open(t, config(t))
		created := create(t, client, "/registry/a", "1").Header.Revision
		if !update(t, client, "/registry/a", "2", created).Succeeded {
			t.Error("an update of the current revision was refused")
		}
		if update(t, client, "/registry/a", "3", created).Succeeded {
			t.Error("an update of an old revision was taken")
		}
		if got := get(t, client, "/registry/a"); got != "2" {
			t.Errorf("value: got %q, want 2", got)
		}
	})
	t.Run("a watch gets every event in order, once", func(t *testing.T) {
		_, client := open(t, config(t))
		from := create(t, client, "/registry/x/begin", "0").Header.Revision
		var want []string
		var writing sync.WaitGroup
		for writer := range 4 {
			for i := range 25 {
				want = append(want, fmt.Sprintf("/registry/x/%d-%d", writer, i))
			}
			writing.Go(func() {
				for i := range 25 {
					create(t, client, fmt.Sprintf("/registry/x/%d-%d", writer, i), "v")
				}
			})
		}
		got := watch(t, client, "/registry/x/", from+1, len(want))
		writing.Wait()
		last := from
		seen := map[string]int{}
		for _, event := range got {
			if event.Kv.ModRevision <= last {
				t.Fatalf("revision %d came after %d", event.Kv.ModRevision, last)
			}
			last = event.Kv.ModRevision
			seen[string(event.Kv.Key)]++
		}
		for _, key := range want {
			if seen[key] != 1 {
				t.Errorf("%s: got %d events, want 1", key, seen[key])
			}
		}
	})
	t.Run("a watch from the past gets what was missed, deletions with their old value", func(t *testing.T) {
		_, client := open(t, config(t))
		created := create(t, client, "/registry/a", "1").Header.Revision
		updated := update(t, client, "/registry/a", "2", created).Header.Revision
		remove(t, client, "/registry/a", updated)
		var got []string
		for _, event := range watch(t, client, "/registry/", created, 3) {
			previous := ""
			if event.PrevKv != nil {
				previous = string(event.PrevKv.Value)
			}
			got = append(got, fmt.Sprintf("%s %s %q", event.Type, event.Kv.Value, previous))
		}
		want := []string{`PUT 1 ""`, `PUT 2 "1"`, `DELETE  "2"`}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
	t.Run("pages of a list are of one revision", func(t *testing.T) {
		_, client := open(t, config(t))
		for i := range 10 {
			create(t, client, fmt.Sprintf("/registry/p/%02d", i), "old")
		}
		first, err := client.Get(t.Context(), "/registry/p/", clientv3.WithRange("/registry/p0"), clientv3.WithLimit(4))
		if err != nil {
			t.Fatal(err)
		}
		create(t, client, "/registry/p/05a", "new")
		rest, err := client.Get(t.Context(), string(first.Kvs[3].Key)+"\x00", clientv3.WithRange("/registry/p0"), clientv3.WithRev(first.Header.Revision))
		if err != nil {
			t.Fatal(err)
		}
		if first.Count != 10 || !first.More || len(first.Kvs) != 4 || len(rest.Kvs) != 6 {
			t.Errorf("got %d of %d, then %d; want 4 of 10, then 6", len(first.Kvs), first.Count, len(rest.Kvs))
		}
	})
	t.Run("a value of 1.5 MiB with every byte comes back", func(t *testing.T) {
		_, client := open(t, config(t))
		value := strings.Repeat(string(allBytes()), 6<<10)
		create(t, client, "/registry/large", value)
		if get(t, client, "/registry/large") != value {
			t.Error("the value has changed")
		}
	})
	t.Run("a larger request is refused in etcd's words", func(t *testing.T) {
		_, client := open(t, config(t))
		_, err := client.Put(t.Context(), "/registry/large", strings.Repeat("x", 3<<19+32<<10))
		if !errors.Is(err, rpctypes.ErrRequestTooLarge) {
			t.Errorf("got %v, want %v", err, rpctypes.ErrRequestTooLarge)
		}
	})
	t.Run("a key that the tables cannot hold is refused, and the longest that they can is kept", func(t *testing.T) {
		_, client := open(t, config(t))
		longest := "/registry/" + strings.Repeat("k", 2048-len("/registry/"))
		if _, err := client.Put(t.Context(), longest+"k", "v"); !errors.Is(err, rpctypes.ErrRequestTooLarge) {
			t.Errorf("put: got %v, want %v", err, rpctypes.ErrRequestTooLarge)
		}
		if _, err := client.Txn(t.Context()).If(clientv3.Compare(clientv3.ModRevision(longest+"k"), "=", 0)).
			Then(clientv3.OpPut(longest+"k", "v")).Commit(); !errors.Is(err, rpctypes.ErrRequestTooLarge) {
			t.Errorf("create: got %v, want %v", err, rpctypes.ErrRequestTooLarge)
		}
		create(t, client, longest, "v")
		if got := get(t, client, longest); got != "v" {
			t.Errorf("the longest key: got %q", got)
		}
	})
	t.Run("keys that differ only in case, trailing blanks or bytes that are no text are different", func(t *testing.T) {
		_, client := open(t, config(t))
		keys := []string{"/registry/k", "/registry/K", "/registry/k ", "/registry/k\x00", "/registry/k\xff", "/registry/\u00e4", "/registry/a\u0308", "/registry/k%", "/registry/k_"}
		for _, key := range keys {
			if !create(t, client, key, key).Succeeded {
				t.Errorf("%q was taken for another key", key)
			}
		}
		for _, key := range keys {
			if got := get(t, client, key); got != key {
				t.Errorf("%q: got %q", key, got)
			}
		}
		answer, err := client.Get(t.Context(), "/registry/k", clientv3.WithRange("/registry/l"))
		if err != nil || len(answer.Kvs) != 6 {
			t.Errorf("keys that begin with k: got %v, %v, want 6", answer, err)
		}
	})
	t.Run("what was acknowledged is there after a restart, and revisions go on", func(t *testing.T) {
		config := config(t)
		store, err := Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		client := newClient(t, store.Transport())
		before := create(t, client, "/registry/a", "1").Header.Revision
		_ = client.Close()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		_, client = open(t, config)
		if got := get(t, client, "/registry/a"); got != "1" {
			t.Errorf("value: got %q, want 1", got)
		}
		if after := create(t, client, "/registry/b", "2").Header.Revision; after <= before {
			t.Errorf("revision after the restart: got %d, want more than %d", after, before)
		}
	})
}

func TestTheStoreHasMetrics(t *testing.T) {
	_, client := open(t, Config{DataDir: t.TempDir()})
	create(t, client, "/registry/a", "1")
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, family := range families {
		got[family.GetName()] = true
	}
	for _, name := range []string{"koinon_store_size_bytes", "koinon_store_keys", "koinon_store_healthy", "koinon_store_commit_duration_seconds"} {
		if !got[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestTwoServersShareADatabase(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	dsn := "mysql://" + database.NewDatabase(t)
	first, one := open(t, Config{Datastore: dsn})
	_, two := open(t, Config{Datastore: dsn})
	if !first.Shared() {
		t.Error("a MySQL store says that it is not shared")
	}
	from := create(t, one, "/registry/s/0", "v").Header.Revision
	for i := range 10 {
		create(t, one, fmt.Sprintf("/registry/s/one-%d", i), "v")
		create(t, two, fmt.Sprintf("/registry/s/two-%d", i), "v")
	}
	if got := watch(t, two, "/registry/s/", from+1, 20); len(got) != 20 {
		t.Errorf("events at the second server: got %d, want 20", len(got))
	}
}

func TestAPasswordCanBeChanged(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	dsn := database.NewDatabase(t)
	credentials, place, _ := strings.Cut(dsn, "@")
	user, password, _ := strings.Cut(credentials, ":")
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(password)
	store, client := open(t, Config{Datastore: "mysql://" + user + "@" + place, PasswordFile: file, MaxOpenConnections: 4, MaxIdleConnections: 2})
	create(t, client, "/registry/before", "v")

	account := user + "@'127.0.0.1'"
	database.Exec(t, "SET PASSWORD FOR "+account+" = PASSWORD('changed')", "KILL USER "+account)
	storagetest.Eventually(t, "the store is refused", func() bool { return store.Readiness().Check(nil) != nil })
	if err := store.Readiness().Check(nil); err == nil || !strings.Contains(err.Error(), "it does not accept this user and password") || strings.Contains(err.Error(), password) {
		t.Errorf("while the file has the old password: got %v", err)
	}
	write("changed")
	storagetest.Eventually(t, "the store recovers", func() bool { return store.Readiness().Check(nil) == nil })
	if !create(t, client, "/registry/after", "v").Succeeded {
		t.Error("no write with the new password")
	}
}

func TestTheDatabaseFileIsPrivate(t *testing.T) {
	dir := t.TempDir()
	_, client := open(t, Config{DataDir: dir})
	create(t, client, "/registry/a", "1")
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("files: %v, %v", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s: mode %o, want 600", file, got)
		}
	}
}

func TestPasswordsStayOutOfErrors(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	cases := map[string]struct {
		datastore string
		want      string
	}{
		"a wrong password":             {"mysql://root:hunter2@" + database.Address + "/koinon", "refused the connection"},
		"a host that does not listen":  {"mysql://root:hunter2@127.0.0.1:1/koinon", "127.0.0.1:1 did not answer within 100ms"},
		"a broken name":                {"mysql://root:hunter2@tcp(127.0.0.1:1/koinon", "not readable"},
		"an etcd address without port": {"etcd://root:hunter2@host", "not readable"},
		"an unknown scheme":            {"mssql://root:hunter2@host/koinon", `unknown scheme "mssql"`},
		"no scheme":                    {"root:hunter2@host/koinon", "no scheme"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), Config{Datastore: c.datastore, ConnectTimeout: 100 * time.Millisecond})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

func TestADatabaseThatRefusesSaysWhyAndWhatToDo(t *testing.T) {
	database := storagetest.StartMariaDB(t, "--log-bin", "--server-id=1")
	cases := map[string]struct {
		set, unset, parameters string
		want                   []string
	}{
		"a binary log of statements": {
			"SET GLOBAL binlog_format = STATEMENT", "SET GLOBAL binlog_format = MIXED", "",
			[]string{" cannot be used: its binary log cannot take what is written (1665): set binlog_format to ROW or MIXED"},
		},
		"a database that is read-only": {
			"SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0", "",
			[]string{" could not be used within 3s: it is read-only (1290): make it writable", "--read-only option"},
		},
		"transactions that are read-only": {
			"SET GLOBAL tx_read_only = 1", "SET GLOBAL tx_read_only = 0", "",
			[]string{" could not be used within 3s: it is read-only (1792): make it writable"},
		},
		"a variable that it does not know": {
			"DO 0", "DO 0", "?colour=blue",
			[]string{" cannot be used: it does not know a variable", "(1193): correct the parameters after the ? in --datastore", "'colour'"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dsn := "mysql://" + database.NewDatabase(t) + c.parameters
			database.Exec(t, c.set)
			defer database.Exec(t, c.unset)
			_, err := Open(t.Context(), Config{Datastore: dsn, ConnectTimeout: 3 * time.Second})
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "did not answer") {
				t.Errorf("got %v, and it did answer", err)
			}
		})
	}
}

func TestACharacterSetInTheDatastoreDoesNotMatter(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	for _, parameters := range []string{"?charset=utf8mb4", "?charset=utf8mb4,utf8&collation=utf8mb4_general_ci&timeout=3s", "?charset=sjis"} {
		_, client := open(t, Config{Datastore: "mysql://" + database.NewDatabase(t) + parameters})
		want := string(allBytes())
		create(t, client, "/registry/a", want)
		if got := get(t, client, "/registry/a"); got != want {
			t.Errorf("with %s: got %q, want %q", parameters, got, want)
		}
	}
}

func create(t *testing.T, client *clientv3.Client, key, value string) *clientv3.TxnResponse {
	t.Helper()
	answer, err := client.Txn(t.Context()).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, value)).
		Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		t.Errorf("create %s: %v", key, err)
		return &clientv3.TxnResponse{}
	}
	return answer
}

func update(t *testing.T, client *clientv3.Client, key, value string, revision int64) *clientv3.TxnResponse {
	t.Helper()
	answer, err := client.Txn(t.Context()).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpPut(key, value)).
		Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		t.Fatalf("update %s: %v", key, err)
	}
	return answer
}

func remove(t *testing.T, client *clientv3.Client, key string, revision int64) {
	t.Helper()
	answer, err := client.Txn(t.Context()).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpDelete(key)).
		Else(clientv3.OpGet(key)).Commit()
	if err != nil || !answer.Succeeded {
		t.Fatalf("remove %s: %v, %v", key, answer, err)
	}
}

func get(t *testing.T, client *clientv3.Client, key string) string {
	t.Helper()
	answer, err := client.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	if len(answer.Kvs) == 0 {
		return ""
	}
	return string(answer.Kvs[0].Value)
}

// watch returns the first n events after a revision.
func watch(t *testing.T, client *clientv3.Client, prefix string, revision int64, n int) []*clientv3.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var events []*clientv3.Event
	for answer := range client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(revision), clientv3.WithPrevKV()) {
		if err := answer.Err(); err != nil {
			t.Fatalf("watch: %v", err)
		}
		events = append(events, answer.Events...)
		if len(events) >= n {
			return events
		}
	}
	t.Fatalf("the watch ended after %d of %d events", len(events), n)
	return nil
}

func allBytes() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}
