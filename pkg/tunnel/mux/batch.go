package mux

import (
	"net"
	"sync"
)

// Batch is a connection that gathers what is written while it is held, and writes it at once: TLS
// writes each record by itself, which is a system call for 16 KiB. It goes below TLS.
type Batch struct {
	net.Conn

	mu   sync.Mutex
	held bool   // guarded by mu
	out  []byte // guarded by mu; while it is held
}

// NewBatch returns a connection that writes to another.
func NewBatch(conn net.Conn) *Batch { return &Batch{Conn: conn} }

var outs = sync.Pool{New: func() any {
	b := make([]byte, 0, 2*batchBytes)
	return &b
}}

// Write implements net.Conn.
func (b *Batch) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.held {
		return b.Conn.Write(p)
	}
	b.out = append(b.out, p...)
	return len(p), nil
}

// Hold has writes gathered.
func (b *Batch) Hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held, b.out = true, (*outs.Get().(*[]byte))[:0]
}

// Release writes what was gathered. Others that write meanwhile wait.
func (b *Batch) Release() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = false
	_, err := b.Conn.Write(b.out)
	out := b.out
	b.out = nil
	outs.Put(&out)
	return err
}
