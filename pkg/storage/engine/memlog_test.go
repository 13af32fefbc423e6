package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/koinon-io/koinon/pkg/storage/fault"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// errCut is what a caller sees of a connection that was lost.
var errCut error = fault.New("", fault.Fault{Kind: fault.Away, Reason: "the connection was lost"}, nil)

// memLog is a log in memory that several engines can share, as processes share a database.
// It behaves like one in a database, and fails as it is told.
type memLog struct {
	mu      sync.Mutex
	mark    sqllog.Mark
	records []sqllog.Record
	// appends counts attempts.
	appends int
	// before and after are called around the commit of an append, marks before the mark is
	// read; their errors are those of the call.
	before, after, marks func() error
	// deletes is called before records are deleted, scans before all are read, after the
	// mark.
	deletes, scans func() error
}

func newMemLog() *memLog {
	return &memLog{mark: sqllog.Mark{Tail: 1, Epoch: 1}}
}

func (l *memLog) String() string                       { return "log in memory" }
func (l *memLog) BatchBytes() int                      { return 1 << 20 }
func (l *memLog) Probe(context.Context) error          { return l.fail(&l.before) }
func (l *memLog) Shrink(context.Context) (bool, error) { return false, nil }
func (l *memLog) Size(context.Context) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.records)), nil
}

// set changes what fails.
func (l *memLog) set(hook *func() error, to func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*hook = to
}

func (l *memLog) fail(hook *func() error) error {
	l.mu.Lock()
	call := *hook
	l.mu.Unlock()
	if call == nil {
		return nil
	}
	return call()
}

func (l *memLog) Mark(context.Context) (sqllog.Mark, error) {
	if err := l.fail(&l.marks); err != nil {
		return sqllog.Mark{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mark, nil
}

func (l *memLog) Append(_ context.Context, known sqllog.Mark, records []sqllog.Record, rebase sqllog.Rebase) error {
	if err := l.fail(&l.before); err != nil {
		return err
	}
	if err := l.append(known, records, rebase); err != nil {
		return err
	}
	return l.fail(&l.after)
}

func (l *memLog) append(known sqllog.Mark, records []sqllog.Record, rebase sqllog.Rebase) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.appends++
	if l.mark.Epoch != known.Epoch || l.mark.Tail < known.Tail {
		return sqllog.ErrEpoch
	}
	if l.mark.Tail == known.Tail && l.mark.Operation != known.Operation {
		return sqllog.ErrDiverged
	}
	if l.mark.Tail != known.Tail {
		missed, err := l.follow(known, l.mark)
		if err != nil {
			return err
		}
		if records, err = rebase(l.mark, missed); err != nil || len(records) == 0 {
			return err
		}
	}
	l.records = append(l.records, records...)
	last := records[len(records)-1]
	l.mark.Tail, l.mark.Operation = last.Revision, last.Operation
	return nil
}

func (l *memLog) Follow(_ context.Context, known, mark sqllog.Mark, _, _ int) ([]sqllog.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.follow(known, mark)
}

func (l *memLog) follow(known, mark sqllog.Mark) ([]sqllog.Record, error) {
	if mark.Compact > known.Tail {
		return nil, sqllog.ErrGap
	}
	for _, record := range l.records {
		if record.Revision == known.Tail && record.Operation != known.Operation {
			return nil, sqllog.ErrDiverged
		}
	}
	return l.read(known.Tail, mark.Tail)
}

func (l *memLog) read(after, upTo int64) ([]sqllog.Record, error) {
	var found []sqllog.Record
	for _, record := range l.records {
		if record.Revision > after && record.Revision <= upTo {
			if record.Revision != after+int64(len(found))+1 {
				return nil, sqllog.ErrGap
			}
			found = append(found, record)
		}
	}
	if len(found) == 0 && upTo > after {
		return nil, sqllog.ErrGap
	}
	return found, nil
}

func (l *memLog) Read(_ context.Context, after, upTo int64, limit, _ int) ([]sqllog.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.read(after, min(upTo, after+int64(limit)))
}

func (l *memLog) Scan(_ context.Context, mark sqllog.Mark, each func(sqllog.Record)) error {
	if err := l.fail(&l.scans); err != nil {
		return err
	}
	l.mu.Lock()
	records := slices.Clone(l.records)
	l.mu.Unlock()
	for _, record := range records {
		if record.Revision <= mark.Tail {
			each(record)
		}
	}
	return nil
}

func (l *memLog) Values(_ context.Context, revisions []int64, each func(int64, []byte)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, record := range l.records {
		if slices.Contains(revisions, record.Revision) {
			each(record.Revision, record.Value)
		}
	}
	return nil
}

func (l *memLog) Compact(_ context.Context, revision int64) (sqllog.Mark, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mark.Compact = max(l.mark.Compact, revision)
	return l.mark, nil
}

func (l *memLog) Delete(_ context.Context, epoch int64, revisions []int64) error {
	if err := l.fail(&l.deletes); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = slices.DeleteFunc(l.records, func(r sqllog.Record) bool {
		return epoch == l.mark.Epoch && r.Revision <= l.mark.Compact && slices.Contains(revisions, r.Revision)
	})
	return nil
}

func (l *memLog) DeleteBelowBase(context.Context, int) (int64, error) { return 0, nil }

func (l *memLog) Renew(_ context.Context, revision int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mark = sqllog.Mark{Tail: revision, Compact: revision, Epoch: l.mark.Epoch + 1}
	return nil
}

// truncate takes back what came after a revision, as a replica does that was behind.
func (l *memLog) truncate(revision int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = slices.DeleteFunc(l.records, func(r sqllog.Record) bool { return r.Revision > revision })
	l.mark.Tail, l.mark.Operation, l.mark.Compact = revision, 0, min(l.mark.Compact, revision-1)
	if len(l.records) > 0 {
		l.mark.Operation = l.records[len(l.records)-1].Operation
	}
}
