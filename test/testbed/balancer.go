package testbed

import (
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// Balancer passes connections on to the first server that takes them, as a Service does. It may
// be used concurrently.
type Balancer struct {
	listener net.Listener
	inTurn   bool

	mu    sync.Mutex // guards ports
	ports []int
}

// StartBalancer listens until the test ends.
func StartBalancer(t testing.TB) *Balancer {
	t.Helper()
	return startBalancer(t, "127.0.0.1:0", false)
}

// StartTurns is StartBalancer for one that begins with the next server each time.
func StartTurns(t testing.TB) *Balancer {
	t.Helper()
	return startBalancer(t, "127.0.0.1:0", true)
}

func startBalancer(t testing.TB, address string, inTurn bool) *Balancer {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	b := &Balancer{listener: listener, inTurn: inTurn}
	var running sync.WaitGroup
	running.Go(func() { // ends with the listener
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go b.serve(conn) // ends with either connection
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return b
}

// Port that it listens on, on 127.0.0.1.
func (b *Balancer) Port() int { return b.listener.Addr().(*net.TCPAddr).Port }

// Add has it pass connections on to a port of 127.0.0.1.
func (b *Balancer) Add(port int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ports = append(b.ports, port)
}

// Remove has no new connection passed on to a server.
func (b *Balancer) Remove(port int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ports = slices.DeleteFunc(slices.Clone(b.ports), func(p int) bool { return p == port })
}

func (b *Balancer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	b.mu.Lock()
	ports := b.ports
	if b.inTurn && len(ports) > 1 {
		b.ports = slices.Concat(ports[1:], ports[:1])
	}
	b.mu.Unlock()
	for _, port := range ports {
		backend, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		go func() { // ends with the connection
			_, _ = io.Copy(backend, conn)
			_ = backend.Close()
		}()
		_, _ = io.Copy(conn, backend)
		return
	}
}
