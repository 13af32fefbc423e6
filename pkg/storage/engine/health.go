package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// errClosed is what requests get that were waiting when the engine was closed.
var errClosed = status.Error(codes.Unavailable, "the datastore is closed")

// probeInterval is how often a database that was found unusable is tried again.
const probeInterval = 250 * time.Millisecond

// deniedInterval is the same for one that does not accept the password: some lock a user
// out who tries too often.
const deniedInterval = 5 * time.Second

// health knows whether the database can be used. What has failed stays failed until a probe
// succeeds, so that requests need not find out one by one.
type health struct {
	name string
	// failing wakes the probe.
	failing chan struct{}
	mu      sync.Mutex
	// reads and writes are gRPC errors, nil while all is well.
	reads, writes error
}

func newHealth(name string) *health {
	return &health{name: name, failing: make(chan struct{}, 1)}
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

// unavailable is what a client is told: one sentence without addresses of clients, users or
// statements.
func (h *health) unavailable(err error) error {
	for _, damage := range []error{errLost, errMissing, sqllog.ErrShort} {
		if errors.Is(err, damage) {
			return status.Errorf(codes.Unavailable, "the %s is not available: %v", h.name, damage)
		}
	}
	if sqllog.Refused(err) {
		return status.Errorf(codes.Unavailable, "the %s refuses writes: %s", h.name, sqllog.Reason(err))
	}
	return status.Errorf(codes.Unavailable, "the %s is not available: %s", h.name, sqllog.Reason(err))
}

// readFailed says that reads do not work, so that writes cannot either.
func (h *health) readFailed(err error) error {
	told := h.unavailable(err)
	h.set(told, told, err)
	return told
}

// writeFailed says that writes do not work, as far as is known of reads.
func (h *health) writeFailed(err error) error {
	told := h.unavailable(err)
	h.set(h.readError(), told, err)
	return told
}

// readOnly says that reads work and writes do not.
func (h *health) readOnly(err error) { h.set(nil, h.unavailable(err), err) }

// recovered says that everything works.
func (h *health) recovered() { h.set(nil, nil, nil) }

func (h *health) set(reads, writes, cause error) {
	h.mu.Lock()
	was := h.writes
	h.reads, h.writes = reads, writes
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
			if sqllog.AccessDenied(e.probe(ctx)) {
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
