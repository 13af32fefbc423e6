package app

import (
	"context"
	"os"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

const (
	// garbage is how much of it there may be before it is collected, in percent of what is in use: the hub is small and has little to do, and a node has better use for memory than for
	// processor time. Operators set another with GOGC.
	garbage = 30
	// lookEvery is how often it is looked for memory that is not used any more, and giveBack how much it has to be: a list that was read leaves some.
	lookEvery, giveBack = 10 * time.Second, 3 << 20
)

// KeepSmall has this process use little memory, until ctx ends. It is for a process that is a hub, and nothing else.
func KeepSmall(ctx context.Context) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if memoryOf("/memory/classes/heap/free:bytes") >= giveBack {
				debug.FreeOSMemory() // Go does so by itself, and takes minutes
			}
		}
	}
}

// memoryOf is one of the figures of Go's runtime.
func memoryOf(name string) uint64 {
	sample := []runtimemetrics.Sample{{Name: name}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}
