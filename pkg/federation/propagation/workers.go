package propagation

import (
	"context"
	"errors"

	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/reconcile"
)

// maxObjectWorkers bounds how many workers sync objects, whatever the KubeFedConfig says.
const maxObjectWorkers = 256

// workersFor returns how many workers sync objects, given maxConcurrentReconciles of the KubeFedConfig.
// KubeFed has so many for each type, and 1 by default; here all types share at least objectWorkers, so
// that a number up to that says nothing.
func workersFor(maxConcurrentReconciles int64) int {
	return int(min(max(maxConcurrentReconciles, objectWorkers), maxObjectWorkers))
}

func (e *Engine) wantedWorkers() int {
	if e.Concurrency == nil {
		return objectWorkers
	}
	return workersFor(e.Concurrency())
}

// hire starts workers until there are as many as wanted. They end with their queue, or when there
// are too many.
func (e *Engine) hire() {
	wanted := e.wantedWorkers()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped || e.runCtx == nil {
		return
	}
	for ctx := e.runCtx; e.workers < wanted; e.workers++ {
		e.wg.Go(func() { e.syncObjects(ctx) })
	}
}

func (e *Engine) syncObjects(ctx context.Context) {
	work := reconcile.Work[objectKey]{Queue: e.objects, Do: e.syncObject, Failed: failedToSync}
	for !e.leaves() && work.Next(ctx) {
	}
}

const failedToSync = "Failed to sync federated object"

// syncObject syncs an object. One that leaves no room for its status is left as it is: it would be refused again.
func (e *Engine) syncObject(ctx context.Context, key objectKey) error {
	err := e.sync(ctx, key)
	if errors.Is(err, errNoRoom) {
		klog.FromContext(ctx).Error(err, failedToSync, "item", key)
		return nil
	}
	return err
}

// leaves reports whether a worker is one too many, and counts it no more.
func (e *Engine) leaves() bool {
	wanted := e.wantedWorkers()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.workers <= wanted {
		return false
	}
	e.workers--
	return true
}
