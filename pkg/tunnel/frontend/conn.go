package frontend

import (
	"crypto/tls"
	"net"
	"time"
)

// conn is a client's connection: it counts what passes.
type conn interface {
	net.Conn
	CloseWrite() error
	// connected tells the client that it is.
	connected() error
	// countIn has bytes counted from now on.
	countIn(*Carried)
}

// say writes an answer in a bounded time.
func say(c net.Conn, answer string) error {
	_ = c.SetWriteDeadline(time.Now().Add(answerTimeout))
	if _, err := c.Write([]byte(answer)); err != nil {
		return ErrLeft
	}
	return c.SetWriteDeadline(time.Time{})
}

// unixConn is a client at a Unix socket.
type unixConn struct {
	*net.UnixConn
	carried *Carried // nil before it is
	// alone is set while the answer may be unread: who reads bytes of the target with it throws them away, or gives up.
	alone bool
}

func (c *unixConn) connected() error {
	c.alone = true
	return say(c.UnixConn, established)
}

// Pace implements mux.Paced.
func (c *unixConn) Pace(sent, received int) time.Duration { return pace(c.carried, sent, received) }

func (c *unixConn) countIn(carried *Carried) { c.carried = carried }

func (c *unixConn) Read(p []byte) (int, error) {
	n, err := c.UnixConn.Read(p)
	if c.carried != nil {
		c.carried.Sent.Add(int64(n))
	}
	return n, err
}

// Took counts what package mux has read of the socket.
func (c *unixConn) Took(n int) { c.carried.Sent.Add(int64(n)) }

func (c *unixConn) Write(p []byte) (int, error) {
	if c.alone {
		waitUntilRead(c.UnixConn)
		c.alone = false
	}
	n, err := c.UnixConn.Write(p)
	if c.carried != nil {
		c.carried.Received.Add(int64(n))
	}
	return n, err
}

// tlsConn is a client with TLS. The answer is a record of its own, and who reads gets one record at a time.
type tlsConn struct {
	*tls.Conn
	carried *Carried // nil before it is
}

func (c *tlsConn) connected() error { return say(c.Conn, established) }

// Pace implements mux.Paced.
func (c *tlsConn) Pace(sent, received int) time.Duration { return pace(c.carried, sent, received) }

func (c *tlsConn) countIn(carried *Carried) { c.carried = carried }

func (c *tlsConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.carried != nil {
		c.carried.Sent.Add(int64(n))
	}
	return n, err
}

func (c *tlsConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.carried != nil {
		c.carried.Received.Add(int64(n))
	}
	return n, err
}

func pace(c *Carried, sent, received int) time.Duration {
	if sent > 0 {
		return c.PaceSent(sent)
	}
	return c.PaceReceived(received)
}

const (
	// readLooks is how long it is waited between two looks whether a client has read, at first and at most; readBound
	// is when it is not waited any longer.
	firstReadLook, lastReadLook = 50 * time.Microsecond, 10 * time.Millisecond
	readBound                   = 5 * time.Second
)

// waitUntilRead waits until what was written to a Unix socket has been read, in a bounded time.
func waitUntilRead(c *net.UnixConn) {
	until := time.Now().Add(readBound)
	for look := firstReadLook; unread(c) > 0 && time.Now().Before(until); look = min(2*look, lastReadLook) {
		time.Sleep(look)
	}
}
