package app

import (
	"context"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/notes"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// before is how far a hub had come that ended in peace, on this machine since it was started: what the API server said last of each view, the next hub goes on from there. So a hub that is updated does not
// read everything again. It is believed if the cluster is the same, and once: it is gone from the disk before anything goes on from it. Clocks of nodes may be wrong; how long ago it was is by the time since the
// machine was started.
type before struct {
	shelf *notes.Shelf[followed]
	last  followed

	once  sync.Once
	known chan struct{} // closed when it is known whether the cluster is the same
	same  bool          // may be read when known is closed
}

// followed is what a hub leaves that ends.
type followed struct {
	// Boot names the machine's start, and At is how long ago that was.
	Boot string        `json:"boot"`
	At   time.Duration `json:"at"`
	// Ages are for how long the API server had said nothing of each view.
	Ages map[string]time.Duration `json:"ages"`
}

// openBefore takes from a book what the hub before has left.
func openBefore(book *notes.Book) (*before, error) {
	b := &before{known: make(chan struct{})}
	var err error
	if b.shelf, err = notes.NewShelf[followed](book, "followed", 1); err != nil {
		return b, err
	}
	last, ok := b.shelf.Get("last")
	if !ok {
		return b, nil
	}
	b.shelf.Delete("last")
	if err := book.Flush(); err != nil { // it would be believed once more
		return b, err
	}
	b.last = last
	return b, nil
}

// settle is told, first, whether the cluster is the one of which the views are.
func (b *before) settle(same bool) {
	b.once.Do(func() {
		b.same = same
		close(b.known)
	})
}

// heard returns when the hub before heard of a view last, zero if that is not known or may not be of the same cluster. It waits until that is known.
func (b *before) heard(ctx context.Context, key view.Key) time.Time {
	age, ok := b.last.Ages[key.String()]
	boot, at, err := sinceBoot()
	if !ok || err != nil || boot != b.last.Boot || at < b.last.At {
		return time.Time{}
	}
	select {
	case <-b.known:
	case <-ctx.Done():
	}
	if ctx.Err() != nil || !b.same {
		return time.Time{}
	}
	return time.Now().Add(b.last.At - at - age)
}

// leave notes how far views have come, for the hub that is next.
func (b *before) leave(book *notes.Book, heard map[view.Key]time.Time) error {
	boot, at, err := sinceBoot()
	if err != nil || len(heard) == 0 {
		return nil // what a machine cannot tell is not believed either
	}
	now := followed{Boot: boot, At: at, Ages: map[string]time.Duration{}}
	for key, when := range heard {
		now.Ages[key.String()] = time.Since(when)
	}
	b.shelf.Put("last", now)
	return book.Flush()
}
