package sqllog

import (
	"context"
	"database/sql"
	"math"
	"time"
)

// meta is the row of koinon_meta, as whoever holds its lock reads it.
type meta struct {
	Mark
	// base is the revision up to which rows are void, staging who may put rows above the
	// tail: nobody if it is 0, or negative, which is who has replaced the contents last.
	base, staging int64
}

func (l *Log) meta(ctx context.Context, q querier) (meta, error) {
	var m meta
	err := q.QueryRowContext(ctx, "SELECT tail, compact, epoch, op, base, staging FROM koinon_meta WHERE id = 1").
		Scan(&m.Tail, &m.Compact, &m.Epoch, &m.Operation, &m.base, &m.staging)
	if err != nil {
		return meta{}, l.failed("read the state of", err)
	}
	return m, nil
}

// lock changes the row, although nothing of consequence: a cluster that compares what
// transactions have changed when they commit, as Galera does, would not see a lock alone.
const lock = "UPDATE koinon_meta SET probe = probe + 1 WHERE id = 1"

// transaction commits what first and locked do, or nothing of it. From the second on it
// holds the lock that orders all writers, so that should be short. Either may be nil.
func (l *Log) transaction(ctx context.Context, first func(*sql.Tx) error, locked func(*sql.Tx, meta) error) error {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	tx, err := l.writes.BeginTx(ctx, nil)
	if err != nil {
		return l.failed("write to", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if first != nil {
		if err := first(tx); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, lock); err != nil {
		return l.failed("write to", err)
	}
	m, err := l.meta(ctx, tx)
	if err != nil {
		return err
	}
	if locked != nil {
		if err := locked(tx, m); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return l.failed("write to", err)
	}
	return nil
}

// discardAtOnce is how many rows are deleted at a time.
const discardAtOnce = 1000

// makeRoom deletes what is in the way of an append. The lock is held: what is above the tail
// is nothing. It takes a little more than needed, so that not every append has to, and not
// everything, since writers wait meanwhile.
func (l *Log) makeRoom(ctx context.Context, q querier, tail int64, records int) error {
	upTo := tail + max(int64(records), discardAtOnce)
	if _, err := q.ExecContext(ctx, "DELETE FROM koinon_log WHERE rev > ? AND rev <= ?", tail, upTo); err != nil {
		return l.failed("write to", err)
	}
	return nil
}

// deleteSome deletes the first rows between two revisions, and says how many. Whoever calls
// it knows that they are void.
func (l *Log) deleteSome(ctx context.Context, q querier, after, upTo int64, limit int) (int64, error) {
	var last sql.NullInt64
	err := q.QueryRowContext(ctx, "SELECT MAX(rev) FROM (SELECT rev FROM koinon_log WHERE rev > ? AND rev <= ? ORDER BY rev LIMIT ?) AS first_rows", after, upTo, limit).Scan(&last)
	if err != nil {
		return 0, l.failed("read from", err)
	}
	if !last.Valid {
		return 0, nil
	}
	result, err := q.ExecContext(ctx, "DELETE FROM koinon_log WHERE rev > ? AND rev <= ?", after, last.Int64)
	if err != nil {
		return 0, l.failed("delete from", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, l.failed("delete from", err)
	}
	return n, nil
}

// DeleteBelowBase deletes some of the rows that a restore has replaced, at most limit of
// them, and says how many it were: 0 means that none are left.
func (l *Log) DeleteBelowBase(ctx context.Context, limit int) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	m, err := l.meta(ctx, l.reads)
	if err != nil || m.base == 0 {
		return 0, err
	}
	return l.deleteSome(ctx, l.writes, 0, m.base, limit) // base only ever rises
}

// discardAbove deletes some of the rows above the tail, and says whether there may be more.
// The lock is held.
func (l *Log) discardAbove(ctx context.Context, tx *sql.Tx, tail int64) (more bool, err error) {
	n, err := l.deleteSome(ctx, tx, tail, math.MaxInt64, discardAtOnce)
	return n > 0, err
}

// Renew starts a new epoch whose tail and compact revision are at least the given one:
// everything older is void, and revisions go on above it.
func (l *Log) Renew(ctx context.Context, revision int64) error {
	for more := true; more; {
		err := l.transaction(ctx, nil, func(tx *sql.Tx, m meta) (err error) {
			if more = false; m.Tail >= revision {
				return nil
			}
			// The tail must not jump over rows that are nothing.
			if more, err = l.discardAbove(ctx, tx, m.Tail); more || err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "UPDATE koinon_meta SET epoch = epoch + 1, tail = ?, op = 0, compact = ?, staging = 0, compacted = "+l.dialect.now()+" WHERE id = 1", revision, revision)
			if err != nil {
				return l.failed("write to", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// DiscardStaged deletes what restores have prepared and not finished, some at a time until
// nothing is left, and calls each with the number of rows. A restore that runs fails.
func (l *Log) DiscardStaged(ctx context.Context, each func(rows int64)) error {
	return l.discardStaged(ctx, 0, each)
}

// discardStaged is DiscardStaged for one who has the claim, which is left as it is.
func (l *Log) discardStaged(ctx context.Context, claim int64, each func(rows int64)) error {
	for {
		var n int64
		begun := time.Now()
		err := l.transaction(ctx, nil, func(tx *sql.Tx, m meta) (err error) {
			if claim != 0 && m.staging != claim {
				return ErrOvertaken
			}
			if n, err = l.deleteSome(ctx, tx, m.Tail, math.MaxInt64, discardAtOnce); err != nil || claim == m.staging {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE koinon_meta SET staging = ? WHERE id = 1", claim); err != nil {
				return l.failed("write to", err)
			}
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
		each(n)
		// Writers have the database for themselves at least half of the time.
		if err := sleep(ctx, time.Since(begun)); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
