package engine

import (
	"context"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/server"
)

// deleteAtOnce is how many revisions one statement deletes.
const deleteAtOnce = 500

// garbage are the revisions that can be deleted. The queue holds what one compaction leaves,
// 8 bytes each.
type garbage struct {
	mu        sync.Mutex
	revisions []int64
	// replaced says that there may be rows which a restore has replaced.
	replaced bool
	more     chan struct{}
}

func newGarbage() *garbage { return &garbage{more: make(chan struct{}, 1)} }

func (g *garbage) add(revisions []int64) {
	if len(revisions) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.revisions = append(g.revisions, revisions...)
	g.wake()
}

// addReplaced notes that the contents may have been replaced.
func (g *garbage) addReplaced() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.replaced = true
	g.wake()
}

func (g *garbage) wake() {
	select {
	case g.more <- struct{}{}:
	default:
	}
}

// take returns what to delete next: some revisions, or what was replaced.
func (g *garbage) take() (revisions []int64, replaced bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(deleteAtOnce, len(g.revisions))
	revisions, g.revisions = g.revisions[:n], g.revisions[n:]
	if n == 0 {
		replaced, g.replaced = g.replaced, false
	}
	return revisions, replaced
}

// Compact implements server.Backend. It returns when what is older cannot be read any more;
// deleting it goes on behind.
func (e *Engine) Compact(ctx context.Context, revision int64) (int64, error) {
	if err := e.sync.wait(ctx); err != nil {
		return 0, err
	}
	known := e.state.mark()
	if revision > known.Tail {
		return known.Tail, server.ErrFutureRev
	}
	if revision <= known.Compact {
		return known.Tail, server.ErrCompacted
	}
	if _, err := e.log.Compact(ctx, revision); err != nil {
		return 0, e.health.unavailable(err)
	}
	e.compacted.add(e.state.compact(revision))
	return known.Tail, nil
}

// runGarbage deletes what is compacted. After each statement it rests as long as that took,
// so that writers have the database for themselves at least half of the time.
func (e *Engine) runGarbage(ctx context.Context) {
	for {
		revisions, replaced := e.compacted.take()
		if len(revisions) == 0 && !replaced {
			_ = e.log.Shrink(ctx) // what could not be given back now is next time
			select {
			case <-e.compacted.more:
			case <-ctx.Done():
				return
			}
			continue
		}
		begun := time.Now()
		err := e.retry(ctx, func() error { return e.deleteGarbage(ctx, revisions, replaced) })
		if err != nil {
			return
		}
		e.metrics.deleted.Add(float64(len(revisions)))
		select {
		case <-time.After(time.Since(begun)):
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) deleteGarbage(ctx context.Context, revisions []int64, replaced bool) error {
	if !replaced {
		return e.log.Delete(ctx, revisions)
	}
	n, err := e.log.DeleteBelowBase(ctx, deleteAtOnce)
	if n > 0 {
		e.compacted.addReplaced() // there may be more
	}
	return err
}
