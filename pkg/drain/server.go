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
	// idleTimeout is longer than the 90 s after which Go's clients close an idle connection,
	// the aggregator's among them. If the server were first, a request that is sent at that
	// moment would fail.
	idleTimeout       = 3 * time.Minute
	readHeaderTimeout = 32 * time.Second
	maxHeaderBytes    = 1 << 20
)

// Config says what to serve. Every field but the clock is required.
type Config struct {
	// Listener accepts TCP connections. Shutdown closes it.
	Listener net.Listener
	// TLS has the certificates. If it has a GetConfigForClient, that must offer no other
	// protocol than HTTP/1.1.
	TLS *tls.Config
	// Handler is served.
	Handler http.Handler
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
	config   Config
	http     *http.Server
	listener net.Listener
	draining atomic.Bool
}

// New checks the configuration and starts nothing.
func New(config Config) (*Server, error) {
	if config.Listener == nil || config.TLS == nil || config.Handler == nil || config.MaxAge <= 0 || config.ErrorLog == nil {
		return nil, errors.New("drain: Listener, TLS, Handler, MaxAge and ErrorLog must be set")
	}
	if config.Clock == nil {
		config.Clock = clock.RealClock{}
	}
	s := &Server{config: config}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		Protocols:         &protocols,
		MaxHeaderBytes:    maxHeaderBytes,
		IdleTimeout:       idleTimeout,
		ReadHeaderTimeout: readHeaderTimeout,
		ErrorLog:          config.ErrorLog,
		ConnContext:       s.open,
	}
	secure := config.TLS.Clone()
	secure.NextProtos = []string{"http/1.1"}
	s.listener = tls.NewListener(config.Listener, secure)
	return s, nil
}

// Serve serves until Shutdown is called, and returns an error if it ends for another reason.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Drain has every client go with its next answer. Requests are served as before.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown stops listening, closes idle connections and waits for the others. If ctx ends
// before that, these are closed, and its error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	return err
}

// expiryKey is where the context of a request has the time at which its connection is too old.
type expiryKey struct{}

func (s *Server) open(ctx context.Context, _ net.Conn) context.Context {
	age := s.config.MaxAge - rand.N(s.config.MaxAge/5+1)
	return context.WithValue(ctx, expiryKey{}, s.config.Clock.Now().Add(age))
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	// An upgraded connection is no longer ours, and its answer has another "Connection".
	if r.Header.Get("Upgrade") == "" && (s.draining.Load() || s.tooOld(r)) {
		w.Header().Set("Connection", "close")
	}
	s.config.Handler.ServeHTTP(w, r)
}

func (s *Server) tooOld(r *http.Request) bool {
	expiry, ok := r.Context().Value(expiryKey{}).(time.Time)
	return ok && s.config.Clock.Now().After(expiry)
}
