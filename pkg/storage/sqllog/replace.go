package sqllog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// How a replacement ends without having replaced anything. It should be begun anew, if at
// all.
var (
	// ErrNotEmpty means that there is something in the log, and it was not to be replaced.
	ErrNotEmpty = errors.New("it is not empty")
	// ErrOvertaken means that another replacement was begun, or that what this one had
	// prepared was thrown away.
	ErrOvertaken = errors.New("another restore or migration into it was begun meanwhile")
	// ErrReplaced means that the contents were replaced by somebody else.
	ErrReplaced = errors.New("its contents were replaced by somebody else meanwhile")
	// ErrOverrun means that servers have given out the revisions that were to be used.
	ErrOverrun = errors.New("servers have written more meanwhile than revisions were left to them")
	// ErrIncomplete means that the database has lost rows that it had acknowledged.
	ErrIncomplete = errors.New("it has lost some of what was prepared")
)

// Replacement is how the whole contents of a log are replaced. Rows are put above the tail,
// where nobody looks, in transactions of their own that keep no writer waiting for longer
// than another writer would; Commit makes them the contents at once. Until then the log is
// as it was, and what is left of a replacement without a Commit harms nobody. It is used by
// one goroutine.
type Replacement struct {
	log     *Log
	options ReplaceOptions
	// claim is in koinon_meta.staging, and in the rows as their operation, which no engine
	// uses. Once the rows are the contents, its negative is in koinon_meta.staging.
	claim int64
	// before is the log at the beginning.
	before Mark
	// first is the first revision that a row may have, last the last that one has.
	first, last int64
	rows        int64

	batch []Record
	bytes int
}

// ReplaceOptions say what is put in the place of what.
type ReplaceOptions struct {
	// Revision is that of the new contents: no key has a later one.
	Revision int64
	// Bump is added to Revision, for the revisions that clients may have seen since. All
	// of them are compacted.
	Bump int64
	// Renumber puts the keys after everything that was given out here or up to Revision,
	// and so after what is there, which becomes void. Without it the log must be empty, and
	// keys keep their revisions.
	Renumber bool
	// Rest leaves the database to others for as long as it was used, after each time: SQLite
	// lets who comes back at once have it before those who wait.
	Rest bool
}

const (
	// minBump is the least by which renumbered keys are above what was given out, so that
	// servers can go on writing while rows are prepared.
	minBump = 1_000_000
	// maxRevision leaves room to go on.
	maxRevision = math.MaxInt64 / 4

	// firstClaim is above what engines use as operations.
	firstClaim = 1 << 62

	// stageBytes and stageRows are the most that one transaction puts above the tail.
	stageBytes = 2 << 20
	stageRows  = 500
	// patience is how long a replacement goes on trying when the database does not answer,
	// and retryPause how long it waits each time.
	patience   = time.Minute
	retryPause = 200 * time.Millisecond

	// maxKeyBytes is what the column of names holds.
	maxKeyBytes = 2048
)

// Replace begins a replacement. What an earlier one has left behind is removed first; each
// is told of that.
func (l *Log) Replace(ctx context.Context, options ReplaceOptions, each func(removed int64)) (*Replacement, error) {
	r := &Replacement{log: l, options: options, claim: firstClaim + rand.Int64N(firstClaim)}
	if options.Revision < 0 || options.Bump < 0 || options.Revision > maxRevision || options.Bump > maxRevision {
		return nil, fmt.Errorf("revisions from %d, raised by %d, are out of bounds", options.Revision, options.Bump)
	}
	err := r.patiently(ctx, func() error {
		return l.transaction(ctx, nil, func(tx *sql.Tx, m meta) error {
			if err := r.begin(ctx, tx, m); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE koinon_meta SET staging = ? WHERE id = 1", r.claim); err != nil {
				return l.failed("write to", err)
			}
			return nil
		})
	})
	if err == nil {
		err = r.patiently(ctx, func() error { return l.discardStaged(ctx, r.claim, each) })
	}
	if err != nil {
		return nil, r.failed(err)
	}
	return r, nil
}

// begin decides where rows go.
func (r *Replacement) begin(ctx context.Context, tx *sql.Tx, m meta) error {
	r.before = m.Mark
	if r.options.Renumber {
		r.options.Bump = max(r.options.Bump, minBump)
		r.first = max(m.Tail, r.options.Revision) + r.options.Bump + 1
	} else {
		if empty, err := r.log.empty(ctx, tx, m.Mark); err != nil || !empty {
			return errors.Join(err, ErrNotEmpty)
		}
		r.first = firstRevision + 1
	}
	r.last = r.first - 1
	return nil
}

// Empty says that nothing was ever written to the log.
func (l *Log) Empty(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	mark, err := l.Mark(ctx)
	if err != nil {
		return false, err
	}
	return l.empty(ctx, l.reads, mark)
}

func (l *Log) empty(ctx context.Context, q querier, mark Mark) (bool, error) {
	if mark.Tail != firstRevision {
		return false, nil
	}
	var one int
	err := q.QueryRowContext(ctx, "SELECT 1 FROM koinon_log WHERE rev <= ? LIMIT 1", mark.Tail).Scan(&one)
	if err != nil && !isNoRows(err) {
		return false, l.failed("read from", err)
	}
	return isNoRows(err), nil
}

// Add takes the next key, in the order of revisions. Its lease, if it has one, begins anew.
func (r *Replacement) Add(ctx context.Context, record Record) error {
	if len(record.Key) > maxKeyBytes {
		return fmt.Errorf("the key %.80q… has %d bytes, and the %s takes keys of %d bytes at most", record.Key, len(record.Key), r.log, maxKeyBytes)
	}
	if r.options.Renumber {
		record.Revision, record.Created = r.last+1, r.last+1
	} else if record.Revision <= r.last || record.Revision > r.options.Revision {
		return fmt.Errorf("the key %q has the revision %d, where one from %d to %d should follow", record.Key, record.Revision, r.last+1, r.options.Revision)
	}
	record.Operation, record.Deleted, record.Expires = r.claim, false, 0
	if record.Lease > 0 {
		record.Expires = time.Now().Unix() + record.Lease
	}
	size := len(record.Key) + len(record.Value)
	if len(r.batch) == stageRows || len(r.batch) > 0 && r.bytes+size > min(stageBytes, r.log.batchBytes) {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	r.batch, r.bytes, r.last = append(r.batch, record), r.bytes+size, record.Revision
	return nil
}

// flush puts what was collected above the tail.
func (r *Replacement) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	again := false
	var took time.Duration
	err := r.patiently(ctx, func() error {
		begun := time.Now()
		err := r.stage(ctx, again)
		again, took = true, time.Since(begun)
		return err
	})
	if err == nil && r.options.Rest {
		err = sleep(ctx, took)
	}
	if err != nil {
		return r.failed(err)
	}
	r.rows += int64(len(r.batch))
	clear(r.batch)
	r.batch, r.bytes = r.batch[:0], 0
	return nil
}

// stage is one attempt. One that comes after another of which nobody knows whether it
// succeeded removes its rows, which carry the claim.
func (r *Replacement) stage(ctx context.Context, again bool) error {
	return r.log.transaction(ctx, func(tx *sql.Tx) error {
		if again {
			_, err := tx.ExecContext(ctx, "DELETE FROM koinon_log WHERE rev >= ? AND rev <= ? AND op = ?", r.batch[0].Revision, r.last, r.claim)
			if err != nil {
				return r.log.failed("write to", err)
			}
		}
		args := make([]any, 0, 9*len(r.batch))
		for _, record := range r.batch {
			args = append(append(args, record.Revision), rowArgs(record)...)
		}
		rows := "(?" + rowTail
		if _, err := tx.ExecContext(ctx, insert+rows+strings.Repeat(","+rows, len(r.batch)-1), args...); err != nil {
			return fmt.Errorf("put %d keys from %q on: %w", len(r.batch), r.batch[0].Key, r.log.failed("write to", err))
		}
		return nil
	}, func(_ *sql.Tx, m meta) error { return r.check(m) })
}

// check says whether the rows above the tail are still this replacement's to put there.
func (r *Replacement) check(m meta) error {
	switch {
	case m.Epoch != r.before.Epoch:
		return ErrReplaced
	case m.staging != r.claim:
		return ErrOvertaken
	case !r.options.Renumber && m.Tail != firstRevision:
		return ErrNotEmpty
	case m.Tail >= r.first:
		return ErrOverrun
	}
	return nil
}

// Commit makes what was added the contents of the log, and returns the mark. An error means
// that nothing has changed, or, if the connection was lost at that very moment and for good,
// that it may have.
func (r *Replacement) Commit(ctx context.Context) (Mark, error) {
	if err := r.flush(ctx); err != nil {
		return Mark{}, err
	}
	after := Mark{Tail: r.options.Revision + r.options.Bump, Epoch: r.before.Epoch + 1}
	if r.options.Renumber {
		after.Tail = max(r.last, r.first)
	}
	after.Tail = max(after.Tail, firstRevision)
	after.Compact = after.Tail
	if err := r.patiently(ctx, func() error { return r.verify(ctx) }); err != nil {
		return Mark{}, r.failed(err)
	}
	// From here on it is not given up half way, since then nobody would know what it came to.
	ctx = context.WithoutCancel(ctx)
	again := false
	err := r.patiently(ctx, func() error {
		if again { // the database may be another one now, a replica
			if err := r.verify(ctx); err != nil {
				return err
			}
		}
		again = true
		return r.commit(ctx, after)
	})
	if err != nil {
		return Mark{}, r.failed(err)
	}
	return after, nil
}

// verify counts the rows above the tail. All of them must be there, and no others.
func (r *Replacement) verify(ctx context.Context) error {
	rows, ours, err := r.log.count(ctx, r.first-1, math.MaxInt64, r.claim, r.claim)
	if err != nil {
		return err
	}
	if ours == r.rows && rows == r.rows {
		return nil
	}
	m, err := r.log.meta(ctx, r.log.reads)
	if err != nil {
		return err
	}
	if m.staging == -r.claim {
		return nil // an attempt before this one has succeeded, as commit will find
	}
	if err := r.check(m); err != nil {
		return err
	}
	return fmt.Errorf("%w: %d of %d rows are there, and %d of others", ErrIncomplete, ours, r.rows, rows-ours)
}

// commit is one attempt to make the rows the contents. One that follows an attempt of which
// nobody knows whether it succeeded finds out.
func (r *Replacement) commit(ctx context.Context, after Mark) error {
	return r.log.transaction(ctx, nil, func(tx *sql.Tx, m meta) error {
		if m.staging == -r.claim {
			return nil
		}
		if err := r.check(m); err != nil {
			return err
		}
		// There is nothing between the tail and the rows, and if there were, it would be
		// nothing.
		if _, err := tx.ExecContext(ctx, "DELETE FROM koinon_log WHERE rev > ? AND rev < ?", m.Tail, r.first); err != nil {
			return r.log.failed("write to", err)
		}
		_, err := tx.ExecContext(ctx, "UPDATE koinon_meta SET tail = ?, op = 0, compact = ?, epoch = ?, base = ?, staging = ?, compacted = "+r.log.dialect.now()+" WHERE id = 1",
			after.Tail, after.Compact, after.Epoch, m.Tail, -r.claim)
		if err != nil {
			return r.log.failed("write to", err)
		}
		return nil
	})
}

// patiently tries again what has failed for a reason that may pass.
func (r *Replacement) patiently(ctx context.Context, try func() error) error {
	begun := time.Now()
	for {
		err := try()
		if err == nil || ctx.Err() != nil || !fault.KindOf(err).Passes() || time.Since(begun) > patience {
			return err
		}
		if sleep(ctx, retryPause) != nil {
			return err
		}
	}
}

func (r *Replacement) failed(err error) error {
	return fmt.Errorf("replace the contents of the %s: %w", r.log, err)
}
