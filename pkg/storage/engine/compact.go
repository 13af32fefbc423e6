package engine

import (
	"context"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/server"
)

// deleteAtOnce is how many revisions one statement deletes.
const deleteAtOnce = 500

// othersTurn is how long what another process has compacted is left for that one to delete.
const othersTurn = time.Minute

// garbage are the revisions that can be deleted, in the order in which they have to be: a
// deletion after what it has ended, which would be back for whoever reads the log from its
// beginning. So every process deletes everything, in case the others are killed before they
// have. The queue holds what compactions leave, 8 bytes each.
type garbage struct {
	mu        sync.Mutex
	revisions []int64
	// epoch is that of the contents that the revisions are of.
	epoch int64
	// due is when the first of them may be deleted, and with it all.
	due time.Time
	// replaced says that there may be rows which a restore has replaced.
	replaced bool
	more     chan struct{}
}

func newGarbage() *garbage { return &garbage{more: make(chan struct{}, 1)} }

// reset has the revisions of other contents, and none of those that were there.
func (g *garbage) reset(epoch int64, revisions []int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.revisions, g.epoch, g.due, g.replaced = revisions, epoch, time.Now(), true
	g.wake()
}

// add puts revisions behind those that are there, which are not put off any more. Of what
// this process has compacted some may be there already, since another goroutine may have been
// the first to see that it was.
func (g *garbage) add(revisions []int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.revisions, g.due = append(g.revisions, revisions...), time.Now()
	g.wake()
}

// addOthers puts what another process has compacted behind those that are there.
func (g *garbage) addOthers(revisions []int64) {
	if len(revisions) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.revisions) == 0 {
		g.due = time.Now().Add(othersTurn)
	}
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

// take returns what to delete next: some revisions, or what was replaced. If it is nothing,
// it says when to ask again, unless it is woken before.
func (g *garbage) take() (some trash, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.revisions) > 0 {
		if wait = time.Until(g.due); wait <= 0 {
			n := min(deleteAtOnce, len(g.revisions))
			some.epoch, some.revisions, g.revisions = g.epoch, g.revisions[:n], g.revisions[n:]
			return some, 0
		}
	} else {
		wait = time.Hour
	}
	some.replaced, g.replaced = g.replaced, false
	return some, wait
}

// trash is what is deleted at a time: revisions of an epoch, or some of what was replaced.
type trash struct {
	revisions []int64
	epoch     int64
	replaced  bool
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
	mark, err := e.log.Compact(ctx, revision)
	if err == nil && mark.Epoch == known.Epoch && mark.Compact < revision {
		err = errLost
	}
	if err != nil {
		return 0, e.health.cannotWrite(err)
	}
	if mark.Epoch != known.Epoch {
		return mark.Tail, server.ErrCompacted // with all that was there
	}
	e.state.compact(revision, e.compacted.add)
	return known.Tail, nil
}

// runGarbage deletes what is compacted, and gives the space back. After each statement it rests
// as long as that took, so that writers have the database for themselves at least half of the
// time.
func (e *Engine) runGarbage(ctx context.Context) {
	for {
		some, wait := e.compacted.take()
		begun := time.Now()
		if len(some.revisions) == 0 && !some.replaced {
			if more, err := e.log.Shrink(ctx); err == nil && more {
				pause(ctx, time.Since(begun))
				continue
			}
			select { // what could not be given back now is next time
			case <-e.compacted.more:
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			continue
		}
		err := e.retry(ctx, func() error { return e.deleteGarbage(ctx, some) })
		if err != nil {
			return
		}
		e.metrics.deleted.Add(float64(len(some.revisions)))
		select {
		case <-time.After(time.Since(begun)):
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) deleteGarbage(ctx context.Context, some trash) error {
	if e.lostSince.Load() != 0 {
		return errLost // others may have given out the same revisions since
	}
	if !some.replaced {
		return e.log.Delete(ctx, some.epoch, some.revisions)
	}
	n, err := e.log.DeleteBelowBase(ctx, deleteAtOnce)
	if n > 0 {
		e.compacted.addReplaced() // there may be more
	}
	return err
}
