package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/fault"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

const (
	// readRecords and readBytes are how much is read from the log at a time.
	readRecords = 1000
	readBytes   = 8 << 20
	// retryInterval is the first pause before the database is tried again, and maxRetry
	// the longest.
	retryInterval = 20 * time.Millisecond
	maxRetry      = 500 * time.Millisecond
	// conflictPatience is by how much longer conflicts with other writers are put up with,
	// and maxConflictPause the longest pause between two attempts then.
	conflictPatience = 4
	maxConflictPause = 100 * time.Millisecond
	// lostRevisions is how far above everything that this process has seen revisions go on
	// after the database has lost some: other processes may have seen more.
	lostRevisions = 1_000_000
)

// errLost is a log that does not have what it has acknowledged.
var errLost error = fault.New("", fault.Fault{
	Kind: fault.Lost, Reason: "it has lost revisions that it had acknowledged",
	Remedy: "if a better copy of it is there, let that take over: otherwise this server goes on without them",
}, nil)

// syncer brings the state up to what the log has. All who wait while one round runs share
// the next.
type syncer struct {
	engine *Engine
	// mu guards the rest. next is the round that has not begun.
	mu      sync.Mutex
	next    *round
	running bool
}

type round struct {
	done chan struct{}
	err  error
}

func newSyncer(e *Engine) *syncer { return &syncer{engine: e} }

// wait returns when the state has everything that was acknowledged before the call.
func (s *syncer) wait(ctx context.Context) error {
	if err := s.engine.health.readError(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.next == nil {
		s.next = &round{done: make(chan struct{})}
	}
	joined, first := s.next, !s.running
	if first {
		s.running, s.next = true, nil
	}
	s.mu.Unlock()
	if first {
		s.lead(joined)
	}
	select {
	case <-joined.done:
		return joined.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lead runs a round in the goroutine of the first who waits for it, which saves two
// switches. What takes longer, and the rounds of those who came later, go on without it.
func (s *syncer) lead(current *round) {
	begun := time.Now()
	if err := s.engine.catchUp(s.engine.ctx); err != nil {
		s.engine.running.Go(func() { // it ends when nobody waits
			current.err = s.engine.patiently(begun, err, s.engine.catchUp, s.engine.health.readFailed)
			close(current.done)
			s.run(s.take())
		})
		return
	}
	close(current.done)
	if next := s.take(); next != nil {
		s.engine.running.Go(func() { s.run(next) }) // it ends when nobody waits
	}
}

// run runs rounds until nobody waits. Those who came while a round failed are told the same.
func (s *syncer) run(current *round) {
	for ; current != nil; current = s.take() {
		if current.err = s.engine.health.readError(); current.err == nil {
			begun := time.Now()
			current.err = s.engine.patiently(begun, s.engine.catchUp(s.engine.ctx), s.engine.catchUp, s.engine.health.readFailed)
		}
		close(current.done)
	}
}

// take returns the next round, if somebody waits for one.
func (s *syncer) take() *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.next
	s.next = nil
	s.running = next != nil
	return next
}

// patiently tries again what was first tried at begun, with the result err, until it succeeds
// or the patience is at its end; then failed is told, and makes the error that the waiting
// get. A conflict with others is no reason to lose patience soon: it says that the database
// works. What somebody has to mend first is one to lose it at once.
func (e *Engine) patiently(begun time.Time, err error, again func(context.Context) error, failed func(error) error) error {
	for pause := retryInterval; ; pause, err = min(2*pause, maxRetry), again(e.ctx) {
		if err == nil || errors.Is(err, errUnknown) {
			return err
		}
		if e.ctx.Err() != nil {
			return errClosed
		}
		e.metrics.failures.Inc()
		patience := e.options.Patience
		if fault.KindOf(err) == fault.Conflict {
			patience, pause = conflictPatience*patience, min(pause, maxConflictPause)
		}
		if time.Since(begun) >= patience || fault.KindOf(err).NeedsHelp() {
			return failed(err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)): // not in step with others
		case <-e.ctx.Done():
			return errClosed
		}
	}
}

// catchUp reads what other processes have written.
func (e *Engine) catchUp(ctx context.Context) error {
	known := e.state.mark() // before the log is asked: what this process writes meanwhile is not missing
	mark, err := e.log.Mark(ctx)
	if err != nil {
		return err
	}
	if lost(known, mark) {
		return e.lost(ctx, known, mark)
	}
	if mark.Epoch != known.Epoch || mark.Compact > known.Tail {
		return e.reload(ctx, mark)
	}
	err = e.readUpTo(ctx, mark)
	switch {
	case errors.Is(err, sqllog.ErrDiverged):
		return e.lost(ctx, known, mark)
	case errors.Is(err, sqllog.ErrGap), errors.Is(err, sqllog.ErrEpoch):
		return e.reload(ctx, mark)
	case err != nil:
		return err
	}
	e.lostSince.Store(0)
	if mark.Compact > known.Compact {
		e.state.compact(mark.Compact, e.compacted.addOthers)
	}
	return nil
}

func (e *Engine) readUpTo(ctx context.Context, mark sqllog.Mark) error {
	for known := e.state.mark(); known.Epoch == mark.Epoch && known.Tail < mark.Tail; known = e.state.mark() {
		records, err := e.log.Follow(ctx, known, mark, readRecords, readBytes)
		if err != nil {
			return err
		}
		if err := e.state.apply(mark.Epoch, records); err != nil {
			return err
		}
		for _, record := range records {
			if !e.ours(record.Operation) {
				e.foreign.Add(1)
			}
		}
	}
	return nil
}

// reload reads everything anew, unless somebody has done it: readers and the writer come
// here on their own.
func (e *Engine) reload(ctx context.Context, mark sqllog.Mark) error {
	select {
	case e.reloading <- struct{}{}:
		defer func() { <-e.reloading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if known := e.state.mark(); known.Epoch == mark.Epoch && known.Tail >= mark.Tail {
		return nil
	}
	e.logger.Info("Read the datastore anew, since its contents were replaced or compacted ahead of this server", "datastore", e.log)
	return e.load(ctx)
}

// lost says that a log has lost what it had acknowledged: a replica took over that did not
// have it, or somebody put an old copy in its place. If others have written since, it may
// only show in the records: see Follow.
func lost(known, mark sqllog.Mark) bool {
	return mark.Epoch < known.Epoch || mark.Epoch == known.Epoch &&
		(mark.Tail < known.Tail || mark.Tail == known.Tail && mark.Operation != known.Operation)
}

// lost waits, since a loss may pass, when a better copy takes over. If it does not, revisions
// go on above all that were given out, so that from then on none means two things, and
// everybody reads anew.
func (e *Engine) lost(ctx context.Context, known, mark sqllog.Mark) error {
	now := max(time.Since(e.began), 1) // 0 would mean that nothing is lost
	if e.lostSince.CompareAndSwap(0, int64(now)) {
		e.logger.Error(errLost, "Found other revisions than were acknowledged", "datastore", e.log, "acknowledged", known.Tail, "found", mark.Tail)
	}
	if now-time.Duration(e.lostSince.Load()) < 2*e.options.Patience {
		return errLost
	}
	e.logger.Error(errLost, "Continued after the loss of revisions, above all that were given out", "datastore", e.log, "acknowledged", known.Tail, "found", mark.Tail)
	if err := e.log.Renew(ctx, max(known.Tail, mark.Tail)+lostRevisions); err != nil {
		return err
	}
	e.lostSince.Store(0)
	return errLost // the next attempt finds the new epoch
}

// retry tries until it succeeds, makes no sense any more, or the context ends. It is for
// what nobody waits for, and for watchers, who would only ask again.
func (e *Engine) retry(ctx context.Context, try func() error) error {
	for pause := retryInterval; ; pause = min(2*pause, maxRetry) {
		err := try()
		if err == nil || errors.Is(err, sqllog.ErrGap) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
