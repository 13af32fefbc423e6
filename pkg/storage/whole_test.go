package storage

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// TestALimitOfTheDatabaseLimitsNothing: a server that starts again reads everything.
func TestALimitOfTheDatabaseLimitsNothing(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	database.Exec(t, "SET GLOBAL sql_select_limit = 3")
	dsn := database.NewDatabase(t)
	for name, config := range map[string]Config{
		"of the database":         {Datastore: "mysql://" + dsn},
		"of the data source name": {Datastore: "mysql://" + dsn + "?sql_select_limit=2&autocommit=0"},
	} {
		t.Run(name, func(t *testing.T) {
			const keys = 10
			_, client := open(t, config)
			for i := range keys {
				if _, err := client.Put(t.Context(), fmt.Sprint("/registry/", i), name); err != nil {
					t.Fatal(err)
				}
			}
			_, again := open(t, config)
			found, err := again.Get(t.Context(), "/registry/", clientv3.WithPrefix())
			if err != nil {
				t.Fatal(err)
			}
			if len(found.Kvs) != keys {
				t.Fatalf("a server that starts now has %d keys, want %d", len(found.Kvs), keys)
			}
			for _, kv := range found.Kvs {
				if string(kv.Value) != name {
					t.Errorf("%s is %q, want %q", kv.Key, kv.Value, name)
				}
			}
		})
	}
}

// TestAKeyWithoutAValueIsServedAsAnyOther has one that was put, one that became empty, and one
// that is deleted.
func TestAKeyWithoutAValueIsServedAsAnyOther(t *testing.T) {
	for name, config := range map[string]func(t *testing.T) Config{
		"SQLite": func(t *testing.T) Config { return Config{DataDir: t.TempDir()} },
		"MariaDB": func(t *testing.T) Config {
			return Config{Datastore: "mysql://" + storagetest.StartMariaDB(t).NewDatabase(t)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := config(t)
			store, client := open(t, config)
			begin := create(t, client, "/registry/a", "").Header.Revision
			full := create(t, client, "/registry/b", "x").Header.Revision
			update(t, client, "/registry/b", "", full)
			gone := create(t, client, "/registry/c", "").Header.Revision
			remove(t, client, "/registry/c", gone)
			servesEmptyValues(t, client, begin)
			_ = client.Close()
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			_, client = open(t, config)
			servesEmptyValues(t, client, begin)
		})
	}
}

func servesEmptyValues(t *testing.T, client *clientv3.Client, begin int64) {
	t.Helper()
	found, err := client.Get(t.Context(), "/registry/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, kv := range found.Kvs {
		got = append(got, fmt.Sprintf("%s=%q", kv.Key, kv.Value))
	}
	for _, event := range watch(t, client, "/registry/", begin, 5) {
		told := fmt.Sprintf("%s %s=%q", event.Type, event.Kv.Key, event.Kv.Value)
		if event.PrevKv != nil {
			told += fmt.Sprintf(" before %q", event.PrevKv.Value)
		}
		got = append(got, told)
	}
	want := []string{
		`/registry/a=""`, `/registry/b=""`,
		`PUT /registry/a=""`, `PUT /registry/b="x"`, `PUT /registry/b="" before "x"`, `PUT /registry/c=""`, `DELETE /registry/c="" before ""`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys and events (-want +got):\n%s", diff)
	}
}
