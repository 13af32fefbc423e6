package app

import (
	"fmt"
	"net"
	"net/http"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/koinon-io/koinon/pkg/edgehub/status"
)

const (
	// maxConnections is how many connections a listener has, and maxConnectionsOf how many of them one address has: a pod has one, and all pods of the host's network are one.
	maxConnections, maxConnectionsOf = 8192, 1024
)

// maxRequests is how many requests of pods are under way, and maxRequestsOf how many of them from one address: a connection may have some hundreds, and each is memory of the whole hub's.
const maxRequests, maxRequestsOf = 16384, 1024

// shares are of what there is once for all.
type shares struct {
	all, each int

	mu   sync.Mutex
	open map[string]int // by address; guarded by mu
	sum  int            // guarded by mu
}

func newShares(all, each int) *shares { return &shares{all: all, each: each, open: map[string]int{}} }

// limited closes connections of whoever has too many: files are the whole hub's.
type limited struct {
	net.Listener
	*shares
}

func newLimited(l net.Listener) *limited {
	return &limited{l, newShares(maxConnections, maxConnectionsOf)}
}

// requests has whoever has too many under way come again later.
func (s *shares) requests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		from, _, _ := net.SplitHostPort(r.RemoteAddr)
		if !s.take(from) {
			rw.Header().Set("Retry-After", "1")
			status.Write(rw, apierrors.NewTooManyRequests(fmt.Sprintf("%d requests of one address may be under way at a time", s.each), 1))
			return
		}
		defer s.give(from)
		next.ServeHTTP(rw, r)
	})
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
		if l.take(from) {
			return &counted{Conn: conn, done: sync.OnceFunc(func() { l.give(from) })}, nil
		}
		_ = conn.Close()
	}
}

func (s *shares) take(from string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sum >= s.all || s.open[from] >= s.each {
		return false
	}
	s.sum++
	s.open[from]++
	return true
}

func (s *shares) give(from string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum--
	if s.open[from]--; s.open[from] == 0 {
		delete(s.open, from)
	}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn
	done func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.done()
	return c.Conn.Close()
}
