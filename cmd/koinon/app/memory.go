package app

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

// collectAt is how much garbage there may be before it is collected, in percent of what is
// live. Go's default of 100 doubles the memory of a server that mostly waits.
const collectAt = 50

// limitGarbage trades a little CPU for memory, unless the operator has set GOGC.
func limitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
}

// settleAfter are the times after readiness at which memory is given back: at once, when
// the controllers have listed everything, and when clients that were waiting have, too.
var settleAfter = []time.Duration{0, 15 * time.Second, time.Minute}

// settle gives the memory back that was only needed to start: OpenAPI definitions of every
// Kubernetes type are built and thrown away. It returns after the last time, or when ctx is
// done.
func settle(ctx context.Context) {
	ready := time.Now()
	for _, after := range settleAfter {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(ready.Add(after))):
			debug.FreeOSMemory()
		}
	}
}
