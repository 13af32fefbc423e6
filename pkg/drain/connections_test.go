package drain

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bubble is a Server, and a clock that moves on when everybody waits: it is for orders of
// events that a real network shows once in thousands of requests.
type bubble struct {
	*testing.T
	server *Server
	wire   *pipes
	client *tls.Config
}

// pipes is a listener for connections within the process.
type pipes struct {
	net.Listener // for the methods that nobody calls
	accepted     chan net.Conn
	closed       chan struct{}
	close        func()
}

func newPipes() *pipes {
	closed := make(chan struct{})
	return &pipes{accepted: make(chan net.Conn), closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.close()
	return nil
}

// watchPath is of requests that go on until the server ends.
const watchPath = "/watch"

// inBubble runs a test beside a Server with a handler.
func inBubble(t *testing.T, handler http.HandlerFunc, test func(b *bubble)) {
	certificates := httptest.NewUnstartedServer(nil)
	certificates.StartTLS() // for its certificate
	certificates.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certificates.Certificate())
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, wire: newPipes(), client: &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS12}}
		var err error
		b.server, err = New(Config{
			Listener: b.wire, TLS: &tls.Config{Certificates: certificates.TLS.Certificates, MinVersion: tls.VersionTLS12},
			Handler: handler, MaxAge: 24 * time.Hour, ErrorLog: log.New(io.Discard, "", 0),
			LongRunning: func(r *http.Request) bool { return r.URL.Path == watchPath },
		})
		if err != nil {
			t.Fatal(err)
		}
		var serving sync.WaitGroup
		serving.Go(func() { // ends with the shutdown
			if err := b.server.Serve(); err != nil {
				t.Error(err)
			}
		})
		test(b)
		ended, cancel := context.WithCancel(t.Context())
		cancel() // wait for nobody
		_ = b.server.Shutdown(ended)
		serving.Wait()
	})
}

// peer is a connection, used as an HTTP client uses it.
type peer struct {
	*bubble
	conn   *tls.Conn
	reader *bufio.Reader
}

func (b *bubble) dial() *peer {
	b.Helper()
	wire, served := net.Pipe()
	b.wire.accepted <- served
	conn := tls.Client(wire, b.client)
	if err := conn.HandshakeContext(b.Context()); err != nil {
		b.Fatal(err)
	}
	return &peer{bubble: b, conn: conn, reader: bufio.NewReader(conn)}
}

// send writes a request.
func (p *peer) send(path string) {
	p.Helper()
	if _, err := io.WriteString(p.conn, "POST "+path+" HTTP/1.1\r\nHost: example.com\r\nContent-Length: 6\r\n\r\na body"); err != nil {
		p.Errorf("a request that the server did not want: %v", err)
	}
}

// receive reads the answer, and returns whether it is the last one.
func (p *peer) receive() (last bool) {
	p.Helper()
	last, rest := p.begin()
	rest()
	return last
}

// begin reads the answer up to its body, which the function that it returns reads.
func (p *peer) begin() (last bool, rest func()) {
	p.Helper()
	response, err := http.ReadResponse(p.reader, nil)
	if err != nil {
		p.Fatalf("a request that was not answered: %v", err)
	}
	return response.Close, func() {
		p.Helper()
		defer func() { _ = response.Body.Close() }()
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != "a body" {
			p.Errorf("got %q, %v", body, err)
		}
	}
}

func (p *peer) close() { _ = p.conn.Close() }

// ended says whether the server has closed the connection.
func (p *peer) ended() bool {
	_, err := p.reader.Peek(1)
	return errors.Is(err, io.EOF)
}

// waiting calls Wait with a limit, and returns what says whether it has returned, and with what.
func (b *bubble) waiting(limit time.Duration) func() (bool, error) {
	result := make(chan error, 1)
	go func() { // ends with the limit
		ctx, cancel := context.WithTimeout(b.Context(), limit)
		defer cancel()
		result <- b.server.Wait(ctx)
	}()
	return func() (bool, error) {
		synctest.Wait()
		select {
		case err := <-result:
			return true, err
		default:
			return false, nil
		}
	}
}

// TestARequestThatComesWhenTheServerWouldEndIsAnswered has the events in the order that loses a
// write when the server closes what is idle: the client has chosen the connection for a request,
// and writes it after the server has begun to end.
func TestARequestThatComesWhenTheServerWouldEndIsAnswered(t *testing.T) {
	for name, prepare := range map[string]func(p *peer){
		"over a connection that is idle": func(p *peer) {
			p.send("/")
			p.receive()
		},
		"over one that was never used": func(*peer) {},
		"over one that was never used for longer than new ones may take": func(*peer) {
			time.Sleep(ClientIdleTimeout - time.Second)
		},
		"over one that had a request when the drain began": nil,
	} {
		t.Run(name, func(t *testing.T) {
			begun, answer := make(chan struct{}), make(chan struct{})
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					close(begun)
					<-answer
				}
				echo(w, r)
			}
			inBubble(t, handler, func(b *bubble) {
				p := b.dial()
				defer p.close()
				if prepare != nil {
					prepare(p)
				} else {
					begun, answer = make(chan struct{}), make(chan struct{}) // of the bubble
					p.send("/slow")
					<-begun
				}
				b.server.Drain()
				if prepare == nil {
					close(answer)
					p.receive()
				}
				returned := b.waiting(time.Hour)
				if done, err := returned(); done {
					b.Fatalf("the server did not wait for the client: %v", err)
				}
				p.send("/")
				if last := p.receive(); !last || !p.ended() {
					b.Errorf("the client was not sent away: last answer %t", last)
				}
				if done, err := returned(); !done || err != nil {
					b.Errorf("the server goes on waiting: returned %t, %v", done, err)
				}
			})
		})
	}
}

// TestTheClientIsTheFirstToCloseAConnection holds for as long as Go's clients keep one.
func TestTheClientIsTheFirstToCloseAConnection(t *testing.T) {
	inBubble(t, echo, func(b *bubble) {
		used, unused := b.dial(), b.dial()
		defer used.close()
		defer unused.close()
		used.send("/")
		used.receive()
		time.Sleep(ClientIdleTimeout + time.Second)
		for _, p := range []*peer{used, unused} {
			p.send("/")
			if p.receive() {
				b.Error("the server closed a connection that was in use")
			}
		}
	})
}

func TestTheServerEndsWhenClientsHaveClosedWhatIsIdle(t *testing.T) {
	inBubble(t, echo, func(b *bubble) {
		used, unused := b.dial(), b.dial()
		used.send("/")
		used.receive()
		b.server.Drain()
		returned := b.waiting(time.Hour)
		used.close()
		if done, _ := returned(); done {
			b.Error("the server did not wait for the second client")
		}
		unused.close()
		if done, err := returned(); !done || err != nil {
			b.Errorf("returned %t, %v", done, err)
		}
	})
}

// TestAWatchEndsWithItsConnection is about watches, which a server ends last: their connections
// must not go back to the clients' idle ones.
func TestAWatchEndsWithItsConnection(t *testing.T) {
	var end chan struct{}
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_ = http.NewResponseController(w).Flush()
		<-end
		_, _ = w.Write(body)
	}
	inBubble(t, handler, func(b *bubble) {
		end = make(chan struct{})
		p := b.dial()
		defer p.close()
		p.send(watchPath)
		last, rest := p.begin()
		b.server.Drain()
		if done, err := b.waiting(time.Hour)(); !done || err != nil {
			b.Errorf("the server waits for a watch, which waits for it: returned %t, %v", done, err)
		}
		close(end)
		rest()
		if !last || !p.ended() {
			b.Errorf("the client would use the connection again: last answer %t", last)
		}
	})
}

func TestAClientThatKeepsItsConnectionHoldsTheServerUpForSoLongOnly(t *testing.T) {
	inBubble(t, echo, func(b *bubble) {
		p := b.dial()
		defer p.close()
		b.server.Drain()
		returned := b.waiting(time.Minute)
		time.Sleep(time.Minute + time.Second)
		done, err := returned()
		if !done || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "keep 1 connection") {
			b.Errorf("returned %t, %v", done, err)
		}
	})
}
