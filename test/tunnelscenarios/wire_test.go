package tunnelscenarios

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wire is between agents and a server, and does what networks do.
type wire struct {
	address string
	to      string
	// swallows is whether what comes is lost, ends of connections too, and nobody is told.
	swallows atomic.Bool
	// narrow is how many bytes pass in a second, each way; 0 has no bound.
	narrow atomic.Int64
	all    sync.WaitGroup

	mu sync.Mutex
	// What follows is guarded by mu.

	listener net.Listener // nil while it is down
	conns    map[net.Conn]net.Conn
}

// lay lays a wire to a server.
func lay(t *testing.T, to string) *wire {
	t.Helper()
	w := &wire{to: to, address: "127.0.0.1:0", conns: map[net.Conn]net.Conn{}}
	w.up(t)
	t.Cleanup(func() { w.down(); w.all.Wait() })
	return w
}

// up has it take connections, at the address that it had.
func (w *wire) up(t *testing.T) {
	t.Helper()
	var listener net.Listener
	eventually(t, "the wire can listen", func() (ok bool) {
		var err error
		listener, err = net.Listen("tcp", w.address)
		return err == nil
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.address, w.listener = listener.Addr().String(), listener
	w.all.Go(func() { // ends with down
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w.join(conn)
		}
	})
}

// down refuses connections, and cuts those that there are.
func (w *wire) down() {
	w.mu.Lock()
	if w.listener != nil {
		_ = w.listener.Close()
		w.listener = nil
	}
	w.mu.Unlock()
	w.cut()
}

// cut resets what there is, at both ends.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for a, b := range w.conns {
		reset(a)
		reset(b)
	}
	clear(w.conns)
}

func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// join carries a connection.
func (w *wire) join(near net.Conn) {
	far, err := net.Dial("tcp", w.to)
	if err != nil {
		reset(near)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener == nil {
		reset(near)
		reset(far)
		return
	}
	w.conns[near] = far
	if w.narrow.Load() > 0 { // it holds little of what it carries, as a wire does
		for _, conn := range []net.Conn{near, far} {
			_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
			_ = conn.(*net.TCPConn).SetWriteBuffer(64 << 10)
		}
	}
	w.all.Go(func() { w.pass(near, far, near) }) // end with both connections
	w.all.Go(func() { w.pass(far, near, near) })
}

func (w *wire) pass(from, to, key net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if w.swallows.Load() {
			if err != nil {
				return // the other end does not hear of it; down closes it
			}
			continue
		}
		if n > 0 {
			_, _ = to.Write(buffer[:n])
		}
		if most := w.narrow.Load(); most > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(most)) // that is what the wire is
		}
		if err != nil {
			w.mu.Lock()
			delete(w.conns, key)
			w.mu.Unlock()
			_ = from.Close()
			_ = to.Close()
			return
		}
	}
}
