package drain

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// connection is an open one, as the contexts of its requests know it.
type connection struct {
	net.Conn
	// expiry is when it is too old.
	expiry time.Time
}

// connectionKey is where the context of a request has its *connection.
type connectionKey struct{}

// connections are the open ones on which another request may come at any moment, since no
// answer has said that it is the last: those that are idle, those that have never been used,
// and those that have a request without such an answer. Closing one of them loses a request
// that is on its way.
type connections struct {
	mu sync.Mutex // guards what follows
	// usable has one entry for each.
	usable map[net.Conn]struct{}
	// none is closed when there are none left. It is nil while nobody waits for that.
	none chan struct{}
}

// changed is the ConnState of an http.Server.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.usable[conn] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		c.remove(conn)
	case http.StateActive, http.StateIdle: // they differ in what the server may see, not in what the client may do
	}
}

// remove is told that no other request can come.
func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.usable, conn)
	if len(c.usable) == 0 && c.none != nil {
		close(c.none)
		c.none = nil
	}
}

// wait returns when no connection is left, or with an error that wraps ctx's.
func (c *connections) wait(ctx context.Context) error {
	for {
		count, none := c.left()
		if count == 0 {
			return nil
		}
		select {
		case <-none:
		case <-ctx.Done():
			return fmt.Errorf("clients keep %d connections open: %w", count, ctx.Err())
		}
	}
}

// left returns how many there are and, if there are any, what is closed when they are gone.
func (c *connections) left() (int, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.usable) > 0 && c.none == nil {
		c.none = make(chan struct{})
	}
	return len(c.usable), c.none
}
