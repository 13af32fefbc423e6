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

// authority are the authorities of the server's certificate, as they were read last.
type authority struct {
	read func() ([]byte, error)

	mu   sync.Mutex // guards what follows
	once bool
	pem  []byte
}

func newAuthority(read func() ([]byte, error)) *authority { return &authority{read: read} }

// bytes returns what was read last; the first time it reads.
func (a *authority) bytes() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.once {
		if pem, err := a.read(); err == nil { // follow says why not
			a.once, a.pem = true, bytes.TrimSpace(pem)
		}
	}
	return a.pem
}

// follow reads again until ctx ends, and calls changed when there are others.
func (a *authority) follow(ctx context.Context, changed func()) {
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
func (a *authority) take(pem []byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	changed := !bytes.Equal(a.pem, pem)
	a.once, a.pem = true, pem
	return changed
}
