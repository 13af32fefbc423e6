package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// HTTPProxy is a forward proxy of a company's network: it carries what asks for CONNECT, and knows every name, each
// as that of this machine. Programs that connect to loopback use no proxy. It may be used concurrently.
type HTTPProxy struct {
	listener net.Listener
	server   *http.Server
	ended    chan error
	carried  atomic.Int64
}

// StartHTTPProxy listens until the test ends.
func StartHTTPProxy(t testing.TB) *HTTPProxy {
	t.Helper()
	p, err := startHTTPProxy()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// SharedHTTPProxy is a proxy for all tests of a package.
func SharedHTTPProxy() *Shared[*HTTPProxy] {
	return &Shared[*HTTPProxy]{start: func() (*HTTPProxy, error) {
		p, err := startHTTPProxy()
		if err == nil {
			atEnd(func(context.Context, string) error { return p.close() }, "shared-proxy")
		}
		return p, err
	}}
}

func startHTTPProxy() (*HTTPProxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for an HTTP proxy: %w", err)
	}
	p := &HTTPProxy{listener: listener, ended: make(chan error, 1)}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { p.ended <- p.server.Serve(listener) }() // ends with close
	return p, nil
}

func (p *HTTPProxy) close() error {
	err := p.server.Close()
	if served := <-p.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// URL of the proxy.
func (p *HTTPProxy) URL() string { return "http://" + p.listener.Addr().String() }

// Carried is how many connections it has carried, or does.
func (p *HTTPProxy) Carried() int64 { return p.carried.Load() }

func (p *HTTPProxy) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "CONNECT alone is carried", http.StatusMethodNotAllowed)
		return
	}
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.carried.Add(1)
	connectTo(w, r, net.JoinHostPort("127.0.0.1", port))
}
