package app

import (
	"os"
	"runtime/debug"
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

// settle gives the memory back that was only needed to start: OpenAPI definitions of every
// Kubernetes type are built and thrown away.
func settle() { debug.FreeOSMemory() }
