package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
)

const (
	// headerTimeout is how long the header of a request may take, requestTimeout it and its body, and answerTimeout
	// the answer from the header on.
	headerTimeout, requestTimeout, answerTimeout = 5 * time.Second, 10 * time.Second, 15 * time.Second
	// headerBytes bounds the header of a request.
	headerBytes = 8 << 10
)

// web answers what is no link: one request for each connection, so that nobody holds a place among the guests.
type web struct {
	server *Server
	http   *http.Server
	handed *handed
	// guests are whose connections are served, by connection: *guest.
	guests sync.Map
}

// newWeb returns one that serves until ctx ends.
func newWeb(ctx context.Context, s *Server) *web {
	w := &web{server: s, handed: &handed{conns: make(chan net.Conn), closed: make(chan struct{})}}
	routes := http.NewServeMux()
	routes.HandleFunc("GET "+carrier.LinkPath, func(rw http.ResponseWriter, r *http.Request) { w.link(ctx, rw, r) })
	if s.config.HTTP != nil {
		routes.Handle("/", s.config.HTTP)
	}
	w.http = &http.Server{
		Handler: routes, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, MaxHeaderBytes: headerBytes,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
		ConnState: func(conn net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				w.left(conn)
			}
		},
		// Anybody may send anything, and is answered; that is for debugging.
		ErrorLog: slog.NewLogLogger(s.config.Logger.Handler(), slog.LevelDebug),
	}
	w.http.SetKeepAlivesEnabled(false)
	return w
}

// connKey is whose value in a request's context is its connection.
type connKey struct{}

// serve returns once close was called.
func (w *web) serve() {
	if err := w.http.Serve(w.handed); !errors.Is(err, http.ErrServerClosed) {
		w.server.config.Logger.Error("Stopped answering HTTP", "err", err)
	}
}

func (w *web) close() { _ = w.http.Close() }

// take has a connection served. It is a guest until it is closed, or a link.
func (w *web) take(conn net.Conn, of *guest) {
	w.guests.Store(conn, of)
	if !w.handed.hand(conn) {
		_ = conn.Close()
		w.left(conn)
	}
}

// left has a connection be no guest any more.
func (w *web) left(conn net.Conn) {
	if of, ok := w.guests.LoadAndDelete(conn); ok {
		of.(*guest).Leave()
	}
}

// link makes a request a connection, of which a link is made as of any other.
func (w *web) link(ctx context.Context, rw http.ResponseWriter, r *http.Request) {
	outer := r.Context().Value(connKey{}).(net.Conn)
	found, ok := w.guests.Load(outer)
	if !ok || found.(*guest).inside {
		http.Error(rw, "a WebSocket within a WebSocket is not made", http.StatusBadRequest)
		return
	}
	conn, err := carrier.Accept(rw, r)
	if err != nil { // it was answered, or is closed
		w.left(outer)
		return
	}
	w.guests.Delete(outer)
	of := found.(*guest)
	of.inside = true
	go w.server.receive(ctx, w, conn, of) // ends with the connection
}

// handed is a listener of connections that others have accepted.
type handed struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// hand reports whether somebody has taken the connection.
func (h *handed) hand(conn net.Conn) bool {
	select {
	case h.conns <- conn:
		return true
	case <-h.closed:
		return false
	}
}

// Accept implements net.Listener.
func (h *handed) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handed) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handed) Addr() net.Addr { return &net.TCPAddr{} }
