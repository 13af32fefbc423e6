package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// run runs a test of engines over one log, with a clock of its own.
func run(t *testing.T, test func(t *testing.T, log *memLog, open func() *Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := newMemLog()
		test(t, log, func() *Engine {
			e, err := Open(t.Context(), log, Options{EventBytes: 4 * eventBytes})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(e.Close)
			return e
		})
	})
}

func mustCreate(t *testing.T, e *Engine, key, value string) int64 {
	t.Helper()
	revision, err := e.Create(t.Context(), key, []byte(value), 0)
	if err != nil {
		t.Fatalf("create %s: %v", key, err)
	}
	return revision
}

func mustUpdate(t *testing.T, e *Engine, key, value string, revision int64) int64 {
	t.Helper()
	updated, _, ok, err := e.Update(t.Context(), key, []byte(value), revision, 0)
	if err != nil || !ok {
		t.Fatalf("update %s: %v, %v", key, ok, err)
	}
	return updated
}

func mustGet(t *testing.T, e *Engine, key string, revision int64) string {
	t.Helper()
	_, kv, err := e.Get(t.Context(), key, revision, false)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	if kv == nil {
		return "-"
	}
	return string(kv.Value)
}

// failOnce returns a hook that fails at its first call.
func failOnce() func() error {
	var once sync.Once
	return func() (err error) {
		once.Do(func() { err = errCut })
		return err
	}
}

func TestAWriteWhoseAnswerWasLostIsDoneOnce(t *testing.T) {
	cases := map[string]func(log *memLog){
		"lost before the commit": func(log *memLog) { log.set(&log.before, failOnce()) },
		"lost after the commit":  func(log *memLog) { log.set(&log.after, failOnce()) },
	}
	for name, cut := range cases {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, log *memLog, open func() *Engine) {
				e := open()
				created := mustCreate(t, e, "k", "0")
				cut(log)
				updated := mustUpdate(t, e, "k", "1", created)
				if updated != created+1 || log.mark.Tail != updated {
					t.Errorf("created at %d, updated at %d, tail %d: want one revision each", created, updated, log.mark.Tail)
				}
				if got := mustGet(t, e, "k", 0); got != "1" {
					t.Errorf("got %q, want 1", got)
				}
			})
		})
	}
}

func TestAWriteWhoseAnswerWasLostIsAcknowledgedEvenIfAReaderSawItFirst(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		e := open()
		created := mustCreate(t, e, "k", "0")
		var once sync.Once
		log.set(&log.after, func() (err error) {
			once.Do(func() {
				if got := mustGet(t, e, "k", 0); got != "1" {
					t.Errorf("the reader got %q, want 1", got)
				}
				err = errCut
			})
			return err
		})
		if updated := mustUpdate(t, e, "k", "1", created); updated != created+1 {
			t.Errorf("updated at %d, want %d", updated, created+1)
		}
	})
}

// TestAWriteThatAReaderSawAndTheDatabaseLostIsNotAcknowledged: a database shows what is
// committed before it is on its disk, and is killed then.
func TestAWriteThatAReaderSawAndTheDatabaseLostIsNotAcknowledged(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		e := open()
		created := mustCreate(t, e, "k", "0")
		var once sync.Once
		log.set(&log.after, func() (err error) {
			once.Do(func() {
				if got := mustGet(t, e, "k", 0); got != "1" {
					t.Errorf("the reader got %q, want 1", got)
				}
				log.truncate(created)
				err = errCut
			})
			return err
		})
		if _, _, ok, err := e.Update(t.Context(), "k", []byte("1"), created, 0); ok || status.Code(err) != codes.Aborted {
			t.Errorf("a write that is lost: %v, %v, want that it is unavailable", ok, err)
		}
	})
}

func TestAWriteThatWasDoneIsAcknowledgedThoughTheContentsWereReplacedBeforeTheAnswer(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		e := open()
		var once sync.Once
		log.set(&log.after, func() error {
			once.Do(func() {
				if err := log.Renew(t.Context(), log.mark.Tail+100); err != nil {
					t.Error(err)
				}
				if got := mustGet(t, e, "k", 0); got != "0" {
					t.Errorf("the reader got %q, want 0", got)
				}
			})
			return nil
		})
		mustCreate(t, e, "k", "0")
	})
}

func TestProcessesSeeEachOthersWrites(t *testing.T) {
	run(t, func(t *testing.T, _ *memLog, open func() *Engine) {
		one, two := open(), open()
		created := mustCreate(t, one, "k", "one")
		if got := mustGet(t, two, "k", 0); got != "one" {
			t.Errorf("the second reads %q, want one", got)
		}
		if _, err := two.Create(t.Context(), "k", nil, 0); !errors.Is(err, server.ErrKeyExists) {
			t.Errorf("the second creates the key again: %v", err)
		}
		updated := mustUpdate(t, two, "k", "two", created)
		if _, found, ok, err := one.Update(t.Context(), "k", nil, created, 0); ok || err != nil || string(found.Value) != "two" {
			t.Errorf("an update of the old revision: %v, %v, found %v", ok, err, found)
		}
		if _, found, ok, err := one.Delete(t.Context(), "k", updated); !ok || err != nil || string(found.Value) != "two" {
			t.Errorf("a deletion of the new revision: %v, %v, found %v", ok, err, found)
		}
		if got := mustGet(t, two, "k", 0); got != "-" {
			t.Errorf("the second reads %q after the deletion", got)
		}
	})
}

func TestOfRacingProcessesOneWins(t *testing.T) {
	run(t, func(t *testing.T, _ *memLog, open func() *Engine) {
		engines := []*Engine{open(), open(), open()}
		won := make(chan string, 60)
		var racing sync.WaitGroup
		for round := range 20 {
			for _, e := range engines {
				racing.Go(func() {
					key := fmt.Sprint(round)
					if _, err := e.Create(t.Context(), key, nil, 0); err == nil {
						won <- key
					}
				})
			}
		}
		racing.Wait()
		close(won)
		winners := map[string]int{}
		for key := range won {
			winners[key]++
		}
		for round := range 20 {
			if got := winners[fmt.Sprint(round)]; got != 1 {
				t.Errorf("key %d has %d winners", round, got)
			}
		}
	})
}

// changes returns what a watcher is told from a revision on, until it has n events.
func changes(t *testing.T, e *Engine, revision int64, n int) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := e.Watch(ctx, revision)
	var told []string
	for len(told) < n {
		batch, open := <-watch.Eventc
		if !open {
			t.Fatalf("the watch ended after %q", told)
		}
		for _, event := range batch.Events {
			told = append(told, describe(event))
		}
	}
	return told
}

func describe(e *server.Event) string {
	before := ""
	if e.PrevKV != nil {
		before = fmt.Sprintf(" before %q@%d", e.PrevKV.Value, e.PrevKV.ModRevision)
	}
	return fmt.Sprintf("%s=%q%s", e, e.KV.Value, before)
}

func TestAWatcherFromThePastIsToldWhatIsNoLongerInMemory(t *testing.T) {
	run(t, func(t *testing.T, _ *memLog, open func() *Engine) {
		e := open()
		var want []string
		revision := mustCreate(t, e, "k", "0")
		first := revision
		want = append(want, `+k@2="0"`)
		for i := 1; i < 20; i++ {
			want = append(want, fmt.Sprintf(`=k@%d="%d" before "%d"@%d`, revision+1, i, i-1, revision))
			revision = mustUpdate(t, e, "k", fmt.Sprint(i), revision)
		}
		if _, _, ok, err := e.Delete(t.Context(), "k", 0); !ok || err != nil {
			t.Fatal(ok, err)
		}
		want = append(want, fmt.Sprintf(`-k@%d="" before "19"@%d`, revision+1, revision))
		if e.state.mark(); len(e.state.recent.events) > 10 {
			t.Errorf("%d events are in memory: the test wants most of them in the log", len(e.state.recent.events))
		}
		if diff := cmp.Diff(want, changes(t, e, first, len(want))); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, changes(t, open(), first, len(want))); diff != "" {
			t.Errorf("events of a process that began later (-want +got):\n%s", diff)
		}
	})
}

func TestACompactedRevisionIsGoneForReadersAndWatchers(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		one, two := open(), open()
		revision := mustCreate(t, one, "k", "0")
		for i := 1; i < 10; i++ {
			revision = mustUpdate(t, one, "k", fmt.Sprint(i), revision)
		}
		if _, err := two.Compact(t.Context(), revision-2); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := len(log.records); got != 3 {
			t.Errorf("the log has %d records, want 3", got)
		}
		mustGet(t, one, "k", 0) // it learns of the compaction
		for name, e := range map[string]*Engine{"the one that compacted": two, "the other": one} {
			if _, _, err := e.Get(t.Context(), "k", revision-3, false); !errors.Is(err, server.ErrCompacted) {
				t.Errorf("%s reads a compacted revision: %v", name, err)
			}
			if got := mustGet(t, e, "k", revision-2); got != "7" {
				t.Errorf("%s reads %q at the compact revision, want 7", name, got)
			}
			if watch := e.Watch(t.Context(), revision-3); watch.CompactRevision != revision-2 {
				t.Errorf("%s watches a compacted revision: compact revision %d, want %d", name, watch.CompactRevision, revision-2)
			}
			first := (<-e.Watch(t.Context(), revision-2).Eventc).Events
			if len(first) != 3 || first[0].PrevKV != nil || first[1].PrevKV == nil {
				t.Errorf("%s tells from the compact revision on: %v, want 3 events, the first without what was before", name, first)
			}
		}
		if _, err := one.Compact(t.Context(), revision-2); !errors.Is(err, server.ErrCompacted) {
			t.Errorf("the same revision is compacted again: %v", err)
		}
		if _, err := one.Compact(t.Context(), revision+1); !errors.Is(err, server.ErrFutureRev) {
			t.Errorf("a future revision is compacted: %v", err)
		}
	})
}

// TestWhatWasDeletedStaysSo: one process is killed after it has compacted and before it has
// deleted. Another one compacts later, and deletes the record that says that a key is gone.
func TestWhatWasDeletedStaysSoAfterAProcessWasKilledThatHadCompacted(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		one, two := open(), open()
		revision := mustCreate(t, one, "k", "0")
		revision = mustUpdate(t, one, "k", "1", revision)
		mustGet(t, two, "k", 0)
		log.set(&log.deletes, func() error { return errLost })
		if _, err := one.Compact(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
		mustGet(t, two, "k", 0) // it learns of the compaction
		synctest.Wait()
		one.Close()
		log.set(&log.deletes, nil)
		if _, _, _, err := two.Delete(t.Context(), "k", revision); err != nil {
			t.Fatal(err)
		}
		last := mustCreate(t, two, "other", "x")
		if _, err := two.Compact(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := mustGet(t, open(), "k", 0); got != "-" {
			t.Errorf("a process that starts now has %q", got)
		}
		if got, _ := log.Size(t.Context()); got != 1 {
			t.Errorf("the log has %d records, want 1", got)
		}
	})
}

func TestWhatAnotherProcessHasCompactedIsDeletedIfThatDoesNot(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		one, two := open(), open()
		revision := mustUpdate(t, one, "k", "1", mustCreate(t, one, "k", "0"))
		mustGet(t, two, "k", 0)
		log.set(&log.deletes, func() error { return errLost })
		if _, err := one.Compact(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
		mustGet(t, two, "k", 0) // it learns of the compaction
		one.Close()
		log.set(&log.deletes, nil)
		time.Sleep(othersTurn + time.Second)
		if got, _ := log.Size(t.Context()); got != 1 {
			t.Errorf("the log has %d records, want 1", got)
		}
	})
}

// TestAProcessThatSleptThroughACompaction: its next write must not take a revision that was
// given out and deleted.
func TestAProcessThatSleptThroughACompactionDoesNotWriteIntoThePast(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		awake, asleep := open(), open()
		watch := asleep.Watch(t.Context(), 0)
		<-watch.Eventc
		revision := mustCreate(t, awake, "k", "0")
		for i := 1; i < 10; i++ {
			revision = mustUpdate(t, awake, "k", fmt.Sprint(i), revision)
		}
		if _, err := awake.Compact(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := asleep.state.mark().Tail; got != 1 {
			t.Fatalf("the other has read up to %d: the test wants it asleep", got)
		}
		if created := mustCreate(t, asleep, "other", "x"); created != revision+1 {
			t.Errorf("created at %d, want %d", created, revision+1)
		}
		for batch := range watch.Eventc {
			if len(batch.Events) > 0 {
				t.Errorf("the watcher is told of %v, and not of what was before", batch.Events)
			}
		}
		if err := <-watch.Errorc; !errors.Is(err, server.ErrCompacted) {
			t.Errorf("the watch ended with %v, want compacted", err)
		}
		if log.mark.Tail != revision+1 {
			t.Errorf("tail %d, want %d", log.mark.Tail, revision+1)
		}
	})
}

func TestAProcessThatReadsEverythingAnewTwiceAtOnceDoesNotGoBack(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		awake, asleep := open(), open()
		revision := mustUpdate(t, awake, "k", "1", mustCreate(t, awake, "k", "0"))
		if _, err := awake.Compact(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
		// The writer reads the log up to here, and is the last to take it in.
		var scans atomic.Int64
		goOn := make(chan struct{})
		log.set(&log.scans, func() error {
			if scans.Add(1) == 1 {
				<-goOn
			}
			return nil
		})
		var running sync.WaitGroup
		running.Go(func() { _, _ = asleep.Create(t.Context(), "other", []byte("x"), 0) })
		synctest.Wait()
		mustUpdate(t, awake, "k", "2", revision)
		var seen atomic.Int64
		running.Go(func() {
			current, _, err := asleep.Get(t.Context(), "k", 0, false)
			if err != nil {
				t.Error(err)
			}
			seen.Store(current)
		})
		synctest.Wait()
		log.set(&log.before, func() error {
			if now := asleep.state.mark().Tail; now < seen.Load() {
				t.Errorf("the store is at %d after a reader has seen it at %d", now, seen.Load())
			}
			return nil
		})
		close(goOn)
		running.Wait()
		if got := mustGet(t, asleep, "k", 0); got != "2" {
			t.Errorf("got %q, want 2", got)
		}
	})
}

func TestAnUnavailableLogIsWaitedForThenRequestsFailAtOnceUntilItIsBack(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		e := open()
		mustCreate(t, e, "before", "x")
		fails := func() error { return errCut }
		log.set(&log.before, fails)
		log.set(&log.marks, fails)

		begun := time.Now()
		_, err := e.Create(t.Context(), "k", nil, 0)
		if status.Code(err) != codes.Aborted || !strings.Contains(err.Error(), "the datastore is not available: the connection was lost") {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(begun); waited < defaultPatience || waited > 2*defaultPatience {
			t.Errorf("the first waited %s", waited)
		}
		begun = time.Now()
		if _, err := e.Create(t.Context(), "k", nil, 0); err == nil || time.Since(begun) > 0 {
			t.Errorf("the second waited %s and got %v", time.Since(begun), err)
		}
		if e.Health() == nil {
			t.Error("it says that it is healthy")
		}
		log.set(&log.before, nil)
		log.set(&log.marks, nil)
		time.Sleep(2 * probeInterval)
		if err := e.Health(); err != nil {
			t.Errorf("it does not recover: %v", err)
		}
		mustCreate(t, e, "after", "x")
	})
}

func TestReadersOfALogThatHangsAreToldTogether(t *testing.T) {
	const hangs = 2 * defaultPatience
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		e := open()
		mustCreate(t, e, "/registry/a", "1")
		log.set(&log.marks, func() error {
			time.Sleep(hangs)
			return errCut
		})
		begun := time.Now()
		var reading sync.WaitGroup
		for i := range 10 {
			reading.Go(func() {
				time.Sleep(time.Duration(i) * hangs / 10)
				if _, _, err := e.Get(t.Context(), "/registry/a", 0, false); status.Code(err) != codes.Aborted {
					t.Errorf("reader %d: got %v, want that the store is unavailable", i, err)
				}
			})
		}
		reading.Wait()
		if waited := time.Since(begun); waited > hangs {
			t.Errorf("the last was told after %s, want %s: the first attempt took longer than the patience", waited, hangs)
		}
		log.set(&log.marks, nil)
	})
}

func TestAShortOutageIsNotSeen(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		e := open()
		fails := func() error { return errCut }
		log.set(&log.before, fails)
		log.set(&log.marks, fails)
		time.AfterFunc(defaultPatience/2, func() {
			log.set(&log.before, nil)
			log.set(&log.marks, nil)
		})
		mustCreate(t, e, "k", "x")
		if got := mustGet(t, e, "k", 0); got != "x" {
			t.Errorf("got %q, want x", got)
		}
	})
}

func TestRevisionsDoNotComeBackAfterTheLogHasLostSome(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		e := open()
		mustCreate(t, e, "kept", "x")
		lost := mustCreate(t, e, "lost", "x")
		watch := e.Watch(t.Context(), 0)
		<-watch.Eventc
		log.truncate(lost - 1)
		if _, _, err := e.Get(t.Context(), "kept", 0, false); status.Code(err) != codes.Aborted {
			t.Errorf("at first: got %v, want unavailable", err)
		}
		time.Sleep(3 * defaultPatience)
		if got := mustGet(t, e, "kept", 0) + mustGet(t, e, "lost", 0); got != "x-" {
			t.Errorf("got %q, want x and nothing", got)
		}
		if created := mustCreate(t, e, "lost", "y"); created <= lost {
			t.Errorf("created at %d, want more than %d", created, lost)
		}
		for range watch.Eventc { // it ends
		}
		if err := <-watch.Errorc; !errors.Is(err, server.ErrCompacted) {
			t.Errorf("the watch ended with %v, want compacted", err)
		}
	})
}

func TestALossThatOthersHaveWrittenOverIsNoticed(t *testing.T) {
	for name, written := range map[string]int{"fewer than were lost": 1, "as many as were lost": 3, "more than were lost": 5} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, log *memLog, open func() *Engine) {
				e := open()
				kept := mustCreate(t, e, "kept", "x")
				for i := range 3 {
					mustCreate(t, e, fmt.Sprint("lost-", i), "x")
				}
				log.truncate(kept)
				other := open()
				for i := range written {
					mustCreate(t, other, fmt.Sprint("new-", i), "y")
				}
				if _, err := e.Create(t.Context(), "k", nil, 0); status.Code(err) != codes.Aborted {
					t.Errorf("a write on the lost keys: got %v, want unavailable", err)
				}
				time.Sleep(3 * defaultPatience)
				for each, e := range map[string]*Engine{"the one": e, "the other": other} {
					_, kvs, err := e.List(t.Context(), "", "", 0, 0, true)
					if err != nil || len(kvs) != 1+written {
						t.Errorf("%s has %d keys, %v, want %d", each, len(kvs), err, 1+written)
					}
					if got := mustGet(t, e, "new-0", 0); got != "y" {
						t.Errorf("%s has the value %q at a revision that was given out again, want y", each, got)
					}
				}
				if created := mustCreate(t, e, "k", "x"); created <= kept+5 {
					t.Errorf("created at %d, want more than was ever given out", created)
				}
			})
		})
	}
}

// TestWhatWasGivenOutAgainIsNotDeletedAsGarbage: what was to be deleted belongs to another
// history by then.
func TestWhatWasGivenOutAgainIsNotDeletedAsGarbage(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		e := open()
		kept := mustCreate(t, e, "kept", "x")
		revision := mustCreate(t, e, "lost", "0")
		for i := 1; i < 5; i++ {
			revision = mustUpdate(t, e, "lost", fmt.Sprint(i), revision)
		}
		log.set(&log.deletes, func() error { return errCut })
		if _, err := e.Compact(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		log.truncate(kept)
		other := open()
		for i := range 6 {
			mustCreate(t, other, fmt.Sprint("new-", i), "x")
		}
		log.set(&log.deletes, nil)
		time.Sleep(5 * defaultPatience)
		for i := range 6 {
			if got := mustGet(t, open(), fmt.Sprint("new-", i), 0); got != "x" {
				t.Errorf("new-%d: got %q, want x", i, got)
			}
		}
	})
}

func TestLeasedKeysEndOnce(t *testing.T) {
	run(t, func(t *testing.T, log *memLog, open func() *Engine) {
		one := open()
		if _, err := one.Create(t.Context(), "short", nil, 10); err != nil {
			t.Fatal(err)
		}
		renewed, err := one.Create(t.Context(), "renewed", nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		two := open()
		if _, _, _, err := two.Update(t.Context(), "renewed", nil, renewed, 10); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		if got := mustGet(t, one, "short", 0) + mustGet(t, two, "renewed", 0); got != "-" {
			t.Errorf("after 12 s: got %q, want the renewed one alone", got)
		}
		time.Sleep(10 * time.Second)
		if got := mustGet(t, one, "renewed", 0); got != "-" {
			t.Errorf("after 22 s: got %q, want nothing", got)
		}
		if log.mark.Tail != 6 { // from 1: two creations, an update, two deletions
			t.Errorf("tail %d, want 6", log.mark.Tail)
		}
	})
}

func TestPagesAreOfOneRevision(t *testing.T) {
	run(t, func(t *testing.T, _ *memLog, open func() *Engine) {
		e := open()
		for i := range 6 {
			mustCreate(t, e, fmt.Sprint("k", i), "old")
		}
		revision, first, err := e.List(t.Context(), "k", "l", 3, 0, false)
		if err != nil || len(first) != 3 {
			t.Fatal(first, err)
		}
		mustUpdate(t, e, "k4", "new", 6)
		mustCreate(t, e, "k3a", "new")
		current, rest, err := e.List(t.Context(), "k3", "l", 0, revision, false)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, kv := range rest {
			got = append(got, kv.Key+"="+string(kv.Value))
		}
		if diff := cmp.Diff([]string{"k3=old", "k4=old", "k5=old"}, got); diff != "" {
			t.Errorf("the rest (-want +got):\n%s", diff)
		}
		if current != revision+2 {
			t.Errorf("the current revision is %d, want %d", current, revision+2)
		}
		if _, count, err := e.Count(t.Context(), "k", "l", revision); count != 6 || err != nil {
			t.Errorf("count %d, %v, want 6", count, err)
		}
		if _, _, err := e.List(t.Context(), "k", "l", 0, current+1, false); !errors.Is(err, server.ErrFutureRev) {
			t.Errorf("a list of a future revision: %v", err)
		}
	})
}
