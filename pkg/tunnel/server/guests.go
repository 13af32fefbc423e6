package server

import (
	"container/list"
	"context"
	"net"
	"sync"
	"time"
)

const (
	// maxGuests is how many connections there may be that are no links yet.
	maxGuests = 512
	// guestPatience is how long one is left alone when there are so many: an honest one needs less.
	guestPatience = 2 * time.Second
	// guestCheck is how often it is looked for such ones then.
	guestCheck = 50 * time.Millisecond
)

// guests are connections that have not said whose they are: they are few, and whoever is slow makes room for others.
// So those who open many and say nothing hold up agents for seconds, not for good.
type guests struct {
	slots chan struct{}

	mu  sync.Mutex
	all *list.List // of *guest, the oldest first; guarded by mu
}

// guest is one of them.
type guest struct {
	conn  net.Conn // what was accepted
	since time.Time
	// inside: what it says now is inside a WebSocket.
	inside bool
	leave  func() // gives its place back; more than once does nothing
}

func newGuests(n int) *guests { return &guests{slots: make(chan struct{}, n), all: list.New()} }

// room waits until there is a place, which is taken. It reports whether there is one: not if ctx ends.
func (g *guests) room(ctx context.Context) bool {
	for {
		select {
		case g.slots <- struct{}{}:
			return true
		default:
		}
		timer := time.NewTimer(guestCheck)
		select {
		case g.slots <- struct{}{}:
			timer.Stop()
			return true
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
			g.evict(time.Now().Add(-guestPatience))
		}
	}
}

// vacate gives back a place for which nobody came.
func (g *guests) vacate() { <-g.slots }

// evict ends the oldest if it is older.
func (g *guests) evict(than time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if oldest := g.all.Front(); oldest != nil && oldest.Value.(*guest).since.Before(than) {
		_ = oldest.Value.(*guest).conn.Close() // who serves it gives its place back
	}
}

// add seats a connection at a place that was taken.
func (g *guests) add(conn net.Conn) *guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := &guest{conn: conn, since: time.Now()}
	at := g.all.PushBack(one)
	one.leave = sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all.Remove(at)
		<-g.slots
	})
	return one
}
