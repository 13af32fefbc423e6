// Package guests has places for connections that have not said yet what they want. There are so many and no more: when all are taken, the connection
// that has been silent longest is closed for the next one, if it has been for longer than the patience. So those who open many and say nothing keep nobody out who speaks. Whose
// address it is does not count: many clients may have one.
//
// With n places, and r connections that come in a second, one may be silent for n/r seconds, or for the patience if that is longer. A bound for those that nobody follows is the
// business of who serves them.
//
// Guests may be used concurrently.
package guests

import (
	"container/list"
	"context"
	"net"
	"sync"
	"time"
)

// leaving is how long one that was closed may take to give its place back before another is closed.
const leaving = 100 * time.Millisecond

// Guests are connections that have not said what they want.
type Guests struct {
	patience time.Duration
	places   chan struct{}

	mu  sync.Mutex
	all *list.List // of *Guest, the one that has been silent longest first; guarded by mu
}

// Guest is one of them. Leave has to be called.
type Guest struct {
	of   *Guests
	conn net.Conn
	// What follows is guarded by the mu of Guests.

	at    *list.Element
	since time.Time // when it was heard last
	ended bool      // it made room for another
	leave sync.Once
}

// New has n places, and leaves who is silent alone for so long.
func New(n int, patience time.Duration) *Guests {
	return &Guests{patience: patience, places: make(chan struct{}, n), all: list.New()}
}

// Room waits until there is a place, which is taken: Add or Vacate must follow. It reports whether there is one: not if ctx ends.
func (g *Guests) Room(ctx context.Context) bool {
	for {
		select {
		case g.places <- struct{}{}:
			return true
		default:
		}
		timer := time.NewTimer(g.makeRoom(time.Now()))
		select {
		case g.places <- struct{}{}:
			timer.Stop()
			return true
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// Vacate gives back a place for which nobody came.
func (g *Guests) Vacate() { <-g.places }

// Add seats a connection at a place that was taken.
func (g *Guests) Add(conn net.Conn) *Guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	guest := &Guest{of: g, conn: conn, since: time.Now()}
	guest.at = g.all.PushBack(guest)
	return guest
}

// Seat gives a connection a place as soon as there is one. It returns nil if ctx ends before.
func (g *Guests) Seat(ctx context.Context, conn net.Conn) *Guest {
	if !g.Room(ctx) {
		return nil
	}
	return g.Add(conn)
}

// Taken is how many places are.
func (g *Guests) Taken() int { return len(g.places) }

// makeRoom closes the connection that has been silent longest, if that is too long, and returns when to look again. Who serves it gives its place back.
func (g *Guests) makeRoom(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	oldest := g.all.Front()
	if oldest == nil {
		return max(g.patience, leaving)
	}
	guest := oldest.Value.(*Guest)
	if left := g.patience - now.Sub(guest.since); left > 0 {
		return left
	}
	g.all.Remove(oldest)
	guest.ended = true
	_ = guest.conn.Close()
	return leaving
}

// Heard notes that it has said something that brings it further.
func (g *Guest) Heard() {
	g.of.mu.Lock()
	defer g.of.mu.Unlock()
	g.since = time.Now()
	g.of.all.MoveToBack(g.at) // does nothing if it has gone
}

// Ended reports whether it was closed to make room for another.
func (g *Guest) Ended() bool {
	g.of.mu.Lock()
	defer g.of.mu.Unlock()
	return g.ended
}

// Leave gives the place back: it is known what the connection wants, or it is closed. More than once does nothing.
func (g *Guest) Leave() {
	g.leave.Do(func() {
		g.of.mu.Lock()
		defer g.of.mu.Unlock()
		g.of.all.Remove(g.at) // does nothing if it has gone
		<-g.of.places
	})
}
