package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// dialTimeout is how long it may take to connect, and tlsTimeout to agree on TLS after it: that is two answers, over a link that may be slow.
	dialTimeout, tlsTimeout = 5 * time.Second, 10 * time.Second
	// pingAfter is how long a connection may be silent before it is asked, and pingTimeout how long until it is closed then.
	pingAfter, pingTimeout = 5 * time.Second, 7 * time.Second
	// userTimeout is how long what was sent may go without a word of TCP. It finds black holes under exec, which has no pings.
	userTimeout = 12 * time.Second
	// idleTimeout is how long a connection without requests is kept.
	idleTimeout = 90 * time.Second
	// streamBuffer is how much of an answer is taken that nobody reads, in bytes: a program of the node that is slow costs no more.
	streamBuffer = 512 << 10
	// refreshEvery is how often it is looked for another certificate while nobody asks, and retireAfter what requests over the one before have.
	refreshEvery, retireAfter = 10 * time.Second, 30 * time.Second
)

// errReplaced is that there is another certificate, or that authorities are others.
var errReplaced = errors.New("the connection was for another certificate, or other authorities")

// line is the way to one server for those who show the same: connections, and what is made over them.
type line struct {
	server *server
	shown  shown
	// any has HTTP/2 if the server does; upgrades has not, as they need.
	any, upgrades *http.Transport
	// life ends with the line: its cause is why.
	life context.Context
	kill context.CancelCauseFunc

	mu    sync.Mutex
	conns map[*conn]struct{} // guarded by mu
}

func newLine(s *server, shows shown, proxy func(*http.Request) (*url.URL, error)) *line {
	l := &line{server: s, shown: shows, conns: map[*conn]struct{}{}}
	l.life, l.kill = context.WithCancelCause(context.Background())
	settings := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: shows.roots, ServerName: s.name}
	if shows.certificate != nil {
		// Not Certificates, of which one is shown only if the server names its authority.
		settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shows.certificate, nil }
	}
	l.any = l.transport(settings, proxy, true)
	l.upgrades = l.transport(settings, proxy, false)
	return l
}

func (l *line) transport(settings *tls.Config, proxy func(*http.Request) (*url.URL, error), http2 bool) *http.Transport {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(http2)
	return &http.Transport{
		Proxy: proxy, DialContext: l.dial, TLSClientConfig: settings.Clone(), Protocols: protocols,
		TLSHandshakeTimeout: tlsTimeout, IdleConnTimeout: idleTimeout, ExpectContinueTimeout: time.Second,
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout, MaxReceiveBufferPerStream: streamBuffer},
	}
}

// dial connects, unless the line ends.
func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.life, func() { cancel(context.Cause(l.life)) })()
	dialer := net.Dialer{
		Timeout: dialTimeout, Control: limitSilence, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: pingAfter, Interval: 3 * time.Second, Count: 3},
	}
	to, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{to, l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life.Err() != nil {
		_ = to.Close()
		return nil, context.Cause(l.life)
	}
	l.conns[c] = struct{}{}
	return c, nil
}

// end closes all connections, so that what goes over them fails. Only the first reason counts.
func (l *line) end(why error) {
	l.kill(why)
	l.mu.Lock()
	open := l.conns
	l.conns = map[*conn]struct{}{}
	l.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
}

// ended is why the line has ended, nil if it has not.
func (l *line) ended() error { return context.Cause(l.life) }

// conn is a connection of a line.
type conn struct {
	net.Conn
	line *line
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.line.server.read.Add(int64(n))
	return n, err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.line.mu.Lock()
	delete(c.line.conns, c)
	c.line.mu.Unlock()
	return c.Conn.Close()
}
