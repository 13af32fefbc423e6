package mux

import (
	"cmp"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// Relay carries bytes between a stream and a connection until both directions have ended, or one
// broke; both are closed then. It returns why it ended, nil if both directions came to their end. While nothing
// happens it holds no buffers.
func Relay(st *Stream, conn net.Conn) error {
	r := &relay{stream: st, conn: conn}
	st.onEnd(func(why error) { // also while a write to conn waits
		r.first(why)
		_ = conn.Close()
	})
	var up sync.WaitGroup
	up.Go(r.toConn) // ends with either of the two
	r.fromConn()
	up.Wait()
	_ = conn.Close()
	_ = st.Close()
	return r.err
}

type relay struct {
	stream *Stream
	conn   net.Conn

	mu  sync.Mutex
	err error // guarded by mu
}

// first notes why it ended. It reports whether that is the first reason, which counts.
func (r *relay) first(why error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return false
	}
	r.err = why
	return true
}

// broke ends both.
func (r *relay) broke(why error) {
	if r.first(why) {
		var told *Error
		if !errors.As(why, &told) {
			told = &Error{Broken, Reason(why)}
		}
		r.stream.Reset(told.Code, told.Text)
		_ = r.conn.Close()
	}
}

// toConn passes on what comes on the stream.
func (r *relay) toConn() {
	for {
		p, err := r.stream.Next()
		if errors.Is(err, io.EOF) {
			if half, ok := r.conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			return
		}
		if err != nil {
			r.broke(err)
			return
		}
		n, err := r.conn.Write(p)
		r.stream.Done(n)
		if err != nil {
			r.broke(err)
			return
		}
	}
}

const pieceBytes = 32 << 10

var pieces = sync.Pool{New: func() any {
	b := make([]byte, pieceBytes)
	return &b
}}

// fromConn passes on what comes on the connection.
func (r *relay) fromConn() {
	for {
		err := r.piece()
		if errors.Is(err, io.EOF) {
			_ = r.stream.CloseWrite()
			return
		}
		if err != nil {
			r.broke(err)
			return
		}
	}
}

// piece waits until there is something, and passes it on.
func (r *relay) piece() error {
	if err := waitReadable(r.conn); err != nil {
		return err
	}
	buffer := pieces.Get().(*[]byte)
	defer pieces.Put(buffer)
	for {
		n, err := r.conn.Read(*buffer)
		if n > 0 {
			if _, err := r.stream.Write((*buffer)[:n]); err != nil {
				return err
			}
		}
		if err != nil || n < len(*buffer) {
			return err
		}
	}
}

// waitReadable waits until a connection has something to read, or has ended, without a buffer. Of a connection that cannot
// tell it returns at once.
func waitReadable(conn net.Conn) error {
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return err
	}
	var one [1]byte
	var failed error // looking takes the socket's error away: Read would not see it
	err = raw.Read(func(fd uintptr) bool {
		_, _, failed = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if errors.Is(failed, syscall.EAGAIN) || errors.Is(failed, syscall.EINTR) {
			failed = nil
			return false
		}
		return true
	})
	return cmp.Or(err, failed)
}

// Reason is an error of a connection without its addresses, which the other end has no use for.
func Reason(err error) string {
	var operation *net.OpError
	if errors.As(err, &operation) {
		err = operation.Err
	}
	return err.Error()
}
