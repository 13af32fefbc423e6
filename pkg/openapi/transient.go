package openapi

import (
	"net/http"
	"sync"
	"time"
)

// transient is a handler that is made when a request comes, and forgotten when none has come
// for a while.
type transient struct {
	make func() http.Handler

	mu      sync.Mutex
	handler http.Handler // nil while nobody asks
	idle    *time.Timer  // forgets the handler; nil as long as handler
}

// ServeHTTP implements http.Handler.
func (t *transient) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	t.wake().ServeHTTP(w, req)
}

// wake returns the handler, and keeps it for a while.
func (t *transient) wake() http.Handler {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.handler == nil {
		t.handler = t.make()
		t.idle = time.AfterFunc(keep, t.forget)
	} else {
		t.idle.Reset(keep)
	}
	return t.handler
}

// once returns the handler if it is there, or one that the caller alone has.
func (t *transient) once() http.Handler {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.handler != nil {
		return t.handler
	}
	return t.make()
}

// forget lets the handler go. Requests that have it are served by it.
func (t *transient) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.handler != nil {
		t.idle.Stop()
		t.handler, t.idle = nil, nil
	}
}
