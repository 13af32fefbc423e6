package engine

import (
	"context"
	"errors"
	"time"

	"github.com/k3s-io/kine/pkg/server"

	"github.com/koinon-io/koinon/pkg/storage/fault"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// maxBatchWrites is how many writes share a transaction, and how many wait.
const maxBatchWrites = 256

// Create implements server.Backend.
func (e *Engine) Create(ctx context.Context, key string, value []byte, lease int64) (int64, error) {
	done := e.write(ctx, write{kind: put, key: key, value: value, lease: lease, conditions: modifiedAt(0)})
	if done.err == nil && !done.ok {
		return done.revision, server.ErrKeyExists
	}
	return done.revision, done.err
}

// Update implements server.Backend. What it returns is what was written, or else what is
// there instead.
func (e *Engine) Update(ctx context.Context, key string, value []byte, revision, lease int64) (int64, *server.KeyValue, bool, error) {
	done := e.write(ctx, write{kind: put, key: key, value: value, lease: lease, conditions: modifiedAt(revision)})
	if done.err != nil || done.ok {
		return done.revision, &server.KeyValue{Key: key, Value: value, ModRevision: done.revision, Lease: lease}, done.ok, done.err
	}
	now, found, err := e.found(ctx, done)
	return now, found, false, err
}

// Delete implements server.Backend: a revision of 0 stands for any. What it returns is what
// was deleted, or else what is there instead.
func (e *Engine) Delete(ctx context.Context, key string, revision int64) (int64, *server.KeyValue, bool, error) {
	w := write{kind: remove, key: key}
	if revision != 0 {
		w.conditions = modifiedAt(revision)
	}
	done := e.write(ctx, w)
	if done.err != nil {
		return 0, nil, false, done.err
	}
	now, found, err := e.found(ctx, done)
	return now, found, done.ok, err
}

// Put writes a key whatever is there, and returns what was there before; nil means nothing.
func (e *Engine) Put(ctx context.Context, key string, value []byte, lease int64) (int64, *server.KeyValue, error) {
	done := e.write(ctx, write{kind: put, key: key, value: value, lease: lease})
	if done.err != nil {
		return 0, nil, done.err
	}
	now, before, err := e.found(ctx, done)
	return now, before, err
}

// errBeforeGone is the answer to a write that was done, of which nobody can say any more what
// was there before.
var errBeforeGone error = &fault.Unavailable{
	Fault: fault.Fault{Kind: fault.Lost, Reason: "the write was done, and what was there before was compacted before it could be read"},
	Store: "datastore",
}

// found is what a write found under its key, nil if nothing, and the revision at which that is
// so. If it was compacted before its value was read, the answer to a write that was not done is
// what is there now.
func (e *Engine) found(ctx context.Context, done outcome) (int64, *server.KeyValue, error) {
	if done.version == nil {
		return done.revision, nil, nil
	}
	if done.valued {
		return done.revision, keyValue(done.version, done.value), nil
	}
	value, err := e.values.one(ctx, done.version.Revision)
	switch {
	case err != nil:
		return 0, nil, e.health.cannotRead(err)
	case value.there:
		return done.revision, keyValue(done.version, value.value), nil
	case done.ok:
		return 0, nil, errBeforeGone
	}
	return e.Get(ctx, done.version.Key, 0, false)
}

// write hands a write to the writer and waits for what comes of it.
func (e *Engine) write(ctx context.Context, w write) outcome {
	if err := e.health.writeError(); err != nil {
		return outcome{err: err}
	}
	w.ctx, w.done, w.operation = ctx, make(chan outcome, 1), e.operation.Add(1)
	select {
	case e.writes <- &w:
	case <-ctx.Done():
		return outcome{err: ctx.Err()}
	case <-e.ctx.Done():
		return outcome{err: errClosed}
	}
	select {
	case done := <-w.done:
		return done
	case <-ctx.Done():
		return outcome{err: ctx.Err()}
	case <-e.ctx.Done():
		return outcome{err: errClosed}
	}
}

// runWriter commits batches of what waits, one at a time.
func (e *Engine) runWriter(ctx context.Context) {
	var left *write
	for {
		first := left
		if first == nil {
			select {
			case first = <-e.writes:
			case <-ctx.Done():
				return
			}
		}
		var writes []*write
		writes, left = e.collect(first)
		(&batch{engine: e, writes: writes}).run()
	}
}

// collect takes what waits, up to the bounds of a batch. The write that would exceed them
// is left for the next one.
func (e *Engine) collect(first *write) (writes []*write, left *write) {
	bytes := 0
	for next := first; ; {
		if size := len(next.key) + len(next.value); bytes+size > e.log.BatchBytes() && len(writes) > 0 {
			return writes, next
		} else {
			bytes += size
		}
		if next.ctx.Err() == nil { // nobody waits for the others
			writes = append(writes, next)
		}
		if len(writes) == maxBatchWrites {
			return writes, nil
		}
		select {
		case next = <-e.writes:
		default:
			return writes, nil
		}
	}
}

// batch is a number of writes on their way into the log.
type batch struct {
	engine *Engine
	writes []*write

	// left are the writes that are still to be done, plan is what they come to in the state
	// of mark.
	left []*write
	mark sqllog.Mark
	plan plan
	// generation is that of the state in which an attempt first ended without an answer,
	// and uncertain says that there was one.
	generation int
	uncertain  bool
}

// errUnknown is the end of a batch that may have been committed, in a log whose contents
// were replaced since.
var errUnknown error = &fault.Unavailable{
	Fault: fault.Fault{Kind: fault.Lost, Reason: "its contents were replaced while a write was under way, and whether it was done is not known"},
	Store: "datastore",
}

// run does not return before every write has its outcome.
func (b *batch) run() {
	if len(b.writes) == 0 {
		return
	}
	err := b.engine.health.writeError()
	if err == nil {
		err = b.engine.patiently(time.Now(), b.try(b.engine.ctx), b.try, b.engine.health.writeFailed)
	}
	b.engine.state.end(b.writes)
	for i, w := range b.left {
		if err == nil && w.committed == nil {
			w.committed = &b.plan.outcomes[i]
		}
	}
	for _, w := range b.writes {
		if w.committed == nil || err != nil && b.uncertain { // what a reader found is not confirmed
			w.committed = &outcome{err: err}
		}
		w.done <- *w.committed
	}
	if b.engine.options.Notices != nil {
		b.engine.options.Notices.Send(b.engine.state.mark().Tail)
	}
}

// try is one attempt. It may follow one of which nobody knows whether it was committed: if
// so, the writes are settled by whoever reads them from the log, at the latest in rebase.
func (b *batch) try(ctx context.Context) error {
	e := b.engine
	generation := b.decide()
	if len(b.plan.records) == 0 && (len(b.left) > 0 || b.uncertain) {
		// All are refused, and they may be so for an old state. Or a reader has found them in
		// the log, where a database shows them before they are on its disk: if it was killed
		// then, they are gone. What it has written after them is not there without them.
		if b.uncertain {
			if err := e.log.Probe(ctx); err != nil {
				return err
			}
		}
		if err := e.catchUp(ctx); err != nil {
			return err
		}
		generation = b.decide()
	}
	if b.uncertain && generation != b.generation {
		return errUnknown
	}
	if len(b.plan.records) == 0 {
		return nil
	}
	begun := time.Now()
	err := e.log.Append(ctx, b.mark, b.plan.records, b.rebase)
	if errors.Is(err, sqllog.ErrEpoch) || errors.Is(err, sqllog.ErrGap) || errors.Is(err, sqllog.ErrDiverged) {
		if err := e.catchUp(ctx); err != nil {
			return err
		}
		return err // nothing was written, and the next attempt knows more
	}
	if err != nil {
		b.uncertain, b.generation = true, generation
		return err
	}
	e.metrics.commits.Observe(time.Since(begun).Seconds())
	e.metrics.batches.Observe(float64(len(b.plan.records)))
	if err := e.state.apply(b.mark.Epoch, b.plan.records); !errors.Is(err, sqllog.ErrEpoch) {
		return err
	}
	return nil // it was done, and the contents were replaced after it
}

// decide makes the plan for what is left to do, in the latest state, and returns the
// generation of that.
func (b *batch) decide() (generation int) {
	b.left, b.plan, b.mark, generation = b.engine.state.begin(b.writes)
	return generation
}

// rebase takes in what other processes have written and decides anew. The log is locked
// meanwhile, so this decision stands.
func (b *batch) rebase(mark sqllog.Mark, missed []sqllog.Record) ([]sqllog.Record, error) {
	b.engine.metrics.rebased.Inc()
	if err := b.engine.state.apply(mark.Epoch, missed); err != nil {
		return nil, err
	}
	if b.decide(); b.mark.Tail != mark.Tail {
		return nil, sqllog.ErrEpoch
	}
	return b.plan.records, nil
}
