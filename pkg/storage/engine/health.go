package engine

import (
	"context"
	"sync"
	"time"

	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// errClosed is what requests get that were waiting when the engine was closed.
var errClosed error = &fault.Unavailable{Fault: fault.Fault{Kind: fault.Closed, Reason: "this server is stopping"}, Store: "datastore"}

// probeInterval is how often a database that was found unusable is tried again.
const probeInterval = 250 * time.Millisecond

// deniedInterval is the same for one that does not accept the password: some lock a user
// out who tries too often.
const deniedInterval = 5 * time.Second

// health knows whether the database can be used. What has failed stays failed until a probe
// succeeds, so that requests need not find out one by one.
type health struct {
	// name is for the log, store for clients: it does not say where.
	name, store string
	// failing wakes the probe.
	failing chan struct{}
	mu      sync.Mutex
	// reads and writes are what clients are told, nil while all is well.
	reads, writes error
}

func newHealth(name, store string) *health {
	return &health{name: name, store: store, failing: make(chan struct{}, 1)}
}

// Err is nil while reads and writes work.
func (h *health) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reads != nil {
		return h.reads
	}
	return h.writes
}

func (h *health) readError() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reads
}

func (h *health) writeError() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.writes
}

// cannotRead is what those are told who read. It is not a refusal to write, whatever the kind of
// the error: a read needs nothing that writers do.
func (h *health) cannotRead(err error) error { return fault.Read(h.store, err) }

// cannotWrite is what those are told who write.
func (h *health) cannotWrite(err error) error { return fault.Write(h.store, err) }

// readFailed says that reads do not work, so that writes cannot either.
func (h *health) readFailed(err error) error {
	told := h.cannotRead(err)
	h.change(err, func() { h.reads, h.writes = told, told })
	return told
}

// writeFailed says that writes do not work, as far as is known of reads.
func (h *health) writeFailed(err error) error {
	told := h.cannotWrite(err)
	h.change(err, func() { h.writes = told })
	return told
}

// readOnly says that reads work and writes do not.
func (h *health) readOnly(err error) {
	told := h.cannotWrite(err)
	h.change(err, func() { h.reads, h.writes = nil, told })
}

// recovered says that everything works.
func (h *health) recovered() { h.change(nil, func() { h.reads, h.writes = nil, nil }) }

// change changes what is known, with the lock, and says of the cause what has come of it.
func (h *health) change(cause error, change func()) {
	h.mu.Lock()
	was := h.writes
	change()
	writes := h.writes
	h.mu.Unlock()
	if writes != nil {
		select {
		case h.failing <- struct{}{}:
		default:
		}
	}
	switch {
	case was == nil && writes != nil:
		klog.ErrorS(cause, "Datastore became unusable", "datastore", h.name)
	case was != nil && writes == nil:
		klog.InfoS("Datastore recovered", "datastore", h.name)
	}
}

// runProbe tries the database while it is unusable.
func (e *Engine) runProbe(ctx context.Context) {
	for {
		select {
		case <-e.health.failing:
		case <-ctx.Done():
			return
		}
		for wait := probeInterval; e.health.Err() != nil; {
			pause(ctx, wait)
			if ctx.Err() != nil {
				return
			}
			wait = probeInterval
			if fault.KindOf(e.probe(ctx)) == fault.Denied {
				wait = deniedInterval
			}
		}
	}
}

// probe finds out what works.
func (e *Engine) probe(ctx context.Context) error {
	if err := e.catchUp(ctx); err != nil {
		_ = e.health.readFailed(err) // nobody waits for it
		return err
	}
	if err := e.log.Probe(ctx); err != nil {
		e.health.readOnly(err)
		return err
	}
	e.health.recovered()
	return nil
}
