package main

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// cable carries connections to the API server, counts their bytes, and can be cut: what goes over it ends then, and nothing new begins.
type cable struct {
	listener net.Listener
	to       string
	// carried is what has gone over it in both directions, in bytes, and begun how many connections.
	carried, begun atomic.Int64

	mu    sync.Mutex
	cut   bool                  // guarded by mu
	conns map[net.Conn]struct{} // guarded by mu
}

func newCable(to string) (*cable, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &cable{listener: listener, to: to, conns: map[net.Conn]struct{}{}}
	go func() { // ends with the listener
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go c.carry(conn) // ends with the connection
		}
	}()
	return c, nil
}

// url is that of the API server at this end.
func (c *cable) url() string { return "https://" + c.listener.Addr().String() }

func (c *cable) close() {
	_ = c.listener.Close()
	c.sever()
}

func (c *cable) carry(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer to.Close()
	if !c.add(from, to) {
		return
	}
	defer c.remove(from, to)
	go func() { // ends with either
		_, _ = io.Copy(to, counted{from, &c.carried})
		_ = to.Close()
	}()
	_, _ = io.Copy(from, counted{to, &c.carried})
}

// add notes connections, unless the cable is cut.
func (c *cable) add(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return false
	}
	c.begun.Add(1)
	for _, conn := range conns {
		c.conns[conn] = struct{}{}
	}
	return true
}

func (c *cable) remove(conns ...net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		delete(c.conns, conn)
	}
}

func (c *cable) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

func (c *cable) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = false
}

// counted counts what is read.
type counted struct {
	io.Reader
	bytes *atomic.Int64
}

// Read implements io.Reader.
func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}
