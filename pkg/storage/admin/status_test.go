package admin

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/pkg/storage/storagetest/etcdtest"
)

func TestStatusSaysHowADatastoreIs(t *testing.T) {
	onEveryDatabase(t, func(t *testing.T, database database) {
		value := database(t)
		client, _ := serve(t, value)
		last := fill(t, client)
		if _, err := client.Compact(t.Context(), last-10); err != nil {
			t.Fatal(err)
		}
		store := mustParse(t, value)
		var s Status
		storagetest.Eventually(t, "what is compacted is deleted", func() bool {
			var err error
			if s, err = Inspect(t.Context(), store, StatusOptions{}); err != nil {
				t.Fatal(err)
			}
			return *s.Rows == 68 // 66 keys, and a deletion with what it ended
		})
		if !s.Reachable || s.Error != "" || s.Kind != string(store.datastore.Kind) || s.Datastore != store.String() || s.Version == "" || s.SizeBytes == 0 {
			t.Errorf("got %+v", s)
		}
		if s.Revision != last || s.CompactRevision != last-10 || s.SinceCompaction != 10 || *s.LastCompaction > 60 || s.Epoch != 1 || *s.Keys != 66 {
			t.Errorf("got %+v, compacted %d s ago, %d keys", s, *s.LastCompaction, *s.Keys)
		}
		if s.StagedRows != 0 || s.ReplacedRows != 0 || s.RestoreUnfinished || len(s.Warnings) != 0 {
			t.Errorf("got %+v", s)
		}
		if mysql := store.datastore.Kind == datastore.MySQL; mysql != (s.MaxPacketBytes > 0) || mysql != (len(s.Users) == 1) {
			t.Errorf("got %+v", s)
		}
		quick, err := Inspect(t.Context(), store, StatusOptions{Quick: true})
		if err != nil || quick.Keys != nil || quick.Rows != nil || quick.Revision != last {
			t.Errorf("quick: %+v, %v", quick, err)
		}
	})
}

func TestStatusWarns(t *testing.T) {
	server := storagetest.StartMariaDB(t, "--innodb-flush-log-at-trx-commit=2", "--log-bin=binlog", "--sync-binlog=0", "--read-only=0")
	value := "mysql://" + server.NewDatabase(t)
	client, stop := serve(t, value)
	put(t, client, "/registry/a", "x")
	stop()
	server.Exec(t, "SET GLOBAL read_only = 1")
	status, err := Inspect(t.Context(), mustParse(t, value), StatusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"innodb_flush_log_at_trx_commit is 2: ", "read_only is ON: ", "sync_binlog is 0 with log_bin on: "} {
		if i >= len(status.Warnings) || !strings.HasPrefix(status.Warnings[i], want) {
			t.Errorf("got %q, want %q", status.Warnings, want)
		}
	}

	normal := sqlite(t) + "?synchronous=normal"
	client, _ = serve(t, normal)
	put(t, client, "/registry/a", "x")
	status, err = Inspect(t.Context(), mustParse(t, normal), StatusOptions{})
	if err != nil || len(status.Warnings) != 1 || !strings.HasPrefix(status.Warnings[0], "synchronous is normal: ") {
		t.Errorf("got %q, %v", status.Warnings, err)
	}
}

func TestStatusOfWhatIsNotThere(t *testing.T) {
	server := storagetest.StartMariaDB(t)
	for name, c := range map[string]struct {
		value     string
		reachable bool
		want      string
	}{
		"no file":         {"sqlite://" + filepath.Join(t.TempDir(), "none.db"), false, "none.db is not there"},
		"no tables":       {"mysql://" + server.DSN("mysql"), true, "no tables of Koinon"},
		"no database":     {"mysql://" + server.NewDatabase(t), true, "no tables of Koinon"},
		"a wrong passord": {"mysql://root:hunter2@" + server.Address + "/k", false, "refused the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			status, err := Inspect(t.Context(), mustParse(t, c.value), StatusOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) || status.Error != err.Error() || status.Reachable != c.reachable {
				t.Errorf("got %+v, %v", status, err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is in the error: %v", err)
			}
		})
	}
}

func TestStatusOfAnEtcd(t *testing.T) {
	address, client := etcdtest.Start(t)
	last := fill(t, client)
	store := mustParse(t, "etcd://"+address)
	status, err := Inspect(t.Context(), store, StatusOptions{})
	if err != nil || *status.Keys != 66 || status.Revision != last || status.CompactRevision != 0 || !strings.HasPrefix(status.Version, "etcd 3.") || status.SizeBytes == 0 {
		t.Errorf("got %+v, %v", status, err)
	}
	var told warnings
	done, err := Compact(t.Context(), store, CompactOptions{Keep: 5, Warn: told.add})
	if err != nil || !done.Raised || done.Revision != last-5 || len(told.sentences) != 1 {
		t.Errorf("compact: %+v, %v, told %q", done, err, told.sentences)
	}
	done, err = Compact(t.Context(), store, CompactOptions{Keep: 5, Warn: told.add})
	if err != nil || done.Raised {
		t.Errorf("compact again: %+v, %v", done, err)
	}
	put(t, client, datastore.UnfinishedKey, "somewhere")
	status, err = Inspect(t.Context(), store, StatusOptions{})
	if err != nil || status.CompactRevision != last-5 || !status.RestoreUnfinished || len(status.Warnings) != 1 {
		t.Errorf("got %+v, %v", status, err)
	}
}

// TestTheFormOfAStatus holds the names, which are an interface.
func TestTheFormOfAStatus(t *testing.T) {
	n, ago := int64(7), Seconds(8)
	got, err := json.Marshal(Status{
		Datastore: "d", Kind: "k", Reachable: true, Error: "e", Version: "v", Revision: 1, CompactRevision: 2, SinceCompaction: 3, LastCompaction: &ago,
		Epoch: 4, Keys: &n, Rows: &n, ReplacedRows: 5, StagedRows: 6, RestoreUnfinished: true, SizeBytes: 9, MaxPacketBytes: 10,
		Users: []User{{Address: "a", Seen: 11}, {PID: 12}}, Warnings: []string{"w"},
	})
	want := `{"datastore":"d","kind":"k","reachable":true,"error":"e","version":"v","revision":1,"compactRevision":2,"revisionsSinceCompaction":3,` +
		`"lastCompactionSeconds":8,"epoch":4,"keys":7,"rows":7,"replacedRows":5,"stagedRows":6,"restoreUnfinished":true,"sizeBytes":9,` +
		`"maxAllowedPacketBytes":10,"users":[{"address":"a","lastSeenSeconds":11},{"lastSeenSeconds":0,"pid":12}],"warnings":["w"]}`
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestACompactionDeletesHistoryAndShrinksTheFile(t *testing.T) {
	onEveryDatabase(t, func(t *testing.T, database database) {
		value := database(t)
		client, stop := serve(t, value)
		large := strings.Repeat("x", 50<<10)
		for i := range 100 {
			put(t, client, "/registry/changes", fmt.Sprint(i, large))
		}
		last := put(t, client, "/registry/last", "x")
		stop()
		want := contents(t, value, true)
		store := mustParse(t, value)
		done, err := Compact(t.Context(), store, CompactOptions{Keep: 3})
		if err != nil || !done.Raised || done.Revision != last-3 || done.Deleted != 97 {
			t.Errorf("got %+v, %v, want revision %d and 97 rows", done, err, last-3)
		}
		if store.datastore.Kind == datastore.SQLite && done.SizeAfter > done.SizeBefore/5 {
			t.Errorf("size %d before, %d after", done.SizeBefore, done.SizeAfter)
		}
		if diff := cmp.Diff(want, contents(t, value, true)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		again, err := Compact(t.Context(), store, CompactOptions{Keep: 3})
		if err != nil || again.Raised || again.Deleted != 0 || again.Revision != last-3 {
			t.Errorf("again: %+v, %v", again, err)
		}
	})
}

func TestACompactionUnderARunningServer(t *testing.T) {
	onEveryDatabase(t, func(t *testing.T, database database) {
		value := database(t)
		client, _ := serve(t, value)
		last := fill(t, client)
		watching := client.Watch(t.Context(), "/registry/", clientv3.WithPrefix(), clientv3.WithRev(last+1))
		if _, err := Compact(t.Context(), mustParse(t, value), CompactOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, err := client.Get(t.Context(), "/registry/a"); err != nil || string(got.Kvs[0].Value) != "a2" {
			t.Errorf("got %v, %v", got, err)
		}
		if _, err := client.Get(t.Context(), "/registry/a", clientv3.WithRev(4)); err == nil || !strings.Contains(err.Error(), "compacted") {
			t.Errorf("a read of an old revision: %v", err)
		}
		next := put(t, client, "/registry/next", "x")
		if answer := <-watching; answer.Err() != nil || len(answer.Events) != 1 || answer.Events[0].Kv.ModRevision != next {
			t.Errorf("a watcher is told %+v", answer)
		}
	})
}

func TestACompactionDeletesWhatRestoresHaveLeft(t *testing.T) {
	onEveryDatabase(t, func(t *testing.T, database database) {
		value := database(t)
		client, stop := serve(t, value)
		fill(t, client)
		stop()
		log, err := mustParse(t, value).log(t.Context(), sqllog.NeedTables)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = log.Close() }()
		replacement, err := log.Replace(t.Context(), sqllog.ReplaceOptions{Renumber: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 600 {
			if err := replacement.Add(t.Context(), sqllog.Record{Key: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		store := mustParse(t, value)
		status, err := Inspect(t.Context(), store, StatusOptions{})
		if err != nil || status.StagedRows != 500 || !status.RestoreUnfinished {
			t.Errorf("got %+v, %v", status, err)
		}
		if _, err := Compact(t.Context(), store, CompactOptions{}); err != nil {
			t.Fatal(err)
		}
		if status, err = Inspect(t.Context(), store, StatusOptions{}); err != nil || status.StagedRows != 500 {
			t.Errorf("not asked to: %+v, %v", status, err)
		}
		if _, err := Compact(t.Context(), store, CompactOptions{DiscardStaged: true}); err != nil {
			t.Fatal(err)
		}
		if status, err = Inspect(t.Context(), store, StatusOptions{}); err != nil || status.StagedRows != 0 || status.RestoreUnfinished || *status.Keys != 66 {
			t.Errorf("asked to: %+v, %v", status, err)
		}
	})
}

func TestAFileOfKineShrinksWhenNobodyUsesIt(t *testing.T) {
	value := sqlite(t)
	backend, stop := kine(t, value)
	for i := range 50 {
		if _, err := backend.Create(t.Context(), fmt.Sprint("/registry/", i), make([]byte, 50<<10), 0); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	mustMigrate(t, "kine+"+value, value)
	client, stopServer := serve(t, value)
	for i := range 50 {
		remove(t, client, fmt.Sprint("/registry/", i))
	}
	stopServer()
	user := helper(t, "open", value)
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
	var told warnings
	done, err := Compact(t.Context(), mustParse(t, value), CompactOptions{Warn: told.add})
	if err != nil || len(told.sentences) != 1 || done.SizeAfter < done.SizeBefore/2 {
		t.Errorf("in use: %+v, %v, told %q", done, err, told.sentences)
	}
	_ = user.Process.Kill()
	_ = user.Wait()
	done, err = Compact(t.Context(), mustParse(t, value), CompactOptions{Warn: told.add})
	if err != nil || len(told.sentences) != 1 || done.SizeAfter > done.SizeBefore*2/3 {
		t.Errorf("not in use: %+v, %v, told %q", done, err, told.sentences)
	}
	if got := contents(t, value, false); len(got) != 1 || !slices.ContainsFunc(got, func(key string) bool { return strings.HasPrefix(key, "/registry/health") }) {
		t.Errorf("what is left: %s", got)
	}
}
