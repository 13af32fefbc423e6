package sqllog

import (
	"context"
	"fmt"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// ErrShort is returned when the database has not returned records that it has, and has not
// called that an error: a setting that nobody has thought of limits its answers, or somebody
// has deleted records. What was read must not be taken for everything.
var ErrShort error = fault.New("", fault.Fault{Kind: fault.Damaged, Reason: "it did not return all the records that it should have", Remedy: "see which setting limits its answers, or who else writes to its tables"}, nil)

// reach is how far a scan came. It can be known without counting, since nothing but what is
// compacted is ever deleted: every revision after the compacted one has a record, but for that
// of an empty log. Up to there are gaps, but the last record is the last.
type reach struct {
	// last is the last revision that was seen, missing the last one that should have been.
	last, missing int64
}

// see notes a record, in the order of revisions.
func (r *reach) see(revision, compact int64) {
	if revision > max(r.last, compact, firstRevision)+1 {
		r.missing = revision - 1
	}
	r.last = revision
}

// check says whether that was everything up to the tail of a mark, of which last is the last
// record. compact is the compacted revision after all was read: compactions go on meanwhile. If
// an append made the record at the tail, that is there unless the log was compacted beyond it.
func (r reach) check(mark Mark, compact, last int64) error {
	missing := r.missing
	if mark.Tail > r.last {
		missing = mark.Tail
	}
	if missing > max(compact, firstRevision) || missing == mark.Tail && mark.Tail >= compact && mark.Operation != 0 {
		return fmt.Errorf("%w: revision %d is missing", ErrShort, missing)
	}
	if last > r.last {
		return fmt.Errorf("%w: after revision %d there is %d", ErrShort, r.last, last)
	}
	return nil
}

// lastRecord selects the last record up to a revision.
const lastRecord = "SELECT rev FROM koinon_log WHERE rev <= ? AND " + aboveBase + " ORDER BY rev DESC LIMIT 1"

// last runs a statement like lastRecord; 0 means that there is none.
func (l *Log) last(ctx context.Context, q querier, statement string, upTo int64) (int64, error) {
	var last int64
	err := q.QueryRowContext(ctx, statement, upTo).Scan(&last)
	if isNoRows(err) {
		return 0, nil
	}
	return last, err
}
