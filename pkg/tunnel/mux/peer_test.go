package mux

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// half is a connection that can be closed in one direction.
type half interface {
	net.Conn
	CloseWrite() error
}

// unixConnections returns two ends of a connection of a Unix socket.
func unixConnections(t *testing.T) (client, front half) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	f, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); _ = f.Close() })
	return c.(half), f.(half)
}

// tlsConnections returns two ends of a TLS connection.
func tlsConnections(t *testing.T) (client, front half) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a, b := connections(t)
	f := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	c := tls.Client(a, &tls.Config{InsecureSkipVerify: true}) // both ends are in this test
	greeted := make(chan error, 1)
	go func() { greeted <- f.Handshake() }()
	if err := errors.Join(c.Handshake(), <-greeted); err != nil {
		t.Fatal(err)
	}
	return c, f
}

// carried has one end of a connection relayed to a target, and returns when relays have ended.
func carried(t *testing.T, front net.Conn, target func(net.Conn)) (p pair, ended chan error) {
	t.Helper()
	ended = make(chan error, 2)
	p = link(t, func(_, there *Config) {
		there.Accept = func(_ context.Context, in *Incoming) {
			a, b := connections(t)
			_ = a.(*net.TCPConn).SetWriteBuffer(128 << 10) // so that less is needed to fill them
			_ = b.(*net.TCPConn).SetReadBuffer(128 << 10)
			go target(b)
			ended <- Relay(in.Accept(), a)
		}
	})
	st, err := p.here.Open(t.Context(), "target")
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- Relay(st, front) }()
	return p, ended
}

func over(t *testing.T, p pair, ended chan error) {
	t.Helper()
	for range 2 {
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("a relay goes on")
		}
	}
	if n := p.here.Streams() + p.there.Streams(); n != 0 {
		t.Errorf("%d streams are open", n)
	}
}

var clients = map[string]func(*testing.T) (client, front half){"Unix socket": unixConnections, "TLS": tlsConnections}

func TestWhoGoesAwayLeavesNothingAlthoughTheTargetHangs(t *testing.T) {
	for kind, made := range clients {
		t.Run(kind, func(t *testing.T) {
			t.Run("and has said nothing", func(t *testing.T) {
				client, front := made(t)
				p, ended := carried(t, front, hang(t))
				_ = client.Close()
				over(t, p, ended)
			})
			t.Run("and had said that it will say no more", func(t *testing.T) {
				client, front := made(t)
				p, ended := carried(t, front, hang(t))
				_, _ = io.WriteString(client, "something")
				_ = client.CloseWrite()
				eventually(t, "that is known", func() bool {
					p.there.mu.Lock()
					defer p.there.mu.Unlock()
					for _, st := range p.there.streams {
						return st.in.done()
					}
					return false
				})
				_ = client.Close()
				over(t, p, ended)
			})
			t.Run("and its bytes are with the target's end", func(t *testing.T) {
				client, front := made(t)
				p, ended := carried(t, front, hang(t))
				_, _ = client.Write(make([]byte, firstWindow/4))
				_ = client.Close()
				over(t, p, ended)
			})
			t.Run("which floods it", func(t *testing.T) {
				client, front := made(t)
				p, ended := carried(t, front, func(conn net.Conn) { _, _ = io.Copy(conn, endless{}) })
				eventually(t, "the client's buffers are full", func() bool {
					received, _ := p.here.Traffic()
					return received > firstWindow
				})
				_ = client.Close()
				over(t, p, ended)
			})
		})
	}
	// A TCP connection whose buffers are full cannot say that it was closed.
	t.Run("Unix socket, and its bytes wait for credit", func(t *testing.T) {
		client, front := unixConnections(t)
		p, ended := carried(t, front, hang(t))
		go func() { _, _ = io.Copy(client, endless{}) }()
		stalled(t, p)
		_ = client.Close()
		over(t, p, ended)
	})
}

// hang returns a target that does nothing until the test ends.
func hang(t *testing.T) func(net.Conn) {
	t.Helper()
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	return func(net.Conn) { <-stop }
}

// stalled waits until a stream has no credit left.
func stalled(t *testing.T, p pair) {
	t.Helper()
	eventually(t, "there is no credit left", func() bool {
		p.here.mu.Lock()
		defer p.here.mu.Unlock()
		for _, st := range p.here.streams {
			return st.credit == 0 && len(st.out) > 0
		}
		return false
	})
}

func TestWhatSomebodySentBeforeHeWentAwayIsDelivered(t *testing.T) {
	const bytes = 4 << 20
	for kind, made := range clients {
		t.Run(kind, func(t *testing.T) {
			client, front := made(t)
			heard := make(chan int64, 1)
			p, ended := carried(t, front, func(conn net.Conn) {
				n, _ := io.Copy(io.Discard, conn)
				heard <- n
				_ = conn.Close()
			})
			_ = client.SetDeadline(time.Now().Add(patience))
			if _, err := client.Write(make([]byte, bytes)); err != nil {
				t.Fatal(err)
			}
			_ = client.Close()
			if n := <-heard; n != bytes {
				t.Errorf("the target got %d bytes of %d", n, bytes)
			}
			over(t, p, ended)
		})
	}
}

// However long that takes: longer than anybody is waited for who takes nothing.
func TestWhatSomebodySentBeforeHeWentAwayIsDeliveredSlowly(t *testing.T) {
	client, front := unixConnections(t)
	begin, heard := make(chan struct{}), make(chan int, 1)
	p, ended := carried(t, front, func(conn net.Conn) {
		<-begin
		total := 0
		for buffer := make([]byte, 32<<10); ; time.Sleep(100 * time.Millisecond) { // a slow target
			n, err := conn.Read(buffer)
			total += n
			if err != nil {
				heard <- total
				_ = conn.Close()
				return
			}
		}
	})
	sent := make(chan int, 1)
	go func() {
		n, _ := client.Write(make([]byte, 32<<20)) // until it is closed
		sent <- n
	}()
	stalled(t, p)
	close(begin)
	_ = client.Close()
	if got, want := <-heard, <-sent; got != want {
		t.Errorf("the target got %d bytes of %d", got, want)
	}
	over(t, p, ended)
}

func TestWhoEndedOneDirectionWaitsForTheOther(t *testing.T) {
	const bytes = 16 << 20 // more than buffers on the way take
	for kind, made := range clients {
		t.Run(kind, func(t *testing.T) {
			client, front := made(t)
			answer := make(chan struct{})
			p, ended := carried(t, front, func(conn net.Conn) {
				<-answer
				n, _ := io.Copy(io.Discard, conn)
				_, _ = conn.Write(make([]byte, n))
				_ = conn.Close()
			})
			go func() {
				_, _ = client.Write(make([]byte, bytes))
				_ = client.CloseWrite()
			}()
			stalled(t, p)
			for range 2 { // it is looked at twice, at least, while nobody takes anything
				time.Sleep(linger)
			}
			close(answer)
			_ = client.SetDeadline(time.Now().Add(patience))
			if n, err := io.Copy(io.Discard, client); err != nil || n != bytes {
				t.Errorf("got %d bytes of %d: %v", n, bytes, err)
			}
			_ = client.Close()
			over(t, p, ended)
		})
	}
}

func TestAMessageIsPassedOnWhole(t *testing.T) {
	client, front := tlsConnections(t)
	carried(t, front, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	_ = client.SetDeadline(time.Now().Add(patience))
	for _, size := range []int{1, firstBytes - 1, firstBytes, firstBytes + 1, 2 * firstBytes, 16 << 10, 100_000} {
		sent := make([]byte, size)
		_, _ = rand.Read(sent)
		if _, err := client.Write(sent); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		if _, err := io.ReadFull(client, got); err != nil || string(got) != string(sent) {
			t.Fatalf("%d bytes came back otherwise: %v", size, err)
		}
	}
}
