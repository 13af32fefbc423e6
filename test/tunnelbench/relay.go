package main

import (
	"io"
	"net"
	"sync"
	"time"
)

// relay passes connections on to an address, and every byte later by half a round trip. It does not limit how much is under way but by
// memory, so that it is a line that is long, and as wide as this machine. Its system acknowledges what it takes at once: what is measured
// over it is how a protocol waits for its other end, not how TCP does.
type relay struct {
	listener net.Listener
	to       string
	delay    time.Duration

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu
	over  bool              // guarded by mu
	all   sync.WaitGroup
}

const (
	// relayPiece is how much is read at once, and relayPieces how many pieces of a direction may be under way: 512 MiB.
	relayPiece  = 128 << 10
	relayPieces = 4096
)

func newRelay(to string, delay time.Duration) (*relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, to: to, delay: delay, conns: map[net.Conn]bool{}}
	r.all.Go(r.serve) // ends with the listener
	return r, nil
}

func (r *relay) address() string { return r.listener.Addr().String() }

func (r *relay) serve() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.all.Go(func() { r.carry(conn) }) // ends with either end, and with close
	}
}

func (r *relay) add(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		if r.over {
			_ = conn.Close()
		}
		r.conns[conn] = true
	}
	return !r.over
}

func (r *relay) remove(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		delete(r.conns, conn)
	}
}

func (r *relay) carry(near net.Conn) {
	defer near.Close()
	// The other end learns of it half a round trip later, and the near one of that after another.
	time.Sleep(2 * r.delay)
	far, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer far.Close()
	if !r.add(near, far) {
		return
	}
	defer r.remove(near, far)
	var both sync.WaitGroup
	both.Go(func() { r.pass(near, far) })
	both.Go(func() { r.pass(far, near) })
	both.Wait()
}

// late is a piece and when it is due.
type late struct {
	bytes *[]byte
	n     int
	at    time.Time
}

var relayed = sync.Pool{New: func() any {
	b := make([]byte, relayPiece)
	return &b
}}

// pass passes one direction on. It closes both when one has failed, and half when one has ended.
func (r *relay) pass(from, to net.Conn) {
	under := make(chan late, relayPieces)
	var writing sync.WaitGroup
	writing.Go(func() { // ends when under is closed
		var failed error
		for piece := range under {
			if wait := time.Until(piece.at); wait > 0 {
				time.Sleep(wait)
			}
			if failed == nil {
				if _, failed = to.Write((*piece.bytes)[:piece.n]); failed != nil {
					_ = from.Close()
				}
			}
			relayed.Put(piece.bytes)
		}
	})
	for {
		piece := relayed.Get().(*[]byte)
		n, err := from.Read(*piece)
		if n > 0 {
			under <- late{piece, n, time.Now().Add(r.delay)}
		}
		if err == nil {
			continue
		}
		close(under)
		writing.Wait()
		if half, ok := to.(interface{ CloseWrite() error }); ok && err == io.EOF {
			_ = half.CloseWrite()
			return
		}
		_ = from.Close()
		_ = to.Close()
		return
	}
}

// close ends all connections, and waits until they have.
func (r *relay) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	r.over = true
	for conn := range r.conns {
		_ = conn.Close()
	}
	r.mu.Unlock()
	r.all.Wait()
}
