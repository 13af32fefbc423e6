package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// TestAnEmptyValueIsAValue: it is nil as it comes from a client, and may be from a database.
func TestAnEmptyValueIsAValue(t *testing.T) {
	run(t, func(t *testing.T, _ *memLog, open func() *Engine) {
		e := open()
		created, err := e.Create(t.Context(), "empty", nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		mustCreate(t, e, "full", "x")
		updated := mustUpdate(t, e, "empty", "now", created)
		emptied, _, _, err := e.Update(t.Context(), "empty", nil, updated, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{`+empty@2=""`, `+full@3="x"`, `=empty@4="now" before ""@2`, `=empty@5="" before "now"@4`}
		for name, e := range map[string]*Engine{"the one that wrote it": e, "one that reads it from the log": open()} {
			_, kvs, err := e.List(t.Context(), "", "", 0, 0, false)
			if err != nil || len(kvs) != 2 || kvs[0].Key != "empty" || len(kvs[0].Value) != 0 {
				t.Errorf("%s: a list has %v, %v", name, kvs, err)
			}
			if got := mustGet(t, e, "empty", created); got != "" {
				t.Errorf("%s: the first version is %q", name, got)
			}
			if diff := cmp.Diff(want, changes(t, e, created, len(want))); diff != "" {
				t.Errorf("%s: events (-want +got):\n%s", name, diff)
			}
		}
		if _, before, ok, err := e.Delete(t.Context(), "empty", emptied); !ok || err != nil || before == nil || len(before.Value) != 0 {
			t.Errorf("deleted: %v, %v, %v", before, ok, err)
		}
	})
}

// forgetful is a log that does not return values, and does not say why.
type forgetful struct{ *memLog }

func (forgetful) Values(context.Context, []int64, func(int64, []byte)) error { return nil }

func TestAValueThatTheDatabaseKeepsToItselfIsNotCalledCompacted(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		writer := open()
		created := mustCreate(t, writer, "k", "0")
		updated := mustUpdate(t, writer, "k", "1", created)
		e, err := Open(t.Context(), forgetful{log}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		for _, revision := range []int64{0, created} {
			if _, kv, err := e.Get(t.Context(), "k", revision, false); status.Code(err) != codes.Aborted {
				t.Errorf("get at %d: %v, %v, want that it is unavailable", revision, kv, err)
			}
			if _, kvs, err := e.List(t.Context(), "", "", 0, revision, false); status.Code(err) != codes.Aborted {
				t.Errorf("list at %d: %v, %v, want that it is unavailable", revision, kvs, err)
			}
		}
		watch := e.Watch(t.Context(), updated)
		if batch, open := <-watch.Eventc; open {
			t.Errorf("a watcher is told %v without what was before", batch)
		} else if err := <-watch.Errorc; status.Code(err) != codes.Aborted {
			t.Errorf("a watch ends with %v, want that it is unavailable", err)
		}
	})
}

func TestAPartOfTheLogIsNoState(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		e := open()
		mustCreate(t, e, "k", "0")
		short := func() error { return fmt.Errorf("read: %w", sqllog.ErrShort) }
		log.set(&log.scans, short)
		if _, err := Open(t.Context(), log, Options{}); err == nil {
			t.Error("an engine begins with it")
		}
		// The other one has to read everything anew.
		if err := log.Renew(t.Context(), log.mark.Tail+100); err != nil {
			t.Fatal(err)
		}
		if _, kv, err := e.Get(t.Context(), "k", 0, false); status.Code(err) != codes.Aborted || e.Readable() == nil {
			t.Errorf("an engine goes on with it: %v, %v, readable %v", kv, err, e.Readable())
		}
		log.set(&log.scans, nil)
		time.Sleep(time.Minute)
		if err := e.Health(); err != nil {
			t.Errorf("it does not go on when it has everything: %v", err)
		}
	})
}

// TestAWatcherFromThePastReadsNoValueTwice: what was before an event is the event before, most
// of the time.
func TestAWatcherFromThePastReadsNoValueTwice(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		e := open()
		revision := mustCreate(t, e, "k", "0")
		const updates = 50
		for range updates {
			revision = mustUpdate(t, e, "k", "x", revision)
		}
		late := &counting{memLog: log}
		other, err := Open(t.Context(), late, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		changes(t, other, revision-updates, updates+1)
		if late.values > 0 {
			t.Errorf("%d values were read beside the records", late.values)
		}
	})
}

type counting struct {
	*memLog
	values int
}

func (c *counting) Values(ctx context.Context, revisions []int64, each func(int64, []byte)) error {
	c.values += len(revisions)
	return c.memLog.Values(ctx, revisions, each)
}

// slow is a log from which reading takes a while, in which somebody else writes.
type slow struct {
	*memLog
	read func()
}

// readingTakes is for one read.
const readingTakes = 10 * time.Millisecond

func (s *slow) Read(ctx context.Context, after, upTo int64, limit, limitBytes int) ([]sqllog.Record, error) {
	time.Sleep(readingTakes) // of the test's clock
	s.read()
	return s.memLog.Read(ctx, after, upTo, limit, limitBytes)
}

func TestAWatcherFromThePastGivesWayToWritersIfThereAreAny(t *testing.T) {
	for name, writes := range map[string]bool{"somebody writes": true, "nobody writes": false} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, log *memLog, open func() *Engine) {
				writer := open()
				revision := mustCreate(t, writer, "k", "0")
				first := revision
				const batches = 10
				for range batches*watchEvents - 1 {
					revision = mustUpdate(t, writer, "k", "x", revision)
				}
				var e *Engine
				e, err := Open(t.Context(), &slow{log, func() {
					if writes {
						mustCreate(t, e, fmt.Sprint(e.state.mark().Tail), "x")
					}
				}}, Options{EventBytes: 4 * eventBytes})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				begun := time.Now()
				changes(t, e, first, batches*watchEvents)
				reading := batches * readingTakes
				took := time.Since(begun)
				if gaveWay := took >= 2*reading; gaveWay != writes {
					t.Errorf("it took %s, of which %s were for reading", took, reading)
				}
				time.Sleep(time.Second) // the watch ends
			})
		})
	}
}
