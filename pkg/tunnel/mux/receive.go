package mux

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// inbox is what a stream has received. Its methods may be called by one reader and by the link's
// reader at the same time.
type inbox struct {
	mu   sync.Mutex
	more sync.Cond // of mu: something came, or nothing will
	// What follows is guarded by mu.

	chunks   []*chunk
	buffered int
	// filling: the link's reader writes behind w of the last chunk, which has to stay.
	filling bool
	// lent: the reader has bytes of the first chunk in its hands.
	lent bool
	// fin: nothing comes any more. err is why, if it is not the end.
	fin      bool
	err      error
	deadline deadline

	// outstanding is the credit that the sender has, and consumed what was read and is not given as
	// credit again. window is what the two and buffered come to.
	outstanding, consumed, window int64
	// reserved is what of window comes from budgets.
	reserved  int64
	creditAt  time.Time
	discarded bool // nobody reads
}

func (in *inbox) init(window int64) {
	in.more.L = &in.mu
	in.window, in.outstanding = window, window
}

// admit takes the credit for bytes that come. ok is false if there is not so much. If drop is true nobody
// wants them.
func (in *inbox) admit(n int) (drop, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.discarded || in.err != nil {
		return true, true
	}
	if in.fin || in.outstanding < int64(n) {
		return true, false
	}
	in.outstanding -= int64(n)
	return false, true
}

// room returns where some of so many bytes are to be put; fill must follow.
func (in *inbox) room(wanted int) []byte {
	in.mu.Lock()
	defer in.mu.Unlock()
	var last *chunk
	if n := len(in.chunks); n > 0 {
		last = in.chunks[n-1]
	}
	if last == nil || last.w == len(last.bytes) {
		last = newChunk(wanted)
		in.chunks = append(in.chunks, last)
	}
	in.filling = true
	return last.bytes[last.w:min(len(last.bytes), last.w+wanted)]
}

// fill says that so many bytes were put there.
func (in *inbox) fill(n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.filling = false
	if in.discarded {
		in.drop()
		return
	}
	in.chunks[len(in.chunks)-1].w += n
	in.buffered += n
	in.more.Broadcast()
}

// next waits for bytes and returns those that are in one piece, which stay there until advance. Its
// error is io.EOF at the end.
func (in *inbox) next() ([]byte, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for {
		switch {
		case in.discarded:
			return nil, net.ErrClosed
		case in.buffered > 0:
			first := in.chunks[0]
			in.lent = true
			return first.bytes[first.r:first.w], nil
		case in.err != nil:
			return nil, in.err
		case in.fin:
			return nil, io.EOF
		case in.deadline.expired:
			return nil, os.ErrDeadlineExceeded
		}
		in.more.Wait()
	}
}

// advance says that so many bytes of next are done with.
func (in *inbox) advance(n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.lent = false
	if in.discarded {
		return // they were dropped meanwhile
	}
	first := in.chunks[0]
	first.r += n
	in.buffered -= n
	in.consumed += int64(n)
	// A chunk that is full and read goes; the last one also if nothing is being put there.
	if first.r == first.w && (len(in.chunks) > 1 || !in.filling) {
		in.chunks[0] = nil
		in.chunks = in.chunks[1:]
		if len(in.chunks) == 0 {
			in.chunks = nil
		}
		first.free()
	}
}

// worthCredit is how much it takes for a frame of credit to be worth its record of TLS, unless the window is small.
const worthCredit = 128 << 10

// credit returns what credit is to be given now, 0 if none. It doubles the window if the sender waits for
// credit, as far as the budgets go.
func (in *inbox) credit(now time.Time, roundTrip time.Duration, most int64, budgets ...*Budget) int64 {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.consumed < max(in.window/4, min(in.window/2, worthCredit)) || in.fin || in.err != nil || in.discarded {
		return 0
	}
	given := in.consumed
	// A quarter of the window in half a round trip, or as much for the time that it took.
	waited := roundTrip > 0 && !in.creditAt.IsZero() && now.Sub(in.creditAt).Seconds() < 2*roundTrip.Seconds()*float64(given)/float64(in.window)
	if waited && 2*in.window <= most && takeAll(in.window, budgets) {
		given += in.window
		in.reserved += in.window
		in.window *= 2
	}
	in.creditAt = now
	in.outstanding += given
	in.consumed = 0
	return given
}

// returned takes credit back that the sender does not need.
func (in *inbox) returned(n int64) (freed int64, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if n > in.outstanding {
		return 0, false
	}
	in.outstanding -= n
	freed = min(n, in.reserved)
	in.reserved -= freed
	in.window -= freed
	in.consumed += n - freed // beyond what was reserved: the first credit, to be given again
	return freed, true
}

// finish says that nothing comes any more: err is nil at the end of the stream. What has come can still be
// read.
func (in *inbox) finish(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.fin || in.err != nil {
		return
	}
	if in.err = err; err == nil {
		in.fin = true
	}
	in.more.Broadcast()
}

// discard says that nobody reads any more, and returns what was reserved from budgets.
func (in *inbox) discard() (freed int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.discarded = true
	in.deadline.stop()
	if !in.filling {
		in.drop()
	}
	freed, in.reserved = in.reserved, 0
	in.more.Broadcast()
	return freed
}

// drop frees what is there. What is in the reader's hands is left to the garbage collector.
func (in *inbox) drop() {
	for i, c := range in.chunks {
		if i > 0 || !in.lent {
			c.free()
		}
	}
	in.chunks, in.buffered = nil, 0
}

func (in *inbox) done() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.fin || in.err != nil
}

func (in *inbox) setDeadline(at time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.deadline.set(at, &in.more)
}

func (in *inbox) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	got, err := in.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, got)
	in.advance(n)
	return n, nil
}

// takeAll takes from all budgets, or from none.
func takeAll(n int64, budgets []*Budget) bool {
	for i, b := range budgets {
		if !b.take(n) {
			for _, taken := range budgets[:i] {
				taken.give(n)
			}
			return false
		}
	}
	return true
}

var errNoReader = errors.New("the other end of the stream does not read any more")
