package cellaccess

import (
	"bytes"
	"context"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

// readEvery is how often the authorities are read again.
const readEvery = time.Minute

// Authority are the authorities of the server's certificate, as they were read last. It may be used
// concurrently.
type Authority struct {
	read func() ([]byte, error)

	mu   sync.Mutex // guards what follows
	once bool
	pem  []byte
}

// NewAuthority returns those that read reads. It reads nothing yet.
func NewAuthority(read func() ([]byte, error)) *Authority { return &Authority{read: read} }

// PEM returns what was read last; the first time it reads. Nothing are those of the client's system, or
// none could be read yet: see Known.
func (a *Authority) PEM() []byte {
	pem, _ := a.Known()
	return pem
}

// Known is PEM, and whether it was ever read.
func (a *Authority) Known() (pem []byte, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.once {
		if pem, err := a.read(); err == nil { // Follow says why not
			a.once, a.pem = true, bytes.TrimSpace(pem)
		}
	}
	return a.pem, a.once
}

// Follow reads again until ctx ends, and calls changed when there are others.
func (a *Authority) Follow(ctx context.Context, changed func()) {
	ticker := time.NewTicker(readEvery)
	defer ticker.Stop()
	for {
		pem, err := a.read()
		if err != nil {
			klog.FromContext(ctx).Error(err, "Failed to read the authority of the endpoints of cells; the last one is used")
		} else if a.take(bytes.TrimSpace(pem)) {
			changed()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// take reports whether they are others than before.
func (a *Authority) take(pem []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	changed := !bytes.Equal(a.pem, pem)
	a.once, a.pem = true, pem
	return changed
}
