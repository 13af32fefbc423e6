package mux

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Join carries bytes between two streams, of two links, until both directions have ended, or one stream was reset: the other
// is then, with the same code and text. It returns why it ended, nil if both directions came to their end. It is
// Relay for who hands a stream on; while nothing happens it holds no buffers. It owns the deadlines of both.
func Join(a, b *Stream) error {
	j := &joint{}
	there, back := &course{joint: j, from: a, to: b}, &course{joint: j, from: b, to: a}
	for _, c := range []*course{there, back} {
		// They are called with the lock of a link, and take that of the other: in goroutines, which end at once.
		c.from.onEnd(func(why error) { go c.broke(why) })
		c.from.onStop(func() { go c.stopped() })
	}
	var other sync.WaitGroup
	other.Go(back.carry) // ends as there does: what ends one way for good ends the other
	there.carry()
	other.Wait()
	_ = a.Close()
	_ = b.Close()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// joint is what the two directions have in common.
type joint struct {
	mu sync.Mutex
	// What follows is guarded by mu.

	settled bool
	err     error
}

// course is one direction.
type course struct {
	*joint
	from, to *Stream
	// hurries is set when who sends has gone: writes have a deadline then. given: all that he sent was passed on.
	hurries, given atomic.Bool
}

// broke ends both streams.
func (c *course) broke(why error) {
	c.mu.Lock()
	first := !c.settled
	if first {
		c.settled, c.err = true, why
	}
	c.mu.Unlock()
	if !first {
		return
	}
	var told *Error
	if !errors.As(why, &told) {
		told = &Error{Broken, Reason(why)}
	}
	c.from.Reset(told.Code, told.Text)
	c.to.Reset(told.Code, told.Text)
}

// stopped is told that the end which c carries from has gone: what it sent is passed on as long as that is taken.
func (c *course) stopped() {
	c.hurries.Store(true)
	c.hurry() // a write that waits
	if c.given.Load() {
		_ = c.to.Close()
	}
}

// hurry bounds how long a write may wait while nothing is taken.
func (c *course) hurry() {
	_ = c.to.SetWriteDeadline(time.Now().Add(linger + 2*c.to.RoundTrip()))
}

// carry passes on what comes.
func (c *course) carry() {
	for {
		p, err := c.from.Next()
		switch {
		case errors.Is(err, io.EOF):
			c.allGiven()
			return
		case errors.Is(err, net.ErrClosed): // the other direction has found that nobody would take it
			return
		case err != nil:
			c.broke(err)
			return
		}
		if c.hurries.Load() {
			c.hurry()
		}
		n, err := c.to.Write(p)
		c.from.Done(n)
		switch {
		case errors.Is(err, errNoReader): // what he sent is still on its way: the other direction ends both
			return
		case n > 0 && errors.Is(err, os.ErrDeadlineExceeded): // slow, but taken
		case err != nil:
			c.broke(err)
			return
		}
	}
}

// allGiven ends the direction, and says so if who sent does not read any more either.
func (c *course) allGiven() {
	c.given.Store(true)
	if c.from.isStopped() {
		_ = c.to.Close()
		return
	}
	_ = c.to.CloseWrite() // fails only if nobody reads any more
}
