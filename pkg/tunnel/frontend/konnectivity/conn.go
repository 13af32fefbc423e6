package konnectivity

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/proto/client"

	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
)

const (
	// queueBytes is what of a connection may wait for the target before the whole stream does.
	queueBytes = 64 << 10
	// dataBytes bounds DATA to clients.
	dataBytes = 32 << 10
	// stallTimeout is when a connection of which the target takes nothing is ended.
	stallTimeout = 30 * time.Second
	// patrol is how often it is looked at meanwhile, and linger, with two round trips, how long that goes on when the client
	// has closed it.
	patrol, linger = 200 * time.Millisecond, 600 * time.Millisecond
	// settling is how long the first bytes of a target wait for the client to speak first: stock clients drop a connection whose
	// DATA comes before the goroutine that dialed has noted that it is there, which the protocol has no way to tell.
	settling = 100 * time.Millisecond
)

var (
	errStalled = errors.New("the target took nothing for 30 s, and this protocol cannot wait longer")
	errLeft    = errors.New("the client closed the connection, and what it sent is not taken")
)

// conn is one connection.
type conn struct {
	tunnel  *tunnel
	id      int64
	carried *frontend.Carried
	// spoke is closed when the client has sent something.
	spoke     chan struct{}
	spokeOnce sync.Once
	saidOnce  sync.Once

	mu   sync.Mutex
	more sync.Cond // of mu
	// What follows is guarded by mu.

	queue  [][]byte // from the client
	queued int      // bytes
	closed bool     // nothing comes any more
	broken bool     // nothing goes any more
}

func newConn(t *tunnel, id int64, carried *frontend.Carried) *conn {
	c := &conn{tunnel: t, id: id, carried: carried, spoke: make(chan struct{})}
	c.more.L = &c.mu
	return c
}

// take takes bytes of the client. It waits while too many wait.
func (c *conn) take(data []byte) error {
	c.spokeOnce.Do(func() { close(c.spoke) })
	if len(data) == 0 {
		return nil
	}
	ctx := c.tunnel.stream.Context()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued >= queueBytes {
		stop := context.AfterFunc(ctx, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.more.Broadcast()
		})
		defer stop()
	}
	for c.queued >= queueBytes && !c.broken && !c.closed && ctx.Err() == nil {
		c.more.Wait()
	}
	if c.broken || c.closed {
		return nil // it was told, or will be
	}
	c.queue = append(c.queue, data)
	c.queued += len(data)
	c.more.Broadcast()
	return ctx.Err()
}

// close says that nothing comes from the client any more.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.more.Broadcast()
}

// carry carries bytes until the connection has ended.
func (c *conn) carry() {
	var up sync.WaitGroup
	up.Go(c.toTarget) // ends with the stream of the tunnel, or the client's
	why := c.toClient()
	c.close()
	up.Wait()
	c.carried.End(why)
}

// next waits for bytes of the client; ok is false if there are no more.
func (c *conn) next() (data []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) == 0 && !c.closed {
		c.more.Wait()
	}
	if len(c.queue) == 0 {
		return nil, false
	}
	data = c.queue[0]
	c.queue[0] = nil
	if c.queue = c.queue[1:]; len(c.queue) == 0 {
		c.queue = nil
	}
	return data, true
}

// done says that bytes of the client were written, or will not be.
func (c *conn) done(n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queued -= n
	c.broken = c.broken || err != nil
	c.more.Broadcast()
}

func (c *conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// toTarget passes on what the client sends, and then ends the connection: there is no closing of one direction.
func (c *conn) toTarget() {
	for {
		data, ok := c.next()
		if !ok {
			_ = c.carried.Stream.Close()
			return
		}
		err := c.write(data)
		c.done(len(data), err)
		c.pause(c.carried.PaceSent(len(data)))
		if err != nil {
			c.carried.Stream.Reset(mux.Canceled, err.Error())
			return
		}
	}
}

// write writes to the target as long as that takes something.
func (c *conn) write(p []byte) error {
	stream := c.carried.Stream
	for stuck := time.Duration(0); ; {
		_ = stream.SetWriteDeadline(time.Now().Add(patrol))
		n, err := stream.Write(p)
		p = p[n:]
		c.carried.Sent.Add(int64(n))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if stuck += patrol; n > 0 {
			stuck = 0
		}
		switch {
		case stuck > stallTimeout:
			return errStalled
		case stuck > linger+2*stream.RoundTrip() && c.isClosed():
			return errLeft
		}
	}
}

// toClient passes on what the target sends, tells the client when that ends, and returns why it did.
func (c *conn) toClient() error {
	why := c.pass()
	text := ""
	if why != nil {
		text = why.Error()
	}
	c.sayClosed(text)
	return why
}

// sayClosed tells the client that a connection is closed, once.
func (c *conn) sayClosed(text string) {
	c.saidOnce.Do(func() {
		c.tunnel.forget(c)
		c.tunnel.respond(c.id, text)
	})
}

func (c *conn) pass() error {
	stream := c.carried.Stream
	for first := true; ; first = false {
		p, err := stream.Next()
		if first {
			c.settle()
		}
		switch {
		case errors.Is(err, io.EOF), err != nil && c.isClosed():
			return nil
		case err != nil:
			return err
		}
		p = p[:min(len(p), dataBytes)]
		err = c.tunnel.send(&client.Packet{Type: client.PacketType_DATA, Payload: &client.Packet_Data{
			Data: &client.Data{ConnectID: c.id, Data: p},
		}})
		if err != nil {
			c.close()
			return errLeft
		}
		stream.Done(len(p))
		c.carried.Received.Add(int64(len(p)))
		c.pause(c.carried.PaceReceived(len(p)))
	}
}

// pause waits as long, or until the client's stream ends.
func (c *conn) pause(long time.Duration) {
	if long <= 0 {
		return
	}
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.tunnel.stream.Context().Done():
	}
}

// settle waits until the client has noted the connection.
func (c *conn) settle() {
	timer := time.NewTimer(settling)
	defer timer.Stop()
	select {
	case <-c.spoke:
	case <-timer.C:
	case <-c.tunnel.stream.Context().Done():
	}
}
