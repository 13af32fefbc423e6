package engine

import (
	"context"
	"errors"
	"time"

	"github.com/k3s-io/kine/pkg/server"

	"github.com/koinon-io/koinon/pkg/storage/mvcc"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// watchEvents is how many events a watcher is given at a time.
const watchEvents = 500

// emptyRevision is that of a store without a key, of which there is no event.
const emptyRevision = 1

// watcher is a cursor into the log. It holds up nobody: while its client reads slowly, the
// events stay where they are.
type watcher struct {
	engine *Engine
	// next is the revision of the next event, generation that of the ring when it began.
	next       int64
	generation int
	// compacted is the compacted revision when it began.
	compacted int64
	// readAt is when it last began to read from the log, and tail what the tail was then.
	readAt  time.Time
	tail    int64
	batches chan server.EventBatch
	failed  chan error
}

// Watch implements server.Backend. Every event from a revision on comes exactly once and in
// order, 0 meaning those that are yet to come; batches without events say how far the
// watcher is. The watch ends with the context, or when what is next was compacted.
func (e *Engine) Watch(ctx context.Context, revision int64) server.WatchResult {
	e.state.mu.Lock()
	known, generation := e.state.known, e.state.recent.generation
	e.state.mu.Unlock()
	w := &watcher{engine: e, next: revision, generation: generation, compacted: known.Compact, batches: make(chan server.EventBatch, 1), failed: make(chan error, 1)}
	result := server.WatchResult{CurrentRevision: known.Tail, Eventc: w.batches, Errorc: w.failed}
	switch {
	case revision == 0 || revision > known.Tail:
		w.next = known.Tail + 1 // Kine's server leaves out what comes before a revision in the future
	case revision == emptyRevision:
		w.next = emptyRevision + 1
	}
	if w.next < known.Compact {
		result.CompactRevision = known.Compact
		close(w.batches)
		return result
	}
	if w.next == known.Tail+1 {
		w.batches <- server.EventBatch{CurrentRev: known.Tail}
	}
	go w.run(ctx) // it ends with the request, or with the engine
	return result
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.batches)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.engine.ctx, cancel)()
	for {
		events, err := w.wait(ctx)
		if err == nil {
			err = w.send(ctx, events)
		}
		if err != nil {
			if ctx.Err() == nil {
				w.failed <- err
			}
			return
		}
	}
}

func (w *watcher) send(ctx context.Context, events []event) error {
	batch := server.EventBatch{Events: make([]*server.Event, len(events)), CurrentRev: events[len(events)-1].KV.ModRevision}
	for i, each := range events {
		batch.Events[i] = w.withoutCompacted(each.Event)
	}
	select {
	case w.batches <- batch:
		w.next = batch.CurrentRev + 1
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// withoutCompacted takes away what was before the compacted revision, also where the ring
// still has it: an API server ends a watch from before that revision because of its absence.
func (w *watcher) withoutCompacted(e *server.Event) *server.Event {
	if e.KV.ModRevision > w.compacted || e.PrevKV == nil {
		return e
	}
	partial := *e // others have the same event
	partial.PrevKV = nil
	return &partial
}

// wait returns the next events once there are some.
func (w *watcher) wait(ctx context.Context) ([]event, error) {
	state := w.engine.state
	for {
		state.mu.Lock()
		if state.recent.generation != w.generation {
			state.mu.Unlock()
			return nil, server.ErrCompacted
		}
		events, recent := state.recent.from(w.next, watchEvents)
		changed, known, index := state.recent.changed, state.known, state.index()
		state.mu.Unlock()
		switch {
		case !recent:
			return w.read(ctx, known, index)
		case len(events) > 0:
			return w.complete(ctx, events)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// read returns events from the log, for a watcher that begins before the ring does. index has
// the state at the known mark: that of contents which have replaced them since knows nothing
// of what was before these events.
func (w *watcher) read(ctx context.Context, known sqllog.Mark, index *mvcc.Index) ([]event, error) {
	w.giveWay(ctx, known.Tail)
	var records []sqllog.Record
	err := w.engine.retry(ctx, func() (err error) {
		records, err = w.engine.log.Read(ctx, w.next-1, known.Tail, watchEvents, readBytes)
		return err
	})
	if errors.Is(err, sqllog.ErrGap) {
		return nil, server.ErrCompacted
	}
	if err != nil {
		return nil, err
	}
	// What was just read need not be read again to be the value before.
	read := make(map[int64][]byte, len(records))
	cached := func(revision int64) held {
		if value, there := read[revision]; there {
			return held{value, true}
		}
		return w.engine.values.cached(revision)
	}
	events := make([]event, len(records))
	for i, record := range records {
		before, _ := index.Get(record.Key, record.Revision-1)
		events[i] = makeEvent(versionOf(record), record.Value, before, cached)
		read[record.Revision] = record.Value
	}
	return w.complete(ctx, events)
}

// longestRest bounds for how long a watcher gives way at a time. It may have been a slow client
// that took so long.
const longestRest = 100 * time.Millisecond

// giveWay leaves processor and database to writers for twice as long as the last events have
// taken, if somebody writes: a watcher that is far behind would take whatever it gets.
func (w *watcher) giveWay(ctx context.Context, tail int64) {
	if w.tail != 0 && w.tail != tail {
		pause(ctx, min(2*time.Since(w.readAt), longestRest))
	}
	w.readAt, w.tail = time.Now(), tail
}

// complete reads the values before that were not in memory. One that was compacted stays
// away: then so was the watcher's revision, or it is the first after it.
func (w *watcher) complete(ctx context.Context, events []event) ([]event, error) {
	var missing []int64
	for _, each := range events {
		if each.missing != 0 {
			missing = append(missing, each.missing)
		}
	}
	if len(missing) == 0 {
		return events, nil
	}
	var values []held
	err := w.engine.retry(ctx, func() (err error) {
		values, err = w.engine.values.many(ctx, missing)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, each := range events {
		if each.missing == 0 {
			continue
		}
		whole := *each.Event // others have the same event
		if whole.PrevKV = nil; values[0].there {
			previous := *each.PrevKV
			previous.Value = values[0].value
			whole.PrevKV = &previous
		} else if err := w.compactedBefore(ctx, each); err != nil {
			return nil, err
		}
		events[i], values = event{Event: &whole}, values[1:]
	}
	return events, nil
}

// compactedBefore makes sure of an event that what was before it is compacted.
func (w *watcher) compactedBefore(ctx context.Context, e event) error {
	compacted := func() bool { return e.KV.ModRevision <= w.engine.state.mark().Compact }
	if compacted() {
		return nil
	}
	if err := w.engine.retry(ctx, func() error { return w.engine.overtaken(ctx) }); err != nil {
		return err
	}
	if compacted() {
		return nil
	}
	return w.engine.health.cannotRead(errMissing)
}
