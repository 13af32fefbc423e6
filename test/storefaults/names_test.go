package storefaults

import (
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// awkward are names that a database might take for one another, or not take at all.
var awkward = []string{
	"a", "A", "a ", "a  ", " a", "a\t", "a\x00", "a\x00\x00", "ä", "a\u0308", "Ä", "ß", "ss", "SS", "é", "e", "E", "\U0001f600",
	"\xff\xfe", "\xff", "a%", "a_", "a'", `a"`, `a\`, "a;", "a/*", "--", strings.Repeat("long", 200), strings.Repeat("long", 200) + " ",
}

func TestKeysAndValuesAreBytes(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	datastores := map[string]string{"SQLite": sqliteIn(t.TempDir()), "MariaDB": "mysql://" + database.DSN(databaseName)}
	for name, datastore := range datastores {
		t.Run(name, func(t *testing.T) {
			large := filler("large", 3<<19-64)
			var from int64
			t.Run("as one store writes them", func(t *testing.T) {
				m := openMember(t, "one", datastore)
				from = writeNames(t, m, large)
				checkNames(t, m, from, large)
			})
			t.Run("as the next one reads them", func(t *testing.T) {
				checkNames(t, openMember(t, "two", datastore), from, large)
			})
		})
	}
}

// writeNames creates all names, and returns the revision of the first.
func writeNames(t *testing.T, m *member, large string) (from int64) {
	t.Helper()
	for i, name := range awkward {
		answer := createKey(t, m, root+name, fmt.Sprint(i))
		if i == 0 {
			from = answer.Header.Revision
		}
	}
	createKey(t, m, root+"large", large)
	return from
}

// createKey creates a key that must not be there.
func createKey(t *testing.T, m *member, key, value string) *clientv3.TxnResponse {
	t.Helper()
	answer, err := m.client.Txn(t.Context()).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).Then(clientv3.OpPut(key, value)).Commit()
	if err != nil {
		t.Fatalf("create %q with %d bytes: %v", key, len(value), err)
	}
	if !answer.Succeeded {
		t.Fatalf("create %q: it was taken for another", key)
	}
	return answer
}

func checkNames(t *testing.T, m *member, from int64, large string) {
	t.Helper()
	list, err := m.client.Get(t.Context(), root, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Kvs) != len(awkward)+1 {
		t.Errorf("keys at %s: got %d, want %d", m.name, len(list.Kvs), len(awkward)+1)
	}
	for i := 1; i < len(list.Kvs); i++ {
		if string(list.Kvs[i-1].Key) >= string(list.Kvs[i].Key) {
			t.Errorf("%s lists %q before %q", m.name, list.Kvs[i-1].Key, list.Kvs[i].Key)
		}
	}
	watch := m.watcher.Watch(t.Context(), root, clientv3.WithPrefix(), clientv3.WithRev(from))
	var events []*clientv3.Event
	for len(events) <= len(awkward) {
		answer := <-watch
		if answer.Err() != nil {
			t.Fatal(answer.Err())
		}
		events = append(events, answer.Events...)
	}
	for i, name := range awkward {
		answer, err := m.client.Get(t.Context(), root+name)
		if err != nil || len(answer.Kvs) != 1 || string(answer.Kvs[0].Value) != fmt.Sprint(i) || string(answer.Kvs[0].Key) != root+name {
			t.Errorf("%q at %s: got %v, %v, want %d", name, m.name, answer, err, i)
		}
		if got := string(events[i].Kv.Key); got != root+name {
			t.Errorf("event %d at %s: got %q, want %q", i, m.name, got, root+name)
		}
	}
	if string(events[len(awkward)].Kv.Value) != large {
		t.Errorf("the large value at %s has changed", m.name)
	}
}
