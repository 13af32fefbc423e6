package admin

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/archive"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/pkg/storage/storagetest/etcdtest"
)

// TestABackupIsWhatThereWasAtItsRevision makes backups while servers write, compact and
// delete, and compares each with what a watcher was told up to its revision.
func TestABackupIsWhatThereWasAtItsRevision(t *testing.T) {
	onEveryDatabase(t, func(t *testing.T, database database) {
		value := database(t)
		client, _ := serve(t, value)
		first := put(t, client, "/registry/first", "x")
		watching := client.Watch(t.Context(), "/registry/", clientv3.WithPrefix(), clientv3.WithRev(first), clientv3.WithProgressNotify())

		stop := make(chan struct{})
		var writing sync.WaitGroup
		for writer := range 4 {
			writing.Go(func() { writeRandomly(t, client, uint64(writer), stop) })
		}
		var backups []string
		for n := range 6 {
			put(t, client, "/registry/between", fmt.Sprint(n)) // the writers may all be waiting for the disk
			path, header := mustBackup(t, value)
			if header.Keys == 0 {
				t.Error("a backup is empty")
			}
			backups = append(backups, path)
			if _, err := client.Compact(t.Context(), header.Revision); err != nil {
				t.Error(err)
			}
		}
		close(stop)
		writing.Wait()
		last := put(t, client, "/registry/last", "x")
		history := events(t, watching, last)

		for _, path := range backups {
			source, err := archive.FromFile(t.Context(), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := stateAt(history, source.Revision())
			if diff := cmp.Diff(want, keysOf(t, source, true)); diff != "" {
				t.Errorf("at revision %d (-want +got):\n%s", source.Revision(), diff)
			}
			_ = source.Close()
		}
	})
}

// writeRandomly puts and deletes keys that others write too.
func writeRandomly(t *testing.T, client *clientv3.Client, seed uint64, stop <-chan struct{}) {
	random := rand.New(rand.NewPCG(seed, 1))
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		key := fmt.Sprintf("/registry/k%02d", random.IntN(40))
		if random.IntN(4) > 0 {
			if _, err := client.Put(t.Context(), key, fmt.Sprintf("%d-%d", seed, i)); err != nil {
				t.Error(err)
				return
			}
			continue
		}
		found, err := client.Get(t.Context(), key)
		if err != nil {
			t.Error(err)
			return
		}
		if len(found.Kvs) > 0 {
			_, err := client.Txn(t.Context()).If(clientv3.Compare(clientv3.ModRevision(key), "=", found.Kvs[0].ModRevision)).
				Then(clientv3.OpDelete(key)).Else(clientv3.OpGet(key)).Commit()
			if err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// events are those up to a revision.
func events(t *testing.T, watching clientv3.WatchChan, last int64) []*clientv3.Event {
	t.Helper()
	var all []*clientv3.Event
	for answer := range watching {
		if err := answer.Err(); err != nil {
			t.Fatal(err)
		}
		all = append(all, answer.Events...)
		if len(all) > 0 && all[len(all)-1].Kv.ModRevision >= last {
			return all
		}
	}
	t.Fatal("the watch ended")
	return nil
}

// stateAt is what the events up to a revision come to, as keysOf has it.
func stateAt(history []*clientv3.Event, revision int64) []string {
	state := map[string]string{}
	for _, event := range history {
		if event.Kv.ModRevision > revision {
			break
		}
		key := string(event.Kv.Key)
		if event.Type == clientv3.EventTypeDelete {
			delete(state, key)
			continue
		}
		state[key] = fmt.Sprintf("%s=%q lease 0 mod %d create %d version %d", key, event.Kv.Value, event.Kv.ModRevision, event.Kv.CreateRevision, event.Kv.Version)
	}
	var keys []string
	for _, key := range state {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func TestABackupOfAnEtcd(t *testing.T) {
	address, client := etcdtest.Start(t)
	last := fill(t, client)
	put(t, client, "compact_rev_key", "not a key of anybody's")
	path, header := mustBackup(t, "etcd://"+address)
	if header.Revision != last+1 || header.Keys != 66 || header.Source != "etcd" {
		t.Errorf("got %+v", header)
	}
	got := fileContents(t, path, true)
	for _, want := range []string{
		`/registry/a="a2" lease 0 mod 4 create 2 version 2`,
		`/registry/events/e="leased" lease 3600 mod 6 create 6 version 1`,
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not in the backup", want)
		}
	}
	if slices.ContainsFunc(got, func(key string) bool {
		return strings.Contains(key, "compact_rev_key") || strings.Contains(key, "gone")
	}) {
		t.Errorf("too much is in the backup: %s", got)
	}
}

// TestKeysOfOneTransactionInEtcd: their revision is the same, which it is nowhere else.
func TestKeysOfOneTransactionInEtcdGetRevisionsOfTheirOwn(t *testing.T) {
	address, client := etcdtest.Start(t)
	put(t, client, "/before", "x")
	put(t, client, "/before", "y")
	put(t, client, "/before", "z")
	if _, err := client.Txn(t.Context()).Then(clientv3.OpPut("/one", "1"), clientv3.OpPut("/two", "2")).Commit(); err != nil {
		t.Fatal(err)
	}
	put(t, client, "/after", "x")
	path, _ := mustBackup(t, "etcd://"+address)
	want := []string{
		`/after="x" lease 0 mod 6 create 6 version 1`,
		`/before="z" lease 0 mod 3 create 2 version 3`,
		`/one="1" lease 0 mod 4 create 4 version 1`,
		`/two="2" lease 0 mod 5 create 5 version 1`,
	}
	if diff := cmp.Diff(want, fileContents(t, path, true)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestABackupToStandardOutput(t *testing.T) {
	value := sqlite(t)
	client, _ := serve(t, value)
	fill(t, client)
	var out bytes.Buffer
	if _, err := Backup(t.Context(), mustParse(t, value), Stdio, BackupOptions{Out: &out}); err != nil {
		t.Fatal(err)
	}
	into := sqlite(t)
	if _, err := Restore(t.Context(), mustParse(t, into), Stdio, RestoreOptions{In: &out}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contents(t, value, true), contents(t, into, true)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsNotThereIsNotBackedUpAndNotMade(t *testing.T) {
	dir := t.TempDir()
	_, err := Backup(t.Context(), mustParse(t, "sqlite://"+filepath.Join(dir, "none.db")), filepath.Join(dir, "backup"), BackupOptions{})
	if err == nil || !strings.Contains(err.Error(), "none.db is not there") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("there is %v, %v", left, err)
	}
}

func TestPathsThatAreMistakes(t *testing.T) {
	for name, c := range map[string]struct{ path, want string }{
		"none":        {"", "has no name"},
		"a datastore": {"mysql://root:hunter2@host/koinon", "--datastore"},
	} {
		store := mustParse(t, sqlite(t))
		_, backup := Backup(t.Context(), store, c.path, BackupOptions{})
		_, restore := Restore(t.Context(), store, c.path, RestoreOptions{})
		for _, err := range []error{backup, restore} {
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
}

func TestAnInterruptedBackupLeavesNothing(t *testing.T) {
	value := sqlite(t)
	client, _ := serve(t, value)
	fill(t, client)
	if _, err := Backup(t.Context(), mustParse(t, value), Stdio, BackupOptions{Out: failing{}}); !errors.Is(err, errFull) {
		t.Errorf("to standard output: got %v, want that the disk is full", err)
	}

	disk := storagetest.SmallDisk(t, 1<<20)
	dir := filepath.Join(disk, "backups")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	storagetest.FillDisk(t, disk)
	if _, err := Backup(t.Context(), mustParse(t, value), filepath.Join(dir, "backup"), BackupOptions{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("to a file: got %v, want that the disk is full", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("there is %v, %v", left, err)
	}
}

var errFull = errors.New("no space left on device")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }
