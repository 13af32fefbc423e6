package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// contents are the keys of a log with the revision, the creation, the version and the value.
func contents(t *testing.T, l *Log) []string {
	t.Helper()
	s, err := l.Snapshot(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := snapshotContents(t, s)
	if len(got) != s.Len() {
		t.Errorf("the snapshot has %d keys, and says %d", len(got), s.Len())
	}
	return got
}

func snapshotContents(t *testing.T, s *Snapshot) []string {
	t.Helper()
	var got []string
	err := s.Each(t.Context(), func(r Record) error {
		got = append(got, fmt.Sprintf("%s@%d+%d.%d=%s", r.Key, r.Revision, r.Created, r.Version, r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// scanned are the revisions that a server reads when it starts.
func scanned(t *testing.T, l *Log) []int64 {
	t.Helper()
	revisions := []int64{}
	if err := l.Scan(t.Context(), mustMark(t, l), func(r Record) { revisions = append(revisions, r.Revision) }); err != nil {
		t.Fatal(err)
	}
	return revisions
}

// rows counts all rows, whatever they are.
func rows(t *testing.T, l *Log) int64 {
	t.Helper()
	n, _, err := l.count(t.Context(), 0, maxRevision, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustReplace(t *testing.T, l *Log, options ReplaceOptions) *Replacement {
	t.Helper()
	r, err := l.Replace(t.Context(), options, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mustStage adds keys and has them put above the tail.
func mustStage(t *testing.T, r *Replacement, revisions ...int64) {
	t.Helper()
	for _, revision := range revisions {
		record := Record{Revision: revision, Key: fmt.Sprint("k", revision), Created: revision - 1, Version: 3, Value: fmt.Append(nil, "v", revision)}
		if err := r.Add(t.Context(), record); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func mustCommit(t *testing.T, r *Replacement) Mark {
	t.Helper()
	mark, err := r.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

// replaceContract is what snapshots and replacements must do on every database.
func replaceContract(t *testing.T, database func(t *testing.T) opener) {
	t.Run("a snapshot is of one moment, whatever is written, compacted and deleted meanwhile", func(t *testing.T) {
		open := database(t)
		l, other := open(t), open(t)
		mark := mustAppend(t, l, "a", "b", "c")
		deletion := Record{Revision: mark.Tail + 1, Key: "a", Deleted: true}
		second := Record{Revision: mark.Tail + 2, Key: "b", Created: 3, Version: 2, Value: []byte("b2")}
		again := Record{Revision: mark.Tail + 3, Key: "a", Created: mark.Tail + 3, Version: 1, Value: []byte("a2")}
		if err := l.Append(t.Context(), mark, []Record{deletion, second, again}, never(t)); err != nil {
			t.Fatal(err)
		}
		s, err := l.Snapshot(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		mustAppend(t, other, "d", "e")
		if _, err := other.Compact(t.Context(), 9); err != nil {
			t.Fatal(err)
		}
		if err := other.Delete(t.Context(), s.Mark().Epoch, []int64{2, 3, 4, 5, 6, 7}); err != nil {
			t.Fatal(err)
		}
		want := []string{"c@4+4.1=c", "b@6+3.2=b2", "a@7+7.1=a2"}
		if diff := cmp.Diff(want, snapshotContents(t, s)); diff != "" || s.Mark().Tail != 7 {
			t.Errorf("tail %d, want 7 (-want +got):\n%s", s.Mark().Tail, diff)
		}
	})
	t.Run("an empty log takes contents with their revisions", func(t *testing.T) {
		open := database(t)
		l, other := open(t), open(t)
		r := mustReplace(t, l, ReplaceOptions{Revision: 20})
		mustStage(t, r, 2, 9, 12)
		if got := scanned(t, other); len(got) != 0 {
			t.Errorf("before the commit there is %v", got)
		}
		if err := l.refuseNothing(t.Context(), MakeTables); !errors.Is(err, ErrUnfinished) {
			t.Errorf("a server that starts now: %v, want that it is refused", err)
		}
		if err := l.refuseNothing(t.Context(), MakeTablesToFill); err != nil {
			t.Errorf("a restore that starts now: %v", err)
		}
		if got, want := mustCommit(t, r), (Mark{Tail: 20, Compact: 20, Epoch: 2}); got != want || mustMark(t, l) != want {
			t.Errorf("got %+v, the log has %+v, want %+v", got, mustMark(t, l), want)
		}
		want := []string{"k2@2+1.3=v2", "k9@9+8.3=v9", "k12@12+11.3=v12"}
		if diff := cmp.Diff(want, contents(t, open(t))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := mustAppend(t, open(t), "next").Tail; got != 21 {
			t.Errorf("the next revision is %d, want 21", got)
		}
	})
	t.Run("revisions can go on above those that clients may have seen", func(t *testing.T) {
		l := database(t)(t)
		r := mustReplace(t, l, ReplaceOptions{Revision: 20, Bump: 1000})
		mustStage(t, r, 20)
		if got, want := mustCommit(t, r), (Mark{Tail: 1020, Compact: 1020, Epoch: 2}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if diff := cmp.Diff([]string{"k20@20+19.3=v20"}, contents(t, l)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("contents without keys are contents", func(t *testing.T) {
		l := database(t)(t)
		mustAppend(t, l, "a")
		before := mustMark(t, l)
		after := mustCommit(t, mustReplace(t, l, ReplaceOptions{Renumber: true}))
		if after.Tail <= before.Tail || after.Compact != after.Tail || len(contents(t, l)) != 0 {
			t.Errorf("%+v, %v", after, contents(t, l))
		}
		mustAppend(t, l, "b")
	})
	t.Run("a log with contents is not replaced unless that is wanted", func(t *testing.T) {
		l := database(t)(t)
		before := mustAppend(t, l, "a")
		if empty, err := l.Empty(t.Context()); empty || err != nil {
			t.Errorf("empty: %v, %v", empty, err)
		}
		if _, err := l.Replace(t.Context(), ReplaceOptions{Revision: 100}, nil); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("got %v, want that it is not empty", err)
		}
		if got := mustMark(t, l); got != before {
			t.Errorf("got %+v, want %+v", got, before)
		}
	})
	t.Run("what takes the place of something is above all that was given out", func(t *testing.T) {
		open := database(t)
		l, asleep := open(t), open(t)
		old := mustAppend(t, l, "a", "b")
		r := mustReplace(t, l, ReplaceOptions{Revision: 50, Renumber: true})
		mustStage(t, r, 10, 40)
		before := mustAppend(t, asleep, "written meanwhile")
		after := mustCommit(t, r)
		first := int64(50 + minBump + 1)
		if want := (Mark{Tail: first + 1, Compact: first + 1, Epoch: 2}); after != want {
			t.Errorf("got %+v, want %+v", after, want)
		}
		want := []string{fmt.Sprintf("k10@%d+%d.3=v10", first, first), fmt.Sprintf("k40@%d+%d.3=v40", first+1, first+1)}
		if diff := cmp.Diff(want, contents(t, l)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]int64{first, first + 1}, scanned(t, asleep)); diff != "" {
			t.Errorf("scanned (-want +got):\n%s", diff)
		}
		for name, mark := range map[string]Mark{"old": old, "last": before} {
			if err := asleep.Append(t.Context(), mark, []Record{{Revision: mark.Tail + 1, Key: "late"}}, never(t)); !errors.Is(err, ErrEpoch) {
				t.Errorf("an append on the %s mark: %v, want another epoch", name, err)
			}
		}
		if _, err := asleep.Read(t.Context(), 1, old.Tail, 10, 1<<20); !errors.Is(err, ErrGap) {
			t.Errorf("a read of what was replaced: %v, want a gap", err)
		}
		deleted := int64(0)
		for {
			n, err := asleep.DeleteBelowBase(t.Context(), 2)
			if err != nil {
				t.Fatal(err)
			}
			if deleted += n; n == 0 {
				break
			}
		}
		if deleted != 3 || rows(t, l) != 2 {
			t.Errorf("deleted %d rows, %d are left, want 3 and 2", deleted, rows(t, l))
		}
		mustAppend(t, asleep, "next")
	})
	t.Run("what an interrupted one leaves is nothing, and writers put their own in its place", func(t *testing.T) {
		open := database(t)
		l, asleep := open(t), open(t)
		old := mustMark(t, asleep)
		mustStage(t, mustReplace(t, l, ReplaceOptions{Revision: 100}), 2, 3, 4, 5, 6, 7)
		if got := scanned(t, l); len(got) != 0 {
			t.Errorf("a server that starts reads %v", got)
		}
		if got := contents(t, l); len(got) != 0 {
			t.Errorf("a snapshot has %v", got)
		}
		mustAppend(t, l, "a", "b")
		if left := rows(t, l); left != 2 {
			t.Errorf("%d rows, want those that were appended", left)
		}
		mustStage(t, mustReplace(t, l, ReplaceOptions{Revision: 1, Renumber: true}), 1, 1, 1)
		if _, err := l.writes.ExecContext(t.Context(), "UPDATE koinon_log SET rev = rev - 1000000 WHERE rev > 1000"); err != nil {
			t.Fatal(err) // as if there had been as many writes
		}
		var told int
		err := asleep.Append(t.Context(), old, []Record{{Revision: 2, Key: "wrong"}}, func(mark Mark, missed []Record) ([]Record, error) {
			told = len(missed)
			return []Record{{Revision: mark.Tail + 1, Key: "c"}, {Revision: mark.Tail + 2, Key: "d"}}, nil
		})
		if err != nil || told != 2 {
			t.Errorf("an append on an old mark: %v, told of %d records, want 2", err, told)
		}
		want := []string{"a@2+2.1=a", "b@3+3.1=b", "c@4+0.0=", "d@5+0.0="}
		if diff := cmp.Diff(want, contents(t, l)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("the next one removes what an interrupted one has left", func(t *testing.T) {
		l := database(t)(t)
		mustStage(t, mustReplace(t, l, ReplaceOptions{Revision: 100}), 2, 3, 4)
		var removed int64
		r, err := l.Replace(t.Context(), ReplaceOptions{Revision: 100}, func(n int64) { removed += n })
		if err != nil || removed != 3 {
			t.Fatalf("removed %d, %v, want 3", removed, err)
		}
		mustStage(t, r, 3)
		mustCommit(t, r)
		if diff := cmp.Diff([]string{"k3@3+2.3=v3"}, contents(t, l)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("of two at a time the later one goes on", func(t *testing.T) {
		open := database(t)
		one, two := open(t), open(t)
		first := mustReplace(t, one, ReplaceOptions{Revision: 100})
		mustStage(t, first, 2, 3, 4)
		second := mustReplace(t, two, ReplaceOptions{Revision: 100})
		mustStage(t, second, 3)
		if err := first.Add(t.Context(), Record{Revision: 50, Key: "x"}); err != nil {
			t.Fatal(err)
		}
		if _, err := first.Commit(t.Context()); !errors.Is(err, ErrOvertaken) {
			t.Errorf("the first: %v, want that it was overtaken", err)
		}
		mustCommit(t, second)
		if diff := cmp.Diff([]string{"k3@3+2.3=v3"}, contents(t, open(t))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("it gives up when the log is no longer as it was", func(t *testing.T) {
		cases := map[string]struct {
			options ReplaceOptions
			change  func(ctx context.Context, t *testing.T, l *Log, r *Replacement) error
			want    error
		}{
			"a server has begun to use it": {ReplaceOptions{Revision: 100}, func(_ context.Context, t *testing.T, l *Log, _ *Replacement) error {
				mustAppend(t, l, "a")
				return nil
			}, ErrNotEmpty},
			"servers have written too much": {ReplaceOptions{Renumber: true}, func(ctx context.Context, _ *testing.T, l *Log, r *Replacement) error {
				_, err := l.writes.ExecContext(ctx, "UPDATE koinon_meta SET tail = ?", r.first)
				return err
			}, ErrOverrun},
			"a new epoch has begun": {ReplaceOptions{Renumber: true}, func(ctx context.Context, _ *testing.T, l *Log, _ *Replacement) error {
				return l.Renew(ctx, 100)
			}, ErrReplaced},
			"a row is gone": {ReplaceOptions{Revision: 100}, func(ctx context.Context, _ *testing.T, l *Log, r *Replacement) error {
				_, err := l.writes.ExecContext(ctx, "DELETE FROM koinon_log WHERE rev = ?", r.last)
				return err
			}, ErrIncomplete},
			"there is a row of somebody else": {ReplaceOptions{Revision: 100}, func(ctx context.Context, _ *testing.T, l *Log, r *Replacement) error {
				_, err := l.writes.ExecContext(ctx, "UPDATE koinon_log SET op = op + 1 WHERE rev = ?", r.last)
				return err
			}, ErrIncomplete},
			"what was prepared was thrown away": {ReplaceOptions{Revision: 100}, func(ctx context.Context, _ *testing.T, l *Log, _ *Replacement) error {
				return l.DiscardStaged(ctx, func(int64) {})
			}, ErrOvertaken},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				l := database(t)(t)
				r := mustReplace(t, l, c.options)
				mustStage(t, r, 2, 3, 4)
				if err := c.change(t.Context(), t, l, r); err != nil {
					t.Fatal(err)
				}
				before := mustMark(t, l)
				if _, err := r.Commit(t.Context()); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if got := mustMark(t, l); got != before {
					t.Errorf("it has changed from %+v to %+v", before, got)
				}
				mustAppend(t, l, "next")
			})
		}
	})
	t.Run("a commit of which nobody knows whether it was done is found out about", func(t *testing.T) {
		l := database(t)(t)
		r := mustReplace(t, l, ReplaceOptions{Revision: 100})
		mustStage(t, r, 2, 3)
		after := mustCommit(t, r)
		mustAppend(t, l, "written since")
		if again := mustCommit(t, r); again != after {
			t.Errorf("again: %+v, want %+v", again, after)
		}
		if got := len(contents(t, l)); got != 3 {
			t.Errorf("%d keys, want 3", got)
		}
	})
	t.Run("a batch of which nobody knows whether it was put is put once", func(t *testing.T) {
		l := database(t)(t)
		r := mustReplace(t, l, ReplaceOptions{Revision: 100})
		mustStage(t, r, 2)
		for _, revision := range []int64{3, 4} {
			if err := r.Add(t.Context(), Record{Revision: revision, Key: fmt.Sprint("k", revision)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.stage(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if err := r.stage(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if got := rows(t, l); got != 3 {
			t.Errorf("%d rows, want 3", got)
		}
	})
	t.Run("a tail that jumps does not bring back what is nothing", func(t *testing.T) {
		l := database(t)(t)
		mustStage(t, mustReplace(t, l, ReplaceOptions{Revision: 100}), 2, 3, 50)
		if err := l.Renew(t.Context(), 40); err != nil {
			t.Fatal(err)
		}
		if got := scanned(t, l); len(got) != 0 || rows(t, l) != 0 {
			t.Errorf("there is %v in %d rows", got, rows(t, l))
		}
	})
	t.Run("contents that make no sense are refused", func(t *testing.T) {
		l := database(t)(t)
		r := mustReplace(t, l, ReplaceOptions{Revision: 100})
		mustStage(t, r, 5)
		for name, record := range map[string]Record{
			"the same revision again":       {Revision: 5, Key: "a"},
			"a revision later than the end": {Revision: 101, Key: "a"},
			"a key that is too long":        {Revision: 6, Key: strings.Repeat("x", maxKeyBytes+1)},
		} {
			if err := r.Add(t.Context(), record); err == nil {
				t.Errorf("%s was taken", name)
			}
		}
		if _, err := l.Replace(t.Context(), ReplaceOptions{Revision: 1 << 62}, nil); err == nil {
			t.Error("a revision without room after it was taken")
		}
	})
	t.Run("what is compacted is deleted without waiting for writers", func(t *testing.T) {
		l := database(t)(t)
		if l.writes != l.reads {
			t.Skip("SQLite has one writer at a time")
		}
		mustAppend(t, l, "a", "b", "c")
		if _, err := l.Compact(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		err := l.transaction(t.Context(), nil, func(*sql.Tx, meta) error { return l.Delete(t.Context(), 1, []int64{2, 3}) })
		if got := rows(t, l); err != nil || got != 1 {
			t.Errorf("%d rows, %v, want 1", got, err)
		}
	})
	t.Run("many and large values come back", func(t *testing.T) {
		l := database(t)(t)
		r := mustReplace(t, l, ReplaceOptions{Revision: 5000})
		large := strings.Repeat("\x00'\\", 512<<10)
		for revision := int64(2); revision < 2000; revision++ {
			record := Record{Revision: revision, Key: fmt.Sprint(revision), Value: fmt.Append(nil, revision)}
			if revision%500 == 0 {
				record.Value = []byte(large)
			}
			if err := r.Add(t.Context(), record); err != nil {
				t.Fatal(err)
			}
		}
		mustCommit(t, r)
		s, err := l.Snapshot(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		next := int64(2)
		err = s.Each(t.Context(), func(got Record) error {
			want := fmt.Sprint(next)
			if next%500 == 0 {
				want = large
			}
			if got.Revision != next || string(got.Value) != want {
				t.Errorf("revision %d has %d bytes, want revision %d with %d", got.Revision, len(got.Value), next, len(want))
			}
			next++
			return nil
		})
		if err != nil || next != 2000 {
			t.Errorf("%d keys, %v", next-2, err)
		}
	})
	t.Run("it says how it is", func(t *testing.T) {
		l := database(t)(t)
		mark := mustAppend(t, l, "a", "b")
		i, err := l.Inspect(t.Context())
		if err != nil || i.Mark != mark || i.Version == "" || i.Size == 0 || i.Compacted >= 0 || i.Staging || len(i.Peers) != 0 {
			t.Errorf("%+v, %v", i, err)
		}
		if _, err := l.Compact(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		mustStage(t, mustReplace(t, l, ReplaceOptions{Renumber: true}), 5)
		if _, err := l.Announce(t.Context(), Peer{ID: 1, Address: "10.0.0.1:1"}); err != nil {
			t.Fatal(err)
		}
		i, err = l.Inspect(t.Context())
		if err != nil || i.Compacted < 0 || !i.Staging || len(i.Peers) != 1 {
			t.Errorf("%+v, %v", i, err)
		}
		if void, staged, err := l.Rows(t.Context()); void != 0 || staged != 1 || err != nil {
			t.Errorf("%d void and %d staged rows, %v, want none and one", void, staged, err)
		}
	})
}
