package mux

import (
	"context"
	"net"
	"os"
	"sync"
	"time"
)

// Stream is one stream of a Session. It is a net.Conn that can be closed in one direction.
type Stream struct {
	session *Session
	id      uint32
	// window is the credit that the other side has at first.
	window int64
	in     inbox

	// What follows is guarded by the session's mutex.

	sent     sync.Cond // of the session's mutex: something was sent, or nothing will be
	credit   int64     // bytes that may be sent
	first    int64     // of credit: what there was at the beginning
	out      []byte    // of a Write under way
	queued   bool      // among those that want to send DATA or FIN
	share    *share    // what it sends counts for
	flagged  bool      // among those that want to send something else
	wants    wants
	finished bool  // FIN is wanted, or was sent
	finSent  bool  // it was sent
	stop     bool  // FIN is to have flagStop
	sendErr  error // why nothing can be sent
	usedAt   time.Time
	deadline deadline

	// result of OPEN comes here, nil after that. Only of streams that this side opened.
	result chan error
	// cancel ends the context of whoever was asked to accept the stream; nil after the answer.
	cancel context.CancelCauseFunc
	gone   bool // not among the session's streams any more
	// ended is called with the reason when both directions end at once, and stopped when the other side does not
	// read any more; nil if nobody asked.
	ended   func(error)
	stopped func()
}

// wants are what a stream has to send besides DATA and FIN.
type wants struct {
	open    bool
	request []byte // of OPEN
	// result and reset are what RESULT and RESET say; nil if they are not wanted.
	result, reset *Error
	credit, back  int64
}

var _ net.Conn = &Stream{}

// Read implements net.Conn.
func (st *Stream) Read(p []byte) (int, error) {
	n, err := st.in.read(p)
	if n > 0 {
		st.giveCredit()
	}
	return n, err
}

// Next waits for bytes of the stream, and returns what there is in one piece. It belongs to the caller
// until Done, which must follow. The error is io.EOF at the end. Next is Read for those who pass bytes on: they
// are not copied, and credit is given once they have gone.
func (st *Stream) Next() ([]byte, error) { return st.in.next() }

// Done says that so many bytes of Next are done with.
func (st *Stream) Done(n int) {
	st.in.advance(n)
	st.giveCredit()
}

func (st *Stream) giveCredit() {
	s := st.session
	n := st.in.credit(time.Now(), s.RoundTrip(), s.config.MaxWindow, s.budget, s.config.Budget)
	if n == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.gone {
		return
	}
	st.wants.credit += n
	s.flag(st)
}

// Write implements net.Conn. It returns once all is on its way.
func (st *Stream) Write(p []byte) (int, error) {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return st.write(p)
}

// writeWithin is Write that waits for credit no longer than so; its error is os.ErrDeadlineExceeded then. It is for who
// sets no deadlines.
func (st *Stream) writeWithin(p []byte, most time.Duration) (int, error) {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	if st.credit < int64(len(p)) { // else no time is needed
		st.deadline.set(time.Now().Add(most), &st.sent)
		defer st.deadline.set(time.Time{}, &st.sent)
	}
	return st.write(p)
}

// write is Write. mu must be held.
func (st *Stream) write(p []byte) (int, error) {
	s := st.session
	for len(st.out) > 0 && st.sendErr == nil { // another Write: one after the other
		st.sent.Wait()
	}
	if st.finished && st.sendErr == nil {
		return 0, net.ErrClosed
	}
	st.out = p
	if s.enqueue(st) {
		s.writeFor(st)
	}
	for len(st.out) > 0 && st.sendErr == nil && !st.deadline.expired {
		st.sent.Wait()
	}
	n := len(p) - len(st.out)
	left := len(st.out)
	st.out = nil
	st.sent.Broadcast()
	switch {
	case st.sendErr != nil && left > 0:
		return n, st.sendErr
	case left > 0:
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}

// CloseWrite ends this direction, after what was written.
func (st *Stream) CloseWrite() error {
	s := st.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.sendErr != nil {
		return st.sendErr
	}
	s.finish(st, false)
	return nil
}

// Close ends the stream: what was written is delivered, and what comes is dropped.
func (st *Stream) Close() error {
	s := st.session
	s.mu.Lock()
	st.deadline.stop()
	switch {
	case st.gone:
		if st.sendErr == nil {
			st.sendErr = net.ErrClosed
			st.sent.Broadcast()
		}
	case len(st.out) > 0: // a Write is under way
		s.abort(st, &Error{Canceled, "it was closed"})
	case st.finSent && !st.stop: // FIN went without saying that nobody reads
		st.finSent = false
		s.finish(st, true)
	default:
		s.finish(st, true)
	}
	s.mu.Unlock()
	s.free(st.in.discard())
	return nil
}

// Reset ends the stream at once, and tells the other side why.
func (st *Stream) Reset(code Code, text string) {
	s := st.session
	s.mu.Lock()
	s.abort(st, &Error{code, text})
	s.mu.Unlock()
	s.free(st.in.discard())
}

// onEnd has f called when the stream is reset by either side, or its link ends; at once if that has
// happened. f must not block.
func (st *Stream) onEnd(f func(why error)) {
	s := st.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.gone && st.sendErr != nil && st.sendErr != errNoReader {
		f(st.sendErr)
		return
	}
	st.ended = f
}

// RoundTrip is that of its link: see Session.
func (st *Stream) RoundTrip() time.Duration { return st.session.RoundTrip() }

// onStop has f called when the other side does not read any more, although the stream has not ended at once; at
// once if that has happened. f must not block.
func (st *Stream) onStop(f func()) {
	s := st.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.sendErr == errNoReader {
		f()
		return
	}
	st.stopped = f
}

// isStopped reports whether the other side does not read any more.
func (st *Stream) isStopped() bool {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return st.sendErr == errNoReader
}

// LocalAddr implements net.Conn: the link's.
func (st *Stream) LocalAddr() net.Addr { return st.session.conn.LocalAddr() }

// RemoteAddr implements net.Conn: the link's.
func (st *Stream) RemoteAddr() net.Addr { return st.session.conn.RemoteAddr() }

// SetDeadline implements net.Conn.
func (st *Stream) SetDeadline(at time.Time) error {
	_ = st.SetReadDeadline(at)
	return st.SetWriteDeadline(at)
}

// SetReadDeadline implements net.Conn.
func (st *Stream) SetReadDeadline(at time.Time) error {
	st.in.setDeadline(at)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (st *Stream) SetWriteDeadline(at time.Time) error {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	st.deadline.set(at, &st.sent)
	return nil
}

// Incoming is a stream that the other side wants to open.
type Incoming struct {
	// Request is what it is for, as JSON.
	Request []byte
	stream  *Stream
}

// Accept opens the stream.
func (i *Incoming) Accept() *Stream { return i.AcceptFor(Share{}) }

// AcceptFor is Accept of a stream that counts for a Share, in this direction.
func (i *Incoming) AcceptFor(of Share) *Stream {
	i.stream.session.answer(i.stream, &of, OK, "")
	return i.stream
}

// Refuse does not open it, and says why.
func (i *Incoming) Refuse(code Code, text string) {
	i.stream.session.answer(i.stream, nil, code, text)
}
