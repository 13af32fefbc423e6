package tunneltest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Listen runs a target that serves its connections. They are closed at the end of the test, and waited for.
func Listen(t testing.TB, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		conns  = map[net.Conn]bool{}
		closed bool
	)
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn] = true
			if closed {
				_ = conn.Close()
			}
			mu.Unlock()
			all.Go(func() {
				serve(conn)
				_ = conn.Close()
				mu.Lock()
				delete(conns, conn)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		closed = true
		for conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return listener.Addr().String()
}

// Target answers each connection with a word, which may be empty, and then echoes.
func Target(t testing.TB, word string) (address string) {
	t.Helper()
	return Listen(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, word)
		Echo(conn)
	})
}

// Echoing runs a target that says what it hears.
func Echoing(t testing.TB) (address string) {
	t.Helper()
	return Listen(t, Echo)
}

// Echo says what it hears. It does not let the system do that, which would take two more files for each connection.
func Echo(conn net.Conn) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}, make([]byte, 4<<10))
}
