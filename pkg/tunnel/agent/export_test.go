package agent

import "time"

// SetFirstKnown has an agent wait for so long, at most, once it has met only replicas that it knows.
func (a *Agent) SetFirstKnown(d time.Duration) { a.firstKnown = d }
