package sqllog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// Snapshot is everything that a log held at one moment, whatever is written meanwhile. It is
// used by one goroutine, and keeps a transaction and a connection of its own until Close.
type Snapshot struct {
	log    *Log
	conn   *sql.Conn
	mark   Mark
	keys   []Record
	source source
}

// source is a table of revisions.
type source struct {
	// begin reads the mark, and the revision after which the rows begin.
	begin func(ctx context.Context, l *Log, q querier) (mark Mark, after int64, err error)
	// page selects rows after a revision, up to one, at most a number of them, as scan reads
	// them; last the last of all rows up to a revision; values selects revisions and values
	// of a list that follows.
	page, last, values string
}

var logSource = source{
	begin: func(ctx context.Context, l *Log, q querier) (Mark, int64, error) {
		m, err := l.meta(ctx, q)
		return m.Mark, m.base, err
	},
	page:   "SELECT " + columns + " FROM koinon_log WHERE rev > ? AND rev <= ? ORDER BY rev LIMIT ?",
	last:   lastRecord,
	values: "SELECT rev, value FROM koinon_log WHERE rev IN %s ORDER BY rev",
}

// kineSource is the table of Kine's own drivers. What the key was before is not needed, a
// creation has no revision of a creation, and versions are not counted: two stands for two
// or more. Revisions may have gaps anywhere, as if all were compacted.
var kineSource = source{
	begin: func(ctx context.Context, l *Log, q querier) (Mark, int64, error) {
		var mark Mark
		err := q.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM kine").Scan(&mark.Tail)
		if noTable(err) {
			return Mark{}, 0, fmt.Errorf("the %s has no table of Kine", l.name)
		}
		if err != nil {
			return Mark{}, 0, l.failed("read from", err)
		}
		mark.Compact = mark.Tail
		return mark, 0, nil
	},
	last: "SELECT id FROM kine WHERE id <= ? AND name <> 'compact_rev_key' ORDER BY id DESC LIMIT 1",
	page: `SELECT id, name, CASE WHEN COALESCE(create_revision, 0) = 0 THEN id ELSE create_revision END,
		CASE WHEN created <> 0 THEN 1 ELSE 2 END, COALESCE(lease, 0), 0, deleted, 0
		FROM kine WHERE id > ? AND id <= ? AND name <> 'compact_rev_key' ORDER BY id LIMIT ?`,
	values: "SELECT id, value FROM kine WHERE id IN %s ORDER BY id",
}

// snapshotRows is how many rows one statement reads, without values.
const snapshotRows = 5000

// Snapshot reads which keys there are and where their values are; memory is needed for that
// alone. Each, if not nil, is called now and then with the number of rows read.
func (l *Log) Snapshot(ctx context.Context, each func(rows int)) (*Snapshot, error) {
	return l.snapshot(ctx, logSource, each)
}

// SnapshotKine is Snapshot for the table of Kine's own drivers in the same database. Of its
// mark only the tail means something.
func (l *Log) SnapshotKine(ctx context.Context, each func(rows int)) (*Snapshot, error) {
	return l.snapshot(ctx, kineSource, each)
}

// KineTail is the last revision in the table of Kine's own drivers.
func (l *Log) KineTail(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	mark, _, err := kineSource.begin(ctx, l, l.reads)
	return mark.Tail, err
}

func (l *Log) snapshot(ctx context.Context, source source, each func(rows int)) (*Snapshot, error) {
	conn, err := l.reads.Conn(ctx)
	if err != nil {
		return nil, l.failed("connect to", err)
	}
	s := &Snapshot{log: l, conn: conn, source: source}
	if err := s.begin(ctx, each); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Snapshot) begin(ctx context.Context, each func(rows int)) error {
	if err := s.log.dialect.beginSnapshot(ctx, s.conn); err != nil {
		return s.log.failed("read from", err)
	}
	mark, after, err := s.source.begin(ctx, s.log, s.conn)
	if err != nil {
		return err
	}
	s.mark = mark
	latest := newLatest()
	rows := 0
	var came reach
	for {
		page, err := s.page(ctx, after)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, record := range page {
			came.see(record.Revision, mark.Compact)
			latest.add(record)
		}
		after = page[len(page)-1].Revision
		if rows += len(page); each != nil {
			each(rows)
		}
	}
	last, err := s.log.last(ctx, s.conn, s.source.last, mark.Tail)
	if err == nil {
		err = came.check(mark, mark.Compact, last)
	}
	if err != nil {
		return s.log.failed("read from", err)
	}
	s.keys = latest.inOrder()
	return s.log.checkUndisturbed()
}

// page returns the next rows after a revision, without values.
func (s *Snapshot) page(ctx context.Context, after int64) ([]Record, error) {
	rows, err := s.conn.QueryContext(ctx, s.source.page, after, s.mark.Tail, snapshotRows)
	if err != nil {
		return nil, s.log.failed("read from", err)
	}
	defer func() { _ = rows.Close() }()
	var page []Record
	for rows.Next() {
		record, err := scan(rows, false)
		if err != nil {
			return nil, s.log.failed("read from", err)
		}
		page = append(page, record)
	}
	if err := rows.Err(); err != nil {
		return nil, s.log.failed("read from", err)
	}
	return page, nil
}

// Mark is the state of the log at the moment of the snapshot.
func (s *Snapshot) Mark() Mark { return s.mark }

// Len is the number of keys.
func (s *Snapshot) Len() int { return len(s.keys) }

// Each calls each for every key, in the order of their revisions, with its value. It ends
// with the first error, be it of each.
func (s *Snapshot) Each(ctx context.Context, each func(Record) error) error {
	for keys := s.keys; len(keys) > 0; {
		n := min(valuesPerQuery, len(keys))
		if err := s.values(ctx, keys[:n], each); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return s.log.checkUndisturbed()
}

func (s *Snapshot) values(ctx context.Context, keys []Record, each func(Record) error) error {
	revisions := make([]int64, len(keys))
	for i, key := range keys {
		revisions[i] = key.Revision
	}
	in, args := list(revisions)
	rows, err := s.conn.QueryContext(ctx, fmt.Sprintf(s.source.values, in), args...)
	if err != nil {
		return s.log.failed("read values from", err)
	}
	defer func() { _ = rows.Close() }()
	for _, record := range keys {
		var revision int64
		if rows.Next() {
			err = rows.Scan(&revision, &record.Value)
		} else {
			err = rows.Err()
		}
		if err == nil && revision != record.Revision {
			err = fmt.Errorf("the row of revision %d is not there", record.Revision)
		}
		if err != nil {
			return s.log.failed("read values from", err)
		}
		if err := each(record); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the transaction.
func (s *Snapshot) Close() {
	discard(s.conn)
	_ = s.conn.Close()
}

// latest has the newest version of every key that there is.
type latest struct {
	records []Record
	at      map[string]int
	// free are places in records of keys that were deleted.
	free []int
}

func newLatest() *latest { return &latest{at: map[string]int{}} }

// add takes records in the order of their revisions.
func (l *latest) add(record Record) {
	at, found := l.at[record.Key]
	switch {
	case found && record.Deleted:
		delete(l.at, record.Key)
		l.records[at] = Record{}
		l.free = append(l.free, at)
	case found:
		record.Key = l.records[at].Key // the one that is in memory already
		l.records[at] = record
	case record.Deleted:
	case len(l.free) > 0:
		at, l.free = l.free[len(l.free)-1], l.free[:len(l.free)-1]
		l.records[at], l.at[record.Key] = record, at
	default:
		l.at[record.Key] = len(l.records)
		l.records = append(l.records, record)
	}
}

// inOrder gives the records in the order of their revisions, and keeps nothing.
func (l *latest) inOrder() []Record {
	l.at, l.free = nil, nil
	records := slices.DeleteFunc(l.records, func(r Record) bool { return r.Revision == 0 })
	slices.SortFunc(records, func(a, b Record) int { return cmp.Compare(a.Revision, b.Revision) })
	return records
}
