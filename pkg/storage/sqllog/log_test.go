package sqllog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/koinon-io/koinon/pkg/storage/fault"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// opener opens the same database again and again, as several processes do.
type opener func(t *testing.T) *Log

func sqliteOpener(t *testing.T) opener {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) *Log {
		t.Helper()
		l, err := OpenSQLite(t.Context(), SQLiteConfig{Path: path, Name: "test database"})
		return opened(t, l, err)
	}
}

func mysqlOpener(t *testing.T, server *storagetest.MariaDB) opener {
	t.Helper()
	dsn := server.NewDatabase(t)
	return func(t *testing.T) *Log {
		t.Helper()
		l, err := OpenMySQL(t.Context(), MySQLConfig{DSN: dsn, Addresses: []string{server.Address}, Name: "test database"})
		return opened(t, l, err)
	}
}

func opened(t *testing.T, l *Log, err error) *Log {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the log: %v", err)
		}
	})
	return l
}

func TestSQLite(t *testing.T) {
	contract(t, sqliteOpener)
	replaceContract(t, sqliteOpener)
}

func TestMariaDB(t *testing.T) {
	server := storagetest.StartMariaDB(t)
	database := func(t *testing.T) opener { return mysqlOpener(t, server) }
	contract(t, database)
	replaceContract(t, database)
}

// TestPacketsOfText is for MySQL, OceanBase and TiDB, which cannot prepare an append.
func TestPacketsOfText(t *testing.T) {
	server := storagetest.StartMariaDB(t)
	contract(t, func(t *testing.T) opener {
		open := mysqlOpener(t, server)
		return func(t *testing.T) *Log {
			t.Helper()
			l := open(t)
			dialect := l.dialect.(mysqlDialect)
			dialect.packet = plain
			l.dialect = dialect
			return l
		}
	})
}

// TestAServerThatBecameAReplicaIsNotRead: connections to it stay open, and it may be behind.
func TestAServerThatBecameAReplicaIsNotRead(t *testing.T) {
	server := storagetest.StartMariaDB(t)
	dsn := server.NewDatabase(t)
	open := func(addresses ...string) *Log {
		l, err := OpenMySQL(t.Context(), MySQLConfig{DSN: dsn, Addresses: addresses, Name: "test database"})
		return opened(t, l, err)
	}
	alone, several := open(server.Address), open(server.Address, server.Address)
	mustMark(t, several)
	server.Exec(t, "SET GLOBAL read_only = 1")
	if mark, err := several.Mark(t.Context()); fault.KindOf(err) != fault.ReadOnly {
		t.Errorf("of several servers, a replica was read: %+v, %v", mark, err)
	}
	mustMark(t, alone) // there is no other one
	server.Exec(t, "SET GLOBAL read_only = 0")
	mustMark(t, several)
}

// never is for appends that nothing comes before.
func never(t *testing.T) Rebase {
	return func(mark Mark, missed []Record) ([]Record, error) {
		t.Errorf("an append on the latest mark was told of %v and %d records", mark, len(missed))
		return nil, errors.New("unexpected")
	}
}

func mustMark(t *testing.T, l *Log) Mark {
	t.Helper()
	mark, err := l.Mark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

// mustAppend appends a key for each value.
func mustAppend(t *testing.T, l *Log, values ...string) Mark {
	t.Helper()
	mark := mustMark(t, l)
	var records []Record
	for i, value := range values {
		revision := mark.Tail + int64(i) + 1
		records = append(records, Record{Revision: revision, Key: value, Created: revision, Version: 1, Operation: -revision, Value: []byte(value)})
	}
	if err := l.Append(t.Context(), mark, records, never(t)); err != nil {
		t.Fatal(err)
	}
	return mustMark(t, l)
}

// contract is what a log must do on every database.
func contract(t *testing.T, database func(t *testing.T) opener) {
	t.Run("a new log begins where an empty etcd does", func(t *testing.T) {
		open := database(t)
		if got, want := mustMark(t, open(t)), (Mark{Tail: 1, Epoch: 1}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		mustAppend(t, open(t), "a")
		if got := mustMark(t, open(t)).Tail; got != 2 {
			t.Errorf("opened again: tail %d, want 2", got)
		}
	})
	t.Run("a batch may have any size", func(t *testing.T) {
		l := database(t)(t)
		for _, size := range []int{1, 2, 256, 200, 255, 3, 254, 1, 256, 253} {
			mark := mustMark(t, l)
			var want []Record
			for revision := mark.Tail + 1; revision <= mark.Tail+int64(size); revision++ {
				want = append(want, Record{
					Revision: revision, Key: fmt.Sprint(revision), Created: revision, Version: 1, Operation: revision,
					Value: bytes.Repeat([]byte{byte(revision)}, 10*size),
				})
			}
			if err := l.Append(t.Context(), mark, want, never(t)); err != nil {
				t.Fatal(err)
			}
			got, err := l.Read(t.Context(), mark.Tail, mark.Tail+int64(size), size, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(want, got) { // cmp.Diff takes a minute for this many bytes
				t.Errorf("a batch of %d is not read as it was appended", size)
			}
		}
	})
	t.Run("what is appended is read byte by byte", func(t *testing.T) {
		l := database(t)(t)
		mark := mustMark(t, l)
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		want := []Record{
			{Revision: 2, Key: string(all), Created: 2, Version: 1, Lease: 60, Expires: 1 << 40, Operation: -1 << 62, Value: bytes.Repeat(all, 4<<10)},
			{Revision: 3, Key: "it's \\ \"quoted\" ? %", Created: 1, Version: 7, Operation: 1<<62 + 1, Value: []byte{}},
			{Revision: 4, Key: string(all), Created: 2, Version: 2, Deleted: true, Value: []byte{}},
		}
		if err := l.Append(t.Context(), mark, want, never(t)); err != nil {
			t.Fatal(err)
		}
		got, err := l.Read(t.Context(), mark.Tail, 4, 100, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
		values := map[int64][]byte{}
		if err := l.Values(t.Context(), []int64{2, 3, 77}, func(revision int64, value []byte) { values[revision] = value }); err != nil {
			t.Fatal(err)
		}
		if len(values) != 2 || !bytes.Equal(values[2], want[0].Value) || len(values[3]) != 0 {
			t.Errorf("values of %d revisions, want 2 and 3", len(values))
		}
	})
	t.Run("an append on an old mark is told what it missed and follows it", func(t *testing.T) {
		open := database(t)
		one, two := open(t), open(t)
		old := mustMark(t, two)
		now := mustAppend(t, one, "a", "b")
		var told []string
		err := two.Append(t.Context(), old, []Record{{Revision: old.Tail + 1, Key: "wrong"}}, func(mark Mark, missed []Record) ([]Record, error) {
			if mark != now {
				t.Errorf("told of %+v, want %+v", mark, now)
			}
			for _, record := range missed {
				told = append(told, fmt.Sprintf("%d=%s", record.Revision, record.Value))
			}
			return []Record{{Revision: mark.Tail + 1, Key: "right"}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"2=a", "3=b"}, told); diff != "" {
			t.Errorf("missed (-want +got):\n%s", diff)
		}
		records, err := one.Read(t.Context(), 3, mustMark(t, one).Tail, 10, 1<<20)
		if err != nil || len(records) != 1 || records[0].Key != "right" {
			t.Errorf("after it: %v, %v, want one record", records, err)
		}
	})
	t.Run("an append that has become pointless writes nothing and leaves no lock", func(t *testing.T) {
		open := database(t)
		one, two := open(t), open(t)
		old := mustMark(t, two)
		now := mustAppend(t, one, "a")
		for _, end := range []error{nil, errors.New("given up")} {
			err := two.Append(t.Context(), old, []Record{{Revision: 2, Key: "wrong"}}, func(Mark, []Record) ([]Record, error) { return nil, end })
			if !errors.Is(err, end) {
				t.Errorf("got %v, want %v", err, end)
			}
		}
		if got := mustMark(t, one); got != now {
			t.Errorf("got %+v, want %+v", got, now)
		}
		mustAppend(t, one, "b")
	})
	t.Run("writers of several processes leave no gap and lose nothing", func(t *testing.T) {
		open := database(t)
		const writers, each = 4, 25
		var writing sync.WaitGroup
		for writer := range writers {
			l := open(t)
			writing.Go(func() {
				mark := Mark{Tail: 1, Epoch: 1}
				for i := range each {
					key := fmt.Sprintf("%d-%d", writer, i)
					appended := []Record{{Revision: mark.Tail + 1, Key: key}}
					err := l.Append(t.Context(), mark, appended, func(now Mark, _ []Record) ([]Record, error) {
						mark, appended = now, []Record{{Revision: now.Tail + 1, Key: key}}
						return appended, nil
					})
					if err != nil {
						t.Error(err)
						return
					}
					mark.Tail = appended[0].Revision
				}
			})
		}
		writing.Wait()
		l := open(t)
		records, err := l.Read(t.Context(), 1, mustMark(t, l).Tail, 1000, 1<<20)
		if err != nil || len(records) != writers*each {
			t.Fatalf("%d records, %v, want %d", len(records), err, writers*each)
		}
		seen := map[string]bool{}
		for _, record := range records {
			seen[record.Key] = true
		}
		if len(seen) != writers*each {
			t.Errorf("%d different keys, want %d", len(seen), writers*each)
		}
	})
	t.Run("a read is bounded by records and bytes, and goes on", func(t *testing.T) {
		l := database(t)(t)
		mark := mustAppend(t, l, "a", strings.Repeat("b", 100), "c", "d")
		cases := map[string]struct{ limit, bytes, want int }{
			"by records":                 {3, 1 << 20, 3},
			"by bytes":                   {10, 50, 2},
			"to one record at the least": {10, 1, 1},
		}
		for name, c := range cases {
			records, err := l.Read(t.Context(), 1, mark.Tail, c.limit, c.bytes)
			if err != nil || len(records) != c.want {
				t.Errorf("%s: %d records, %v, want %d", name, len(records), err, c.want)
			}
		}
	})
	t.Run("what was compacted is a gap", func(t *testing.T) {
		open := database(t)
		l, asleep := open(t), open(t)
		old := mustMark(t, asleep)
		mark := mustAppend(t, l, "a", "b", "c")
		compacted, err := l.Compact(t.Context(), 3)
		if err != nil || compacted.Compact != 3 || compacted.Tail != mark.Tail {
			t.Fatalf("compact: %+v, %v", compacted, err)
		}
		if lower, err := l.Compact(t.Context(), 2); err != nil || lower.Compact != 3 {
			t.Errorf("a lower revision: %+v, %v", lower, err)
		}
		for epoch := range int64(2) { // that of nobody, and that of the log
			if err := l.Delete(t.Context(), epoch, []int64{2, 3, 4}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Read(t.Context(), 1, mark.Tail, 10, 1<<20); !errors.Is(err, ErrGap) {
			t.Errorf("read from before: %v, want a gap", err)
		}
		if _, err := l.Read(t.Context(), 1, 3, 10, 1<<20); !errors.Is(err, ErrGap) {
			t.Errorf("read of what is all gone: %v, want a gap", err)
		}
		err = asleep.Append(t.Context(), old, []Record{{Revision: 2, Key: "into the past"}}, never(t))
		if !errors.Is(err, ErrGap) {
			t.Errorf("append on a mark from before: %v, want a gap", err)
		}
		var scanned []int64
		if err := l.Scan(t.Context(), mark, func(r Record) { scanned = append(scanned, r.Revision) }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int64{4}, scanned); diff != "" {
			t.Errorf("scanned (-want +got):\n%s", diff)
		}
	})
	t.Run("a log that has lost records says so to who reads all of it", func(t *testing.T) {
		for lost, found := range map[int64]bool{2: false, 4: true, 6: true} {
			l := database(t)(t)
			mustAppend(t, l, "a", "b", "c", "d", "e")
			if _, err := l.Compact(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			if _, err := l.writes.ExecContext(t.Context(), "DELETE FROM koinon_log WHERE rev = ?", lost); err != nil {
				t.Fatal(err)
			}
			if err := l.Scan(t.Context(), mustMark(t, l), func(Record) {}); errors.Is(err, ErrShort) != found {
				t.Errorf("without revision %d: %v", lost, err)
			}
			snapshot, err := l.Snapshot(t.Context(), nil)
			if errors.Is(err, ErrShort) != found {
				t.Errorf("a snapshot without revision %d: %v", lost, err)
			}
			if err == nil {
				snapshot.Close()
			}
		}
	})
	t.Run("records that are compacted while all is read are not missing", func(t *testing.T) {
		open := database(t)
		l, other := open(t), open(t)
		mustAppend(t, l, "a", "b", "c", "d")
		mark := mustMark(t, l)
		if _, err := other.Compact(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		if err := other.Delete(t.Context(), mark.Epoch, []int64{2, 4}); err != nil {
			t.Fatal(err)
		}
		if err := l.Scan(t.Context(), mark, func(Record) {}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a new epoch voids the marks of the old one", func(t *testing.T) {
		l := database(t)(t)
		old := mustAppend(t, l, "a")
		if err := l.Renew(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
		if got, want := mustMark(t, l), (Mark{Tail: 1000, Compact: 1000, Epoch: 2}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if err := l.Renew(t.Context(), 1000); err != nil || mustMark(t, l).Epoch != 2 {
			t.Errorf("the second of two that noticed: %v, %+v", err, mustMark(t, l))
		}
		if err := l.Append(t.Context(), old, []Record{{Revision: old.Tail + 1, Key: "b"}}, never(t)); !errors.Is(err, ErrEpoch) {
			t.Errorf("append on an old mark: %v", err)
		}
		mustAppend(t, l, "c")
	})
	t.Run("peers find each other and leave", func(t *testing.T) {
		open := database(t)
		one, two := open(t), open(t)
		if peers, err := one.Announce(t.Context(), Peer{ID: 1, Address: "10.0.0.1:1"}); err != nil || len(peers) != 0 {
			t.Errorf("the first finds %v, %v", peers, err)
		}
		peers, err := two.Announce(t.Context(), Peer{ID: -2, Address: "[::1]:2"})
		if diff := cmp.Diff([]Peer{{ID: 1, Address: "10.0.0.1:1"}}, peers, cmpopts.IgnoreFields(Peer{}, "Seen")); diff != "" || err != nil {
			t.Errorf("the second: %v (-want +got):\n%s", err, diff)
		}
		if err := one.Leave(t.Context(), -2); err != nil {
			t.Fatal(err)
		}
		if peers, err := one.Announce(t.Context(), Peer{ID: 1, Address: "10.0.0.1:1"}); err != nil || len(peers) != 0 {
			t.Errorf("after the second has left: %v, %v", peers, err)
		}
		secret, err := one.Secret(t.Context())
		again, err2 := two.Secret(t.Context())
		if err != nil || err2 != nil || len(secret) != 32 || !bytes.Equal(secret, again) {
			t.Errorf("secrets of %d and %d bytes, %v, %v: want the same 32", len(secret), len(again), err, err2)
		}
	})
	t.Run("it has a size, takes a probe and shrinks", func(t *testing.T) {
		l := database(t)(t)
		mustAppend(t, l, strings.Repeat("x", 2000))
		if size, err := l.Size(t.Context()); err != nil || size <= 0 {
			t.Errorf("size %d, %v", size, err)
		}
		if err := l.Probe(t.Context()); err != nil {
			t.Error(err)
		}
		if more, err := l.Shrink(t.Context()); err != nil || more {
			t.Errorf("got %v, %v, and nothing is free", more, err)
		}
	})
	t.Run("tables of a later layout are refused", func(t *testing.T) {
		l := database(t)(t)
		if _, err := l.writes.ExecContext(t.Context(), "UPDATE koinon_meta SET layout = 99"); err != nil {
			t.Fatal(err)
		}
		if err := l.prepare(t.Context(), nil, "", MakeTables); err == nil || !strings.Contains(err.Error(), "layout 99") {
			t.Errorf("got %v", err)
		}
	})
}
