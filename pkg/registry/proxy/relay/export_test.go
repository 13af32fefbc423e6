package relay

// Running is how many members, and users in one, have requests under way.
func (rl *Relay) Running() int {
	rl.limits.mu.Lock()
	defer rl.limits.mu.Unlock()
	return len(rl.limits.running)
}
