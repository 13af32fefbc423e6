package carrier_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
)

// pipes is a listener of connections that are made in the process.
type pipes struct {
	conns chan net.Conn
	ended chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// FuzzWebSocket sends random frames of WebSocket behind an upgrade: what comes out is no more than what was sent, and it ends.
func FuzzWebSocket(f *testing.F) {
	f.Add([]byte("\x82\x85\x00\x00\x00\x00hello"))
	f.Add([]byte("\x82\xfe\x01\x00\x01\x02\x03\x04" + string(make([]byte, 256))))
	f.Add([]byte("\x81\x82\x00\x00\x00\x00no\x88\x80\x00\x00\x00\x00"))
	f.Add([]byte("\x02\x81\x00\x00\x00\x00a\x89\x80\x00\x00\x00\x00\x80\x81\x00\x00\x00\x00b"))
	f.Add([]byte("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"))
	came := make(chan int64)
	listener := &pipes{conns: make(chan net.Conn), ended: make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := carrier.Accept(w, r)
		if err != nil {
			came <- 0
			return
		}
		n, _ := io.Copy(io.Discard, conn)
		_ = conn.Close()
		came <- n
	})}
	go func() { _ = server.Serve(listener) }()
	f.Cleanup(func() { close(listener.ended); _ = server.Close() })
	f.Fuzz(func(t *testing.T, said []byte) {
		here, there := net.Pipe()
		defer here.Close()
		listener.conns <- there
		go func() { _, _ = io.Copy(io.Discard, here) }()
		_, _ = io.WriteString(here, "GET /v1/link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
		_, _ = here.Write(said)
		_ = here.Close()
		select {
		case n := <-came:
			if n > int64(len(said)) {
				t.Errorf("%d bytes came of %d", n, len(said))
			}
		case <-time.After(authoritytest.Patience):
			t.Fatal("it waits on")
		}
	})
}

// FuzzProxyAnswer has an HTTP proxy answer CONNECT with random bytes: only 200 with nothing behind it connects.
func FuzzProxyAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\nSSH-2.0"))
	f.Add([]byte("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		here, there := net.Pipe()
		defer here.Close()
		go func() {
			_, _ = there.Read(make([]byte, 4096))
			_, _ = there.Write(answer)
			_ = there.Close()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), authoritytest.Patience)
		defer cancel()
		err := carrier.ConnectBy(ctx, here, nil, "server.example.org:443")
		if ctx.Err() != nil {
			t.Fatal("it waits on")
		}
		if err == nil && !bytes.Contains(answer, []byte("200")) {
			t.Errorf("%q connects", answer)
		}
	})
}
