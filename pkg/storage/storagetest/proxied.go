package storagetest

import (
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// proxied is one connection through a proxy.
type proxied struct {
	proxy          *Proxy
	client, server net.Conn
	talk           conversation
	// lost says that bytes are read and thrown away.
	lost atomic.Bool
	// ended is closed when the connection is cut.
	ended   chan struct{}
	cutting sync.Once
	// pending is the fault that the answer to the current command will meet. It is
	// written before the command is forwarded and read when the answer comes.
	pending atomic.Value
}

// errCut ends a connection on purpose.
var errCut = errors.New("cut")

// cut resets both ends.
func (c *proxied) cut() {
	c.cutting.Do(func() {
		close(c.ended)
		reset(c.client)
		reset(c.server)
	})
}

// run returns when the connection has ended.
func (c *proxied) run() {
	defer c.cut()
	if err := c.handshake(); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		defer c.cut()
		for c.command() == nil {
		}
	})
	both.Go(func() {
		defer c.cut()
		for c.answer() == nil {
		}
	})
	both.Wait()
}

// handshake forwards until the server has let the client in.
func (c *proxied) handshake() error {
	raw, _, err := readPacket(c.server)
	if err != nil {
		return err
	}
	if c.proxy.take("", CutInHandshake) != "" {
		return errCut
	}
	if err := c.send(c.client, raw); err != nil {
		return err
	}
	raw, payload, err := readPacket(c.client)
	if err != nil {
		return err
	}
	flags, extended, err := capabilities(payload)
	if err != nil {
		return err
	}
	c.talk.deprecateEOF = flags&capabilityDeprecateEOF != 0
	c.talk.cacheMetadata = extended&extendedCacheMetadata != 0
	for from, to := c.client, c.server; ; from, to = to, from {
		if err := c.send(to, raw); err != nil {
			return err
		}
		if raw, payload, err = readPacket(to); err != nil {
			return err
		}
		if to == c.server && greets(payload) {
			return c.send(c.client, raw)
		}
	}
}

// send forwards, unless bytes are being lost.
func (c *proxied) send(to net.Conn, raw []byte) error {
	if c.lost.Load() {
		return nil
	}
	_, err := to.Write(raw)
	return err
}

// command forwards one packet of the client.
func (c *proxied) command() error {
	raw, payload, err := readPacket(c.client)
	if err != nil {
		return err
	}
	text := c.talk.command(payload)
	fault := Fault("")
	if text != "" {
		c.proxy.come(text)
		fault = c.proxy.take(text, atStatement...)
	}
	switch fault {
	case CutBeforeQuery:
		return errCut
	case SlowQuery:
		select {
		case <-time.After(slowQuery):
		case <-c.ended:
			return errCut
		}
	}
	c.pending.Store(fault)
	if err := c.send(c.server, raw); err != nil {
		return err
	}
	if fault == CutAfterQuery {
		// The server gets the whole statement, and then finds the client gone.
		if tcp, ok := c.server.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		return errCut
	}
	return nil
}

// answer forwards one packet of the server.
func (c *proxied) answer() error {
	raw, payload, err := readPacket(c.server)
	if err != nil {
		return err
	}
	last := c.talk.answered(payload)
	fault, _ := c.pending.Load().(Fault)
	switch {
	case fault == CutBeforeAnswer:
		return errCut
	case fault == CutInAnswer:
		_ = c.send(c.client, slices.Clone(raw[:max(1, len(raw)/2)]))
		return errCut
	case fault == CutBeforeLastAnswer && last:
		return errCut
	case fault == LoseAnswer:
		c.lost.Store(true)
		return nil
	}
	return c.send(c.client, raw)
}
