package engine

import (
	"context"
	"time"
)

// quickPoll is the pause between polls while other processes write.
const quickPoll = 10 * time.Millisecond

// runPoll looks for other processes' writes when nothing else does. It is quick while they
// write, and slows down step by step when they do not.
func (e *Engine) runPoll(ctx context.Context) {
	pause := e.options.Poll
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		before := e.foreign.Load()
		_ = e.sync.wait(ctx) // health has the error
		if e.foreign.Load() != before {
			pause = quickPoll
		} else {
			pause = min(2*pause, e.options.Poll)
		}
	}
}
