package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// errNoEnd: a list does not come to its end.
var errNoEnd = errors.New("the list does not come to its end")

// errOver: a list is larger than it may be.
var errOver error = fullError(fmt.Sprintf("it has more than %d MiB, and is not taken", largest>>20))

// listing is a list while it is read, or a look, and what that takes of the hub. One goroutine uses it.
type listing struct {
	feed *Feed
	// ctx ends with errNoEnd when the list takes too long.
	ctx    context.Context
	cancel context.CancelCauseFunc
	// left is how many bytes may still come, and small how many before it is a large list.
	left, small int64
	// late and silent end ctx: the one after all that a list may take, the other when nothing comes.
	late, silent *time.Timer
	// turns are given back at the end.
	turns []func()
}

// begin waits until there may be one more list. The caller has to close it.
func (f *Feed) begin(ctx context.Context) (*listing, error) {
	l := &listing{feed: f, left: f.largest, small: f.small}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	if err := l.turn(f.config.Turn); err != nil {
		l.cancel(nil)
		return nil, err
	}
	late := func() { l.cancel(errNoEnd) }
	l.late, l.silent = time.AfterFunc(f.within, late), time.AfterFunc(f.silence, late)
	l.silent.Stop()
	return l, nil
}

// turn waits for one of a kind; nil does not.
func (l *listing) turn(of func(context.Context) (func(), error)) error {
	if of == nil {
		return nil
	}
	done, err := of(l.ctx)
	if err == nil {
		l.turns = append(l.turns, done)
	}
	return err
}

// heard notes that something has come, or is to come from now on.
func (l *listing) heard() { l.silent.Reset(l.feed.silence) }

// take notes that bytes have come. It waits until the list may be a large one; what it waits for does not count as silence.
func (l *listing) take(bytes int64) error {
	if l.left -= bytes; l.left < 0 {
		return errOver
	}
	wasSmall := l.small >= 0
	if l.small -= bytes; l.small >= 0 || !wasSmall {
		return nil
	}
	l.late.Stop()
	awaits := l.silent.Stop()
	l.give() // others may be read while it waits
	if err := l.turn(l.feed.config.Large); err != nil {
		return err
	}
	if l.late.Reset(l.feed.within); awaits {
		l.heard()
	}
	return nil
}

// end is when all of the list was taken. What is asked with its ctx goes on.
func (l *listing) end() {
	l.late.Stop()
	l.silent.Stop()
	l.give()
}

// give gives turns back.
func (l *listing) give() {
	for _, done := range l.turns {
		done()
	}
	l.turns = nil
}

// close ends all of it.
func (l *listing) close() {
	l.end()
	l.cancel(nil)
}

// why is an error of what was asked with its ctx: that the list does not end, if that was it.
func (l *listing) why(err error) error {
	if errors.Is(context.Cause(l.ctx), errNoEnd) {
		return errNoEnd
	}
	return err
}

// counted reads what is of a list.
type counted struct {
	io.Reader
	listing *listing
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if n == 0 {
		return 0, err
	}
	c.listing.heard()
	if over := c.listing.take(int64(n)); over != nil {
		return 0, over
	}
	return n, err
}
