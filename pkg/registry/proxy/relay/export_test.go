package relay

import "time"

// Running is how many members, and users in one, have requests under way.
func (rl *Relay) Running() int {
	rl.limits.mu.Lock()
	defer rl.limits.mu.Unlock()
	return len(rl.limits.running)
}

// SetUnreadFor sets how long clients may take for answers that were ended here.
func SetUnreadFor(rl *Relay, d time.Duration) { rl.unreadFor = d }

// SetUnsentFor sets how long clients may take for the rest of requests whose answers have ended.
func SetUnsentFor(rl *Relay, d time.Duration) { rl.unsentFor = d }

// SetRefusalFor sets how long the ends of refusals may take that are to have their length.
func SetRefusalFor(rl *Relay, d time.Duration) { rl.refusalFor = d }
