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
	more      chan struct{}
}

func newGarbage() *garbage { return &garbage{more: make(chan struct{}, 1)} }

func (g *garbage) add(revisions []int64) {
	if len(revisions) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.revisions = append(g.revisions, revisions...)
	select {
	case g.more <- struct{}{}:
	default:
	}
}

func (g *garbage) take() []int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(deleteAtOnce, len(g.revisions))
	taken := g.revisions[:n]
	g.revisions = g.revisions[n:]
	return taken
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
		revisions := e.compacted.take()
		if len(revisions) == 0 {
			_ = e.log.Shrink(ctx) // what could not be given back now is next time
			select {
			case <-e.compacted.more:
			case <-ctx.Done():
				return
			}
			continue
		}
		begun := time.Now()
		err := e.retry(ctx, func() error { return e.log.Delete(ctx, revisions) })
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
