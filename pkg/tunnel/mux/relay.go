package mux

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Relay carries bytes between a stream and a connection until both directions have ended, or one
// broke; both are closed then. It returns why it ended, nil if both directions came to their end. While nothing
// happens it holds no buffers.
//
// Who closes his connection for good has what he sent delivered as long as somebody takes it, and nothing waits for
// him any longer; who closes one direction gets the other. Where the system can tell the two apart is
// in peer. It owns the deadlines of both.
func Relay(st *Stream, conn net.Conn) error {
	r := &relay{stream: st, conn: conn, peer: peerOf(conn)}
	st.onEnd(func(why error) { // also while a write to conn waits
		r.settle(why)
		r.cut()
	})
	st.onStop(r.stopped)
	// The one whose waiting takes more stack begins with an empty one: that is what an idle connection costs.
	var from sync.WaitGroup
	from.Go(r.fromConn) // ends with either of the two
	r.toConn()
	from.Wait()
	_ = conn.Close()
	_ = st.Close()
	return r.err
}

const (
	// patrol is how often a connection is looked at whose bytes wait for credit.
	patrol = 200 * time.Millisecond
	// linger is, with two round trips, how long bytes of somebody who has gone wait while nobody takes any.
	linger = 600 * time.Millisecond
)

type relay struct {
	stream *Stream
	conn   net.Conn
	peer   *peer // nil if the connection's other end cannot be looked at
	// ended is how many directions have come to their end, and given that all that the stream has was written to conn.
	ended atomic.Int32
	given atomic.Bool
	// hurries is set when the stream's other end has gone: writes to conn have a deadline then.
	hurries atomic.Bool
	// What follows is of fromConn. owed is how long it waits before it looks at the connection again. With raw, look looks at conn, and looked
	// is what it has found; else first is for reading without waiting with a large buffer.
	owed   time.Duration
	raw    syscall.RawConn
	look   func(fd uintptr) bool
	looked looked
	first  []byte

	mu sync.Mutex
	// What follows is guarded by mu.

	settled bool
	err     error
	done    chan struct{} // see over; nil if nobody waits
}

// settle notes why it ended. It reports whether that is the first reason, which counts.
func (r *relay) settle(why error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled {
		return false
	}
	r.settled, r.err = true, why
	if r.done != nil {
		close(r.done)
	}
	return true
}

// cut closes the connection at once; its other end sees that it broke, if its protocol can say so. It does not wait.
func (r *relay) cut() {
	conn := r.conn
	if below, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = below.NetConn() // TLS would say that it ends, and wait until that is written
	}
	if abrupt, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = abrupt.SetLinger(0)
	}
	_ = conn.Close()
}

// broke ends both.
func (r *relay) broke(why error) {
	if r.settle(why) {
		var told *Error
		if !errors.As(why, &told) {
			told = &Error{Broken, Reason(why)}
		}
		r.stream.Reset(told.Code, told.Text)
		r.cut()
	}
}

// linger is how long bytes of somebody who has gone wait while nobody takes any.
func (r *relay) linger() time.Duration { return linger + 2*r.stream.RoundTrip() }

// stopped is told that the stream's other end has gone: what it sent is written as long as that is taken.
func (r *relay) stopped() {
	r.hurries.Store(true)
	r.hurry() // a write that waits
	if r.given.Load() && r.settle(nil) {
		_ = r.conn.Close()
	}
}

// hurry bounds how long a write to conn may wait while nothing is taken.
func (r *relay) hurry() { _ = r.conn.SetWriteDeadline(time.Now().Add(r.linger())) }

// toConn passes on what comes on the stream.
func (r *relay) toConn() {
	for {
		p, err := r.stream.Next()
		if errors.Is(err, io.EOF) {
			r.allGiven()
			return
		}
		if err != nil {
			r.broke(err)
			return
		}
		if r.hurries.Load() {
			r.hurry()
		}
		n, err := r.conn.Write(p)
		r.stream.Done(n)
		r.pause(r.pace(0, n))
		if n > 0 && errors.Is(err, os.ErrDeadlineExceeded) { // slow, but taken
			continue
		}
		if err != nil {
			r.broke(err)
			return
		}
	}
}

// allGiven ends the direction to the connection.
func (r *relay) allGiven() {
	if half, ok := r.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	r.given.Store(true)
	if r.stream.isStopped() {
		if r.settle(nil) {
			_ = r.conn.Close()
		}
		return
	}
	r.end()
}

// end notes that a direction has come to its end. After the second nobody looks at the connection any more.
func (r *relay) end() (both bool) {
	both = r.ended.Add(1) == 2
	if both && r.settle(nil) {
		_ = r.conn.Close()
	}
	return both
}

const (
	pieceBytes = 2 * quantum
	firstBytes = 256
)

var pieces = sync.Pool{New: func() any {
	b := make([]byte, pieceBytes)
	return &b
}}

// fromConn passes on what comes on the connection.
func (r *relay) fromConn() {
	piece := r.pieceOfMessage
	if r.raw = rawOf(r.conn); r.raw != nil {
		piece, r.look = r.piece, r.lookNow
	}
	for {
		r.pause(r.owed)
		err := piece()
		switch {
		case errors.Is(err, io.EOF):
			r.allTaken()
			return
		case errors.Is(err, errNoReader): // what it has for us may still be on its way
			if _, err = io.Copy(io.Discard, r.conn); err != nil {
				r.broke(err)
			}
			return
		case err != nil:
			r.broke(err)
			return
		}
	}
}

// allTaken ends the direction from the connection: it was closed, or will say no more.
func (r *relay) allTaken() {
	if !r.peer.gone() {
		_ = r.stream.CloseWrite()
		if r.end() || !r.peer.waitGone() {
			return
		}
	}
	if r.settle(nil) {
		_ = r.stream.Close()
		r.cut()
	}
}

// errLeft: there is nobody who would want to know, and nobody takes it.
var errLeft = &Error{Canceled, "the connection was closed, and what it sent is not taken"}

// pass writes to the stream. While that waits for credit it looks whether who sent it is still there.
func (r *relay) pass(p []byte) error {
	r.owed = r.pace(len(p), 0)
	stuck := time.Duration(0)
	for {
		n, err := r.stream.writeWithin(p, patrol)
		p = p[n:]
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n > 0 || !r.peer.gone():
			stuck = 0
		default:
			if stuck += patrol; stuck > r.linger() {
				return errLeft
			}
		}
	}
}

// piece waits until there is something, and passes it on. It waits without a buffer.
func (r *relay) piece() error {
	err := r.raw.Read(r.look)
	if r.looked.buffer == nil {
		if err == nil {
			err = r.looked.err
		}
		return cmp.Or(err, io.EOF)
	}
	buffer, n := r.looked.buffer, r.looked.n
	r.looked = looked{}
	defer pieces.Put(buffer)
	if counts, ok := r.conn.(taker); ok {
		counts.Took(n)
	}
	return r.pass((*buffer)[:n])
}

// looked is what a look at a connection has found.
type looked struct {
	buffer *[]byte // nil if there is nothing
	n      int
	err    error // nil at the end
}

// lookNow reads what there is into a buffer of its own. It reports whether there was something, or nothing will come.
func (r *relay) lookNow(fd uintptr) bool {
	buffer := pieces.Get().(*[]byte)
	n, err := readNow(fd, *buffer)
	for errors.Is(err, syscall.EINTR) {
		n, err = readNow(fd, *buffer)
	}
	if n > 0 && err == nil {
		r.looked = looked{buffer: buffer, n: n}
		return true
	}
	pieces.Put(buffer)
	r.looked = looked{err: os.NewSyscallError("read", err)}
	return !errors.Is(err, syscall.EAGAIN)
}

// taker is a connection that counts what is read of it, and is told what was read past its Read.
type taker interface{ Took(n int) }

// rawOf returns a connection that can be read without its Read, nil if it cannot: its Read may do more.
func rawOf(conn net.Conn) syscall.RawConn {
	if !canLook {
		return nil
	}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn, taker:
	default:
		return nil
	}
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// pieceOfMessage is piece of a connection that has messages, as TLS has records: nobody can look whether there is one. It
// waits with a small buffer, and takes the rest of a message that has more in a large one.
func (r *relay) pieceOfMessage() error {
	if r.first == nil {
		r.first = make([]byte, firstBytes)
	}
	n, err := r.conn.Read(r.first)
	if n < len(r.first) || err != nil {
		return cmp.Or(r.passSome(r.first[:n]), err)
	}
	buffer := pieces.Get().(*[]byte)
	defer pieces.Put(buffer)
	copy(*buffer, r.first)
	if r.conn.SetReadDeadline(time.Unix(1, 0)) == nil { // what is there, and not what may come
		var more int
		more, err = r.conn.Read((*buffer)[n:])
		n += more
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
		err = cmp.Or(err, r.conn.SetReadDeadline(time.Time{}))
	}
	return cmp.Or(r.passSome((*buffer)[:n]), err)
}

func (r *relay) passSome(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	return r.pass(p)
}

// Reason is an error of a connection without its addresses, which the other end has no use for.
func Reason(err error) string {
	var operation *net.OpError
	if errors.As(err, &operation) {
		err = operation.Err
	}
	return err.Error()
}
