package drain

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

const (
	// ClientIdleTimeout is after how long Go's clients close an idle connection, the
	// aggregator's among them.
	ClientIdleTimeout = 90 * time.Second

	// idleTimeout is longer. If the server were first, a request that is sent at that moment
	// would fail.
	idleTimeout    = 2 * ClientIdleTimeout
	maxHeaderBytes = 1 << 20
)

// Config says what to serve. Every field is required, unless it says otherwise.
type Config struct {
	// Listener accepts TCP connections. Shutdown closes it.
	Listener net.Listener
	// TLS has the certificates. If it has a GetConfigForClient, that must offer no other
	// protocol than HTTP/1.1.
	TLS *tls.Config
	// Handler is served.
	Handler http.Handler
	// LongRunning picks the requests whose answers go on until the server ends, as watches do.
	// Each is the last of its connection from its beginning, since there is no saying so later.
	// Nil: there are none.
	LongRunning func(*http.Request) bool
	// MaxAge is how old a connection may get. Each lives up to a fifth less, so that those
	// that were opened together are not closed together.
	MaxAge time.Duration
	// ErrorLog gets what is wrong with single connections, such as failed handshakes.
	ErrorLog *log.Logger
	// Clock is the real one when nil.
	Clock clock.PassiveClock
}

// Server is an HTTPS server.
type Server struct {
	config      Config
	http        *http.Server
	listener    net.Listener
	connections connections
	draining    atomic.Bool
	closed      atomic.Bool // the listener
}

// New checks the configuration and starts nothing.
func New(config Config) (*Server, error) {
	if config.Listener == nil || config.TLS == nil || config.Handler == nil || config.MaxAge <= 0 || config.ErrorLog == nil {
		return nil, errors.New("drain: Listener, TLS, Handler, MaxAge and ErrorLog must be set")
	}
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	if config.LongRunning == nil {
		config.LongRunning = func(*http.Request) bool { return false }
	}
	s := &Server{config: config, connections: connections{usable: map[net.Conn]struct{}{}}}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler:        http.HandlerFunc(s.serve),
		Protocols:      &protocols,
		MaxHeaderBytes: maxHeaderBytes,
		IdleTimeout:    idleTimeout,
		// The library also closes a connection after this that has had no request yet. Clients
		// make such in reserve, and use them as they use idle ones.
		ReadHeaderTimeout: idleTimeout,
		ErrorLog:          config.ErrorLog,
		ConnContext:       s.open,
		ConnState:         s.connections.changed,
	}
	secure := config.TLS.Clone()
	secure.NextProtos = []string{"http/1.1"}
	s.listener = tls.NewListener(config.Listener, secure)
	return s, nil
}

// Serve serves until Wait or Shutdown stops listening, and returns an error if it ends for
// another reason.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) && !s.closed.Load() {
		return err
	}
	return nil
}

// Drain has every client go with its next answer. Requests are served as before.
func (s *Server) Drain() { s.draining.Store(true) }

// Wait, after Drain, waits until no client can send another request: each has closed its
// connection, or is being sent the last answer. Then it stops listening. Requests are served
// as before. If ctx ends first, Wait stops listening and returns an error that wraps ctx's and
// says how many connections are left.
func (s *Server) Wait(ctx context.Context) error {
	err := s.connections.wait(ctx)
	s.closed.Store(true)
	_ = s.listener.Close()
	if err != nil {
		return err
	}
	return s.connections.wait(ctx) // for who came in between
}

// Shutdown, after Wait, waits for the requests that are being served. If ctx ends before that,
// their connections are closed, and its error is returned. Connections that Wait has left are
// closed, with the requests that may be on their way.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if errors.Is(err, net.ErrClosed) { // Wait has closed the listener
		err = nil
	}
	if err != nil {
		_ = s.http.Close()
	}
	return err
}

func (s *Server) open(ctx context.Context, conn net.Conn) context.Context {
	age := s.config.MaxAge - rand.N(s.config.MaxAge/5+1)
	return context.WithValue(ctx, connectionKey{}, &connection{Conn: conn, expiry: s.config.Clock.Now().Add(age)})
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	// An upgraded connection is no longer ours, and its answer has another "Connection".
	if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok && r.Header.Get("Upgrade") == "" && s.last(conn, r) {
		w.Header().Set("Connection", "close")
		s.connections.remove(conn.Conn)
	}
	s.config.Handler.ServeHTTP(w, r)
}

// last says whether a request is to be the last one of its connection.
func (s *Server) last(conn *connection, r *http.Request) bool {
	return s.draining.Load() || s.config.Clock.Now().After(conn.expiry) || s.config.LongRunning(r)
}
