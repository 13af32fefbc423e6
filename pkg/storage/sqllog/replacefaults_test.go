package sqllog

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/storage/fault"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// manyKeys are the contents that the tests of this file put in the place of others.
const manyKeys = 1200

// replaceBy replaces the contents of a log by manyKeys keys, and says what it has come to.
func replaceBy(t *testing.T, l *Log) (Mark, error) {
	t.Helper()
	r, err := l.Replace(t.Context(), ReplaceOptions{Renumber: true}, nil)
	if err != nil {
		return Mark{}, err
	}
	for i := range manyKeys {
		if err := r.Add(t.Context(), Record{Key: fmt.Sprintf("k%04d", i), Version: 1, Value: fmt.Append(nil, i)}); err != nil {
			return Mark{}, err
		}
	}
	return r.Commit(t.Context())
}

// wantReplaced checks that a log has just what replaceBy has put there.
func wantReplaced(t *testing.T, l *Log, after Mark) {
	t.Helper()
	var want []string
	for i := range int64(manyKeys) {
		revision := after.Tail - manyKeys + 1 + i
		want = append(want, fmt.Sprintf("k%04d@%d+%d.1=%d", i, revision, revision, i))
	}
	if diff := cmp.Diff(want, contents(t, l)); diff != "" {
		t.Errorf("(-want +got):\n%.1000s", diff)
	}
	if void, staged, err := l.Rows(t.Context()); staged != 0 || err != nil {
		t.Errorf("%d void and %d staged rows, %v", void, staged, err)
	}
}

func TestAReplacementSurvivesLostConnections(t *testing.T) {
	server := storagetest.StartMariaDB(t)
	proxy := storagetest.StartProxy(t, server.Address)
	open := func(t *testing.T) (direct, proxied *Log) {
		direct = mysqlOpener(t, server)(t)
		var name string
		if err := direct.reads.QueryRowContext(t.Context(), "SELECT DATABASE()").Scan(&name); err != nil {
			t.Fatal(err)
		}
		proxied, err := OpenMySQL(t.Context(), MySQLConfig{DSN: proxy.DSN(name), Addresses: []string{proxy.Address}, Name: "test database"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = proxied.Close() }) // the last connections may have been cut
		return direct, proxied
	}
	faults := []storagetest.Fault{
		storagetest.CutBeforeQuery, storagetest.CutAfterQuery, storagetest.CutBeforeAnswer, storagetest.CutInAnswer, storagetest.CutBeforeLastAnswer,
	}
	for _, statement := range []string{"INSERT INTO koinon_log", "COMMIT", "UPDATE koinon_meta SET staging", "UPDATE koinon_meta SET tail"} {
		for _, fault := range faults {
			t.Run(fmt.Sprintf("%s %s", fault, statement), func(t *testing.T) {
				direct, proxied := open(t)
				mustAppend(t, direct, "a", "b")
				done := proxy.Arm(fault, statement)
				after, err := replaceBy(t, proxied)
				if err != nil {
					t.Fatal(err)
				}
				select {
				case <-done:
				default:
					t.Fatal("there was no such statement")
				}
				if got := mustMark(t, direct); got != after {
					t.Errorf("got %+v, the log has %+v", after, got)
				}
				wantReplaced(t, direct, after)
			})
		}
	}
	t.Run("at any moment", func(t *testing.T) {
		direct, proxied := open(t)
		mustAppend(t, direct, "a", "b")
		stop := proxy.Randomly(storagetest.Plan{Seed: 1, Mean: 500 * time.Millisecond})
		defer stop()
		for begun := time.Now(); time.Since(begun) < 10*time.Second; {
			before := mustMark(t, direct)
			after, err := replaceBy(t, proxied)
			if err != nil {
				t.Fatal(err)
			}
			if after.Epoch != before.Epoch+1 {
				t.Errorf("from %+v to %+v", before, after)
			}
			wantReplaced(t, direct, after)
		}
		t.Log(storagetest.Summary(proxy.Faults()))
	})
}

// TestAReplacementInAClusterInWhichAllNodesTakeWrites: writers on each node append all the
// time, until they find that the contents are others.
func TestAReplacementInAClusterInWhichAllNodesTakeWrites(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes a minute: left out with -short")
	}
	cluster := storagetest.StartGalera(t, 3)
	dsn := cluster.Nodes[0].NewDatabase(t)
	open := func(node int) *Log {
		l, err := OpenMySQL(t.Context(), MySQLConfig{DSN: dsn, Addresses: []string{cluster.Nodes[node].Address}, Name: "test database"})
		return opened(t, l, err)
	}
	first := open(0)
	mustAppend(t, first, "a")
	for round := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		var writing sync.WaitGroup
		var written atomic.Int64
		for node := range cluster.Nodes {
			l := open(node)
			writing.Go(func() { appendUntilReplaced(ctx, t, l, fmt.Sprint("n", node), &written) })
		}
		after, err := replaceBy(t, open(round))
		if err != nil {
			t.Fatal(err)
		}
		writing.Wait()
		cancel()
		t.Logf("%d records were appended meanwhile", written.Load())
		for node := range cluster.Nodes {
			wantReplaced(t, open(node), after)
		}
	}
}

func appendUntilReplaced(ctx context.Context, t *testing.T, l *Log, key string, written *atomic.Int64) {
	mark, err := l.Mark(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	epoch := mark.Epoch
	for operation := int64(1); ; operation++ {
		record := func(tail int64) []Record {
			return []Record{{Revision: tail + 1, Key: key, Created: tail + 1, Version: 1, Operation: operation}}
		}
		err := l.Append(ctx, mark, record(mark.Tail), func(now Mark, _ []Record) ([]Record, error) { return record(now.Tail), nil })
		if err == nil {
			written.Add(1)
		} else if !fault.KindOf(err).Passes() {
			mark, markErr := l.Mark(ctx)
			if markErr != nil || mark.Epoch == epoch {
				t.Errorf("%v; then %+v, %v", err, mark, markErr)
			}
			return
		}
		if mark, err = l.Mark(ctx); err != nil {
			t.Error(err)
			return
		}
		if mark.Epoch != epoch {
			return
		}
	}
}
