package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/koinon-io/koinon/pkg/storage/archive"
	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/embedded"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/pkg/storage/storagetest/etcdtest"
)

func TestARestoreToAnEmptyDatastoreKeepsRevisionsAndGoesOnAboveThem(t *testing.T) {
	onEveryDatabase(t, func(t *testing.T, database database) {
		value := database(t)
		client, stop := serve(t, value)
		last := fill(t, client)
		path, _ := mustBackup(t, value)
		want := contents(t, value, true)
		stop()

		into := database(t)
		restored := mustRestore(t, into, path, false)
		if restored.Keys != 66 || restored.Revision != last || restored.Tail != last+DefaultBump {
			t.Errorf("got %+v, want 66 keys of revision %d, and %d", restored, last, last+DefaultBump)
		}
		if diff := cmp.Diff(want, contents(t, into, true)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		client, _ = serve(t, into)
		if next := put(t, client, "/registry/next", "x"); next != restored.Tail+1 {
			t.Errorf("the next revision is %d, want %d", next, restored.Tail+1)
		}
		// Who has seen what came after the backup has to begin anew.
		answer := <-client.Watch(t.Context(), "/registry/", clientv3.WithPrefix(), clientv3.WithRev(last+5))
		if answer.CompactRevision != restored.Tail {
			t.Errorf("a watch from after the backup: %v, compact revision %d, want %d", answer.Err(), answer.CompactRevision, restored.Tail)
		}
	})
}

// TestARestoreUnderRunningServers: two servers on the database, whose clients watch, and
// write all the time.
func TestARestoreUnderRunningServers(t *testing.T) {
	onEveryDatabase(t, func(t *testing.T, database database) {
		value := database(t)
		one, _ := serve(t, value)
		fill(t, one)
		for i := range 80 {
			put(t, one, fmt.Sprintf("/registry/large/%03d", i), strings.Repeat("x", 100<<10))
		}
		path, _ := mustBackup(t, value)
		want := contents(t, value, false)
		seen := put(t, one, "/registry/a", "after the backup")
		put(t, one, "/registry/new", "after the backup")
		servers := []*clientv3.Client{one}
		if strings.HasPrefix(value, "mysql") {
			two, _ := serve(t, value)
			servers = append(servers, two)
		}

		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var highest [2]int64 // by server
		for i, server := range servers {
			watching := server.Watch(ctx, "/registry/", clientv3.WithPrefix())
			running.Go(func() { untilCompacted(t, watching) })
			running.Go(func() { highest[i] = writeUntilRestored(ctx, t, server, fmt.Sprint("/noise/", i)) })
		}
		// In another process, as it is otherwise.
		if output, err := helper(t, "restore", value, path).Output(); err != nil {
			t.Fatalf("restore: %v: %s", err, output)
		}
		running.Wait()
		cancel()
		tail := int64(0) // of what was restored: its keys come after the gap, in order
		for _, kv := range mustGet(t, one, "/registry/").Kvs {
			tail = max(tail, kv.ModRevision)
		}

		for i, server := range servers {
			if highest[i] <= tail {
				t.Errorf("server %d: revisions went from %d to %d, restored to %d", i, seen, highest[i], tail)
			}
			var got []string
			for _, kv := range mustGet(t, server, "/registry/").Kvs {
				got = append(got, describe(kv.Key, kv.Value, kv.Lease))
				if kv.ModRevision <= seen+DefaultBump || kv.ModRevision != kv.CreateRevision {
					t.Errorf("server %d: %s has revision %d, created at %d", i, kv.Key, kv.ModRevision, kv.CreateRevision)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("server %d (-want +got):\n%.2000s", i, diff)
			}
			// A client that does not know yet.
			answer, err := server.Txn(t.Context()).If(clientv3.Compare(clientv3.ModRevision("/registry/a"), "=", seen)).
				Then(clientv3.OpPut("/registry/a", "lost")).Else(clientv3.OpGet("/registry/a")).Commit()
			if err != nil || answer.Succeeded || string(answer.Responses[0].GetResponseRange().Kvs[0].Value) != "a2" {
				t.Errorf("server %d: a write on an old revision: %v, %v, want a conflict with the restored value", i, answer, err)
			}
			if _, err := server.Get(t.Context(), "/registry/a", clientv3.WithRev(seen)); err == nil || !strings.Contains(err.Error(), "compacted") {
				t.Errorf("server %d: a read of an old revision: %v, want compacted", i, err)
			}
		}
		// Whoever comes to it deletes what was replaced.
		log, err := mustParse(t, value).log(t.Context(), sqllog.NeedTables)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = log.Close() }()
		storagetest.Eventually(t, "replaced rows are deleted", func() bool {
			void, staged, err := log.Rows(t.Context())
			return err == nil && void == 0 && staged == 0
		})
	})
}

func mustGet(t *testing.T, client *clientv3.Client, prefix string) *clientv3.GetResponse {
	t.Helper()
	found, err := client.Get(t.Context(), prefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// untilCompacted watches until it is told that what it knows is compacted.
func untilCompacted(t *testing.T, watching clientv3.WatchChan) {
	last := int64(0)
	for answer := range watching {
		if err := answer.Err(); err != nil {
			if !strings.Contains(err.Error(), "compacted") {
				t.Errorf("the watch ended with %v, want compacted", err)
			}
			return
		}
		for _, event := range answer.Events {
			if event.Kv.ModRevision <= last {
				t.Errorf("revision %d came after %d", event.Kv.ModRevision, last)
			}
			last = event.Kv.ModRevision
		}
	}
	t.Error("the watch ended without a word")
}

// writeUntilRestored writes until revisions jump, and returns the last.
func writeUntilRestored(ctx context.Context, t *testing.T, client *clientv3.Client, key string) int64 {
	last := int64(0)
	for ctx.Err() == nil {
		begun := time.Now()
		answer, err := client.Put(ctx, key, "x")
		if waited := time.Since(begun); waited > 4*time.Second {
			t.Errorf("a write took %s", waited)
		}
		if err != nil {
			// Of a write that was under way it is not known whether it was done.
			if !strings.Contains(err.Error(), "replaced") {
				t.Error(err)
				return last
			}
			continue
		}
		revision := answer.Header.Revision
		if revision <= last {
			t.Errorf("revision %d was given out after %d", revision, last)
		}
		if revision > DefaultBump {
			return revision
		}
		last = revision
	}
	return last
}

func TestADatastoreWithContentsIsNotReplacedWithoutForce(t *testing.T) {
	onEveryDatabase(t, func(t *testing.T, database database) {
		value := database(t)
		client, _ := serve(t, value)
		last := fill(t, client)
		path, _ := mustBackup(t, value)
		put(t, client, "/registry/new", "x")
		want := contents(t, value, true)
		_, err := Restore(t.Context(), mustParse(t, value), path, RestoreOptions{})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("holds 67 keys at revision %d", last+1)) || !strings.Contains(err.Error(), "with --force") {
			t.Errorf("got %v, want what would be lost", err)
		}
		if strings.HasPrefix(value, "mysql") && !strings.Contains(err.Error(), "in use by the server at 127.0.0.1:") {
			t.Errorf("got %v, want who uses it", err)
		}
		if diff := cmp.Diff(want, contents(t, value, true)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestADamagedBackupIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	value := sqlite(t)
	client, _ := serve(t, value)
	fill(t, client)
	path, _ := mustBackup(t, value)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(whole)
	changed[len(changed)/2] ^= 1
	for name, file := range map[string][]byte{"cut off": whole[:len(whole)-20], "changed": changed} {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		into := sqlite(t)
		_, err := Restore(t.Context(), mustParse(t, into), path, RestoreOptions{})
		if !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := os.Stat(strings.TrimPrefix(into, "sqlite://")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the database was made: %v", name, err)
		}
	}
}

// helperVariable makes this test binary do one thing and end, as a process that can be
// killed: "restore VALUE PATH", "migrate VALUE FROM" or "open PATH".
const helperVariable = "KOINON_TEST_HELPER"

func TestMain(m *testing.M) {
	if job := os.Getenv(helperVariable); job != "" {
		os.Exit(help(strings.Split(job, " ")))
	}
	os.Exit(m.Run())
}

func help(job []string) int {
	ctx := context.Background()
	store, err := Parse(job[1], "", Access{})
	if err == nil && job[0] == "open" {
		var s *embedded.Store
		if s, err = embedded.Open(ctx, store.datastore, embedded.Config{}); err == nil {
			fmt.Println("open")
			time.Sleep(time.Hour)
			_ = s.Close()
		}
	} else if err == nil && job[0] == "migrate" {
		var from Store
		if from, err = ParseSource(job[2], "", Access{}); err == nil {
			_, err = Migrate(ctx, from, store, MigrateOptions{Warn: func(string) {}})
		}
	} else if err == nil {
		_, err = Restore(ctx, store, job[2], RestoreOptions{Force: true, Bump: DefaultBump, Warn: func(string) {}})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// helper starts a process that does a job. It ends with the test.
func helper(t *testing.T, job ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVariable+"="+strings.Join(job, " "))
	cmd.Stderr = os.Stderr
	t.Cleanup(func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

// TestARestoreThatIsKilledChangesNothing kills restores with kill -9 at some moment, while a
// server runs, and at last lets one go on to its end.
func TestARestoreThatIsKilledChangesNothing(t *testing.T) {
	onEveryDatabase(t, func(t *testing.T, database database) {
		source := database(t)
		client, stop := serve(t, source)
		large := strings.Repeat("x", 100<<10)
		for i := range 120 { // twenty are prepared at a time
			put(t, client, fmt.Sprintf("/registry/large/%03d", i), large)
		}
		path, _ := mustBackup(t, source)
		want := contents(t, source, false)
		stop()

		value := database(t)
		server, _ := serve(t, value)
		last := fill(t, server)
		before := contents(t, value, true)
		log, err := mustParse(t, value).log(t.Context(), sqllog.NeedTables)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = log.Close() }()
		for _, rows := range []int64{1, 21, 41} {
			killed := helper(t, "restore", value, path)
			if err := killed.Start(); err != nil {
				t.Fatal(err)
			}
			storagetest.Eventually(t, fmt.Sprintf("%d rows are prepared", rows), func() bool {
				_, staged, err := log.Rows(t.Context())
				return err == nil && staged >= rows
			})
			_ = killed.Process.Kill()
			_ = killed.Wait()
			if mark, err := log.Mark(t.Context()); err != nil || mark.Epoch != 1 {
				t.Skipf("it was quicker than the test: %+v, %v", mark, err)
			}
			if diff := cmp.Diff(before, contents(t, value, true)); diff != "" {
				t.Errorf("after a restore was killed (-want +got):\n%s", diff)
			}
		}
		if revision := put(t, server, "/registry/a", "a2"); revision != last+1 {
			t.Errorf("the server goes on at %d, want %d", revision, last+1)
		}
		again := helper(t, "restore", value, path)
		if output, err := again.Output(); err != nil {
			t.Fatalf("run again: %v: %s", err, output)
		}
		if diff := cmp.Diff(want, contents(t, value, false)); diff != "" {
			t.Errorf("run again (-want +got):\n%.2000s", diff)
		}
		if void, staged, err := log.Rows(t.Context()); staged != 0 || err != nil {
			t.Errorf("%d void and %d staged rows are left, %v", void, staged, err)
		}
		got, err := server.Get(t.Context(), "/registry/a")
		if err != nil || len(got.Kvs) != 0 {
			t.Errorf("the server has %v, %v", got, err)
		}
	})
}

func TestAnInterruptedRestoreChangesNothing(t *testing.T) {
	value := sqlite(t)
	client, stop := serve(t, value)
	fill(t, client)
	path, _ := mustBackup(t, value)
	stop()
	into := sqlite(t)
	ctx, cancel := context.WithCancel(t.Context())
	source, err := archive.FromFile(ctx, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	log, err := mustParse(t, into).log(ctx, sqllog.MakeTablesToFill)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if _, err := replace(ctx, log, cancelling{source, cancel}, nil, RestoreOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if empty, err := log.Empty(t.Context()); !empty || err != nil {
		t.Errorf("empty: %v, %v", empty, err)
	}
	mustRestore(t, into, path, false)
}

// cancelling is interrupted after all keys were copied, and before they are in their place.
type cancelling struct {
	archive.Source
	cancel func()
}

func (c cancelling) Since(ctx context.Context) (int64, error) {
	c.cancel()
	return c.Source.Since(ctx)
}

func TestARestoreToAnEtcd(t *testing.T) {
	value := sqlite(t)
	client, _ := serve(t, value)
	fill(t, client)
	put(t, client, "compact_rev_key_apiserver", "1|5")
	path, _ := mustBackup(t, value)
	address, etcd := etcdtest.Start(t)
	into := "etcd://" + address
	restored := mustRestore(t, into, path, false)
	if restored.Tail != 0 || restored.Keys != 67 {
		t.Errorf("got %+v", restored)
	}
	want := contents(t, value, false)
	want = want[:len(want)-1] // what API servers note of their compactions
	if diff := cmp.Diff(want, contents(t, into, false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if left, err := etcd.Get(t.Context(), datastore.UnfinishedKey); err != nil || len(left.Kvs) > 0 {
		t.Errorf("it is called unfinished: %v, %v", left, err)
	}
	_, err := Restore(t.Context(), mustParse(t, into), path, RestoreOptions{Force: true})
	if err == nil || !strings.Contains(err.Error(), "it is not empty: it has 66 keys") {
		t.Errorf("into one with contents: %v", err)
	}
}

// TestTheDatabaseMayBeMadeByItsAdministrator: the user of the server has no right to make
// tables.
func TestTheDatabaseMayBeMadeByItsAdministrator(t *testing.T) {
	server := storagetest.StartMariaDB(t)
	dsn := server.NewDatabase(t)
	name := dsn[strings.LastIndex(dsn, "/")+1:]
	schema, err := Schema("mysql")
	if err != nil {
		t.Fatal(err)
	}
	statements := []string{"CREATE DATABASE " + name}
	for statement := range strings.SplitSeq(strings.TrimSpace(schema), ";") {
		if statement != "" {
			statements = append(statements, strings.Replace(statement, "EXISTS ", "EXISTS "+name+".", 1))
		}
	}
	server.Exec(t, append(statements, "CREATE USER 'limited'@'127.0.0.1' IDENTIFIED BY 'hunter2'",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON "+name+".* TO 'limited'@'127.0.0.1'")...)
	limited := "mysql://limited:hunter2@" + server.Address + "/" + name
	client, _ := serve(t, limited)
	fill(t, client)
	path, _ := mustBackup(t, limited)
	mustRestore(t, limited, path, true)
	if _, err := Compact(t.Context(), mustParse(t, limited), CompactOptions{}); err != nil {
		t.Error(err)
	}
	status, err := Inspect(t.Context(), mustParse(t, limited), StatusOptions{})
	if err != nil || *status.Keys != 66 {
		t.Errorf("%+v, %v", status, err)
	}
	for name, value := range map[string]string{
		"another password": "mysql://limited:hunter3@" + server.Address + "/" + name,
		"another database": "mysql://limited:hunter2@" + server.Address + "/mysql",
	} {
		_, err := Inspect(t.Context(), mustParse(t, value), StatusOptions{})
		if err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
