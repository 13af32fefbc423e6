package carrier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

// LinkPath is what is upgraded to WebSocket.
const LinkPath = "/v1/link"

const (
	// messageBytes is how much of what is written a WebSocket frame holds at most at an agent.
	messageBytes = 32 << 10
	// headerBytes bounds what a server may answer until it has upgraded: nothing is known of it by then.
	headerBytes = 64 << 10
)

var writeBuffers = &sync.Pool{}

// Accept upgrades a request to WebSocket and returns what it carries. It has answered if it fails.
func Accept(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
	upgrader := websocket.Upgrader{
		WriteBufferPool: writeBuffers,
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			http.Error(w, LinkPath+" is for agents, by WebSocket: "+reason.Error(), status)
		},
	}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil, fmt.Errorf("upgrade to WebSocket: %w", err)
	}
	return &conn{ws: ws}, nil
}

// dialWebSocket asks a server, or a proxy in front of it, for a WebSocket.
func dialWebSocket(ctx context.Context, connect func(ctx context.Context, network, address string) (net.Conn, error), address string) (net.Conn, error) {
	answering := &bounded{left: headerBytes}
	dialer := websocket.Dialer{
		WriteBufferSize: messageBytes,
		WriteBufferPool: writeBuffers,
		NetDialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			tcp, err := connect(ctx, network, address)
			if err != nil {
				return nil, err
			}
			mux.Tune(tcp)
			host, _, _ := net.SplitHostPort(address)
			// Not verified: see the package's comment. What counts is the TLS inside.
			outer := tls.Client(tcp, &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
			if err := outer.HandshakeContext(ctx); err != nil {
				_ = tcp.Close()
				return nil, fmt.Errorf("HTTPS: %w", err)
			}
			return answering, answering.begin(outer)
		},
	}
	stop := context.AfterFunc(ctx, answering.abort)
	defer stop()
	ws, answer, err := dialer.DialContext(ctx, "wss://"+address+LinkPath, nil)
	switch {
	case err == nil:
		answering.done()
		return &conn{ws: ws}, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("no answer in time to GET %s: %w", LinkPath, ctx.Err())
	case errors.Is(err, websocket.ErrBadHandshake) && answer != nil:
		return nil, fmt.Errorf("it answers GET %s with %s, and not with a WebSocket", LinkPath, answer.Status)
	}
	return nil, err
}

// bounded is a connection of which only so much is read until it is done.
type bounded struct {
	net.Conn

	mu   sync.Mutex
	left int // guarded by mu; negative: no bound
	// aborted is guarded by mu.
	aborted bool
}

// begin has the bound hold for a connection.
func (b *bounded) begin(conn net.Conn) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.aborted {
		_ = conn.Close()
		return context.Canceled
	}
	b.Conn = conn
	return nil
}

// done ends the bound.
func (b *bounded) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = -1
}

// abort ends what waits for an answer.
func (b *bounded) abort() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.aborted = true
	if b.Conn != nil {
		_ = b.Conn.Close()
	}
}

var errLongAnswer = errors.New("it answers with a header that does not end")

// Read implements net.Conn.
func (b *bounded) Read(p []byte) (int, error) {
	b.mu.Lock()
	left := b.left
	b.mu.Unlock()
	if left < 0 {
		return b.Conn.Read(p)
	}
	if left == 0 {
		return 0, errLongAnswer
	}
	n, err := b.Conn.Read(p[:min(len(p), left)])
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left > 0 {
		b.left -= n
	}
	return n, err
}

// conn is the bytes in the binary messages of a WebSocket. Where one ends means nothing.
type conn struct {
	ws *websocket.Conn

	// message is the rest of the one that is being read, and failed why no more can be. They are the reader's.
	message io.Reader
	failed  error

	writing sync.Mutex // held while a message is written
	mu      sync.Mutex
	until   time.Time // the deadline for writes; guarded by mu
}

// Read implements net.Conn. After an error it returns the same one: what is left of a frame cannot be found again.
func (c *conn) Read(p []byte) (int, error) {
	for c.failed == nil {
		if c.message == nil {
			c.message, c.failed = c.next()
			continue
		}
		n, err := c.message.Read(p)
		if errors.Is(err, io.EOF) {
			c.message, err = nil, nil
		}
		c.failed = ended(err)
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, c.failed
}

func (c *conn) next() (io.Reader, error) {
	kind, message, err := c.ws.NextReader()
	if err != nil {
		return nil, ended(err)
	}
	if kind != websocket.BinaryMessage {
		return nil, errors.New("a message of the WebSocket is not binary")
	}
	return message, nil
}

// ended is the error of a connection: a WebSocket that was closed is at its end.
func ended(err error) error {
	if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
		return io.EOF
	}
	return err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	until := c.until
	c.mu.Unlock()
	_ = c.ws.SetWriteDeadline(until) // always nil
	if err := c.ws.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close implements net.Conn. It waits for nobody: the TLS inside has said that it ends, and the outer one would
// wait for seconds to say it to who reads nothing.
func (c *conn) Close() error {
	below := c.ws.NetConn()
	if b, ok := below.(*bounded); ok {
		below = b.Conn
	}
	if outer, ok := below.(*tls.Conn); ok {
		below = outer.NetConn()
	}
	return below.Close()
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.ws.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.ws.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.ws.NetConn().SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn. It is for a write that is under way as well, which the library's is not.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	return c.ws.NetConn().SetWriteDeadline(t)
}
