// Package tlsproxy lends a certificate to programs that can have none, such as a KubeFed whose clusters have a proxyURL: it takes
// connections on loopback, and passes each on to the tunnel's front end for CONNECT over TLS, with the certificate. What they carry it
// does not look at; the front end answers.
//
// Whoever can connect to it is the user of the certificate, and may what that may: all programs of the machine, or of the pod. So it listens on loopback and
// nowhere else, and the certificate should be one for this alone.
//
// A connection whose front end cannot be reached gets an answer of HTTP that says so, 502. Nothing is tried again: its client may do that.
package tlsproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
)

const (
	// connectTimeout is how long the front end may take until TLS is up.
	connectTimeout = 8 * time.Second
	// headTimeout and headBytes bound what is read of who gets an answer here.
	headTimeout, headBytes = 5 * time.Second, 8 << 10
	// partingTimeout and partingBytes bound what is read of who was refused: closing while something is unread would take away the answer.
	partingTimeout, partingBytes = time.Second, 64 << 10
	// betweenAccepts is how long accepting waits after an error that passes, such as too many open files.
	betweenAccepts = 100 * time.Millisecond
)

// DefaultConnections is how many are carried at once unless a Config says otherwise.
const DefaultConnections = 1000

// Config says how a Proxy works. Server and TLS are required.
type Config struct {
	// Server is where the front end is, HOST:PORT.
	Server string
	// TLS returns the certificate, the authorities of the front end and its name, anew for each connection. Without a name it is HOST.
	TLS func() (*tls.Config, error)
	// Connections are carried at once; who comes then waits in the system's queue. The default is DefaultConnections.
	Connections int
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Proxy passes connections on. It may be used concurrently.
type Proxy struct {
	config Config
	host   string
	places chan struct{}
	all    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // what is carried, both ends; nil after Close. Guarded by mu.
}

// New returns a proxy that serves nothing yet. It fails if there is no certificate that could be lent.
func New(config Config) (*Proxy, error) {
	host, _, err := net.SplitHostPort(config.Server)
	if err != nil {
		return nil, fmt.Errorf("the front end %q: HOST:PORT is needed", config.Server)
	}
	if _, err := config.TLS(); err != nil {
		return nil, err
	}
	if config.Connections == 0 {
		config.Connections = DefaultConnections
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	return &Proxy{config: config, host: host, places: make(chan struct{}, config.Connections), conns: map[net.Conn]struct{}{}}, nil
}

// Serve takes connections until ctx ends. What is carried goes on until Close.
func (p *Proxy) Serve(ctx context.Context, listener net.Listener) error {
	if at, ok := listener.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		_ = listener.Close()
		return fmt.Errorf("%s is no address of loopback: whoever connects there would have the certificate lent", listener.Addr())
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		select {
		case p.places <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := listener.Accept()
		if err == nil && p.keep(conn) {
			p.all.Go(func() { // ends with the connection, or Close
				defer func() { <-p.places }()
				p.carry(ctx, conn.(*net.TCPConn))
			})
			continue
		}
		<-p.places
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			p.config.Logger.Warn("Failed to accept a connection", "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(betweenAccepts):
			}
		}
	}
}

// Drain waits until nothing is carried, or ctx ends.
func (p *Proxy) Drain(ctx context.Context) {
	done := make(chan struct{})
	go func() { p.all.Wait(); close(done) }() // ends with Close
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Close ends what is carried, and waits until it has.
func (p *Proxy) Close() {
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for conn := range conns {
		_ = conn.Close()
	}
	p.all.Wait()
}

// keep notes a connection that Close has to close; false if it closed it.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		_ = conn.Close()
		return false
	}
	p.conns[conn] = struct{}{}
	return true
}

func (p *Proxy) drop(conn net.Conn) {
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

// carry passes a connection on until both directions have ended, or one broke.
func (p *Proxy) carry(ctx context.Context, client *net.TCPConn) {
	defer p.drop(client)
	front, err := p.connect(context.WithoutCancel(ctx)) // a client that was taken is served while the rest drains
	if err != nil {
		if heard(client) {
			p.refuse(client, err)
		}
		return
	}
	raw := front.NetConn()
	if !p.keep(raw) {
		return
	}
	defer p.drop(raw)
	err = both(client, front, raw)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		p.refuse(client, carrier.Explain(refused.err))
	case err != nil: // without a word of TLS: the other side sees that it broke
		cut(client)
		cut(raw)
	}
}

// refusal is why the front end ended a connection before it had said anything: what it says of a certificate comes when it is read.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }

// ofFront is an error of the front end, without what copying puts around it: addresses of this machine.
func ofFront(err error) error {
	var copying *net.OpError
	if errors.As(err, &copying) && copying.Op == "readfrom" {
		return copying.Err
	}
	return err
}

// both carries both directions until both have ended, and returns why one broke; nil if none did.
func both(client *net.TCPConn, front *tls.Conn, raw net.Conn) error {
	back := make(chan error, 1)
	go func() { // ends with either of the two
		n, err := io.Copy(client, front)
		if err == nil {
			err = client.CloseWrite()
		} else if n == 0 && !errors.Is(err, net.ErrClosed) { // which is Close
			err = &refusal{ofFront(err)}
		}
		if err != nil {
			_ = client.SetReadDeadline(time.Unix(1, 0)) // there is nobody for what comes
		}
		back <- err
	}()
	to := &noted{to: front}
	_, err := io.Copy(to, client)
	switch {
	case err == nil:
		err = front.CloseWrite()
	case to.err != nil: // it may have said why
		_ = raw.SetReadDeadline(time.Now().Add(partingTimeout))
	case !errors.Is(err, os.ErrDeadlineExceeded):
		cut(raw)
	}
	why := <-back
	if err == nil || to.err != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return why // which came first, or has to do with it
	}
	return err
}

// noted notes what writing has failed with.
type noted struct {
	to  io.Writer
	err error
}

// Write implements io.Writer.
func (n *noted) Write(p []byte) (int, error) {
	written, err := n.to.Write(p)
	n.err = err
	return written, err
}

// cut closes a connection; its other end sees that it broke.
func cut(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (p *Proxy) connect(ctx context.Context) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	config, err := p.config.TLS()
	if err != nil {
		return nil, err
	}
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName = p.host
	}
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", p.config.Server)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("it does not answer within %s", connectTimeout)
		}
		return nil, carrier.Explain(err)
	}
	return conn, nil
}

// heard reads what a client asks. It reports whether that was a request.
func heard(client net.Conn) bool {
	_ = client.SetReadDeadline(time.Now().Add(headTimeout))
	head := textproto.NewReader(bufio.NewReader(io.LimitReader(client, headBytes)))
	if _, err := head.ReadLine(); err != nil {
		return false
	}
	_, err := head.ReadMIMEHeader()
	return err == nil
}

// refuse answers a client.
func (p *Proxy) refuse(client *net.TCPConn, err error) {
	p.config.Logger.Warn("Failed to connect to the front end", "server", p.config.Server, "err", err)
	why := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, fmt.Sprintf("the tunnel's front end %s: %s", p.config.Server, err))
	_ = client.SetWriteDeadline(time.Now().Add(headTimeout))
	_, _ = fmt.Fprintf(client, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n",
		http.StatusBadGateway, why, len(why)+1, why)
	_ = client.CloseWrite()
	_ = client.SetReadDeadline(time.Now().Add(partingTimeout))
	_, _ = io.CopyN(io.Discard, client, partingBytes)
}
