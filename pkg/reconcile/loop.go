// Package reconcile runs a function that puts one thing right, again and again: soon after
// something has changed, from time to time although nothing has, and after a failure later and
// later. It also bounds how often such a function writes, against somebody who undoes every
// correction.
//
// A Loop is for what has one key. Where many objects are kept, Work is done with the items of a queue.
//
// New and NewQueue start nothing, and Run is called once. The other methods may be called at any time and
// concurrently, before Run too. What panics ends the process.
package reconcile

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/util/workqueue"
)

// Resync is how often to look at everything although nothing was said to have changed.
const Resync = 30 * time.Second

const (
	// settle is how long Run waits for further changes before it acts on one.
	settle = 50 * time.Millisecond
	// attemptTimeout bounds one attempt.
	attemptTimeout = 30 * time.Second

	minRetry, maxRetry = 200 * time.Millisecond, time.Minute
	// Writes per second and at once.
	writesPerSecond, writesAtOnce = 1, 30
)

// Loop calls one function for as long as it runs.
type Loop struct {
	changed chan struct{} // holds one: "something has changed"
	retries workqueue.TypedRateLimiter[struct{}]
	writes  *rate.Limiter
}

// New makes a loop.
func New() *Loop {
	return &Loop{
		changed: make(chan struct{}, 1),
		retries: workqueue.NewTypedItemExponentialFailureRateLimiter[struct{}](minRetry, maxRetry),
		writes:  rate.NewLimiter(writesPerSecond, writesAtOnce),
	}
}

// Changed makes Run attempt once more, after a moment in which further changes are waited for.
// It does not block.
func (l *Loop) Changed() {
	select {
	case l.changed <- struct{}{}:
	default: // one that was not yet seen says it too
	}
}

// MayWrite waits until another write is allowed. It fails when ctx ends before.
func (l *Loop) MayWrite(ctx context.Context) error {
	if err := l.writes.Wait(ctx); err != nil {
		return fmt.Errorf("wait because something undoes every correction: %w", err)
	}
	return nil
}

// Attempt puts right what is wrong. It returns how soon it is to be called again although
// nothing has changed, commonly after Resync.
type Attempt func(context.Context) (again time.Duration, err error)

// Run calls attempt at once, and then again and again until ctx is done: after a failure first in
// 200 ms, then later and later up to a minute, whatever time it returned. Its context ends after
// half a minute.
//
// done is called after each attempt with its error, nil if it has succeeded, but not with that of
// one that the end of ctx has cut short. Calls never overlap.
func (l *Loop) Run(ctx context.Context, attempt Attempt, done func(error)) {
	for after := time.Duration(0); l.wait(ctx, after); {
		again, err := l.try(ctx, attempt)
		if err == nil || ctx.Err() == nil {
			done(err)
		}
		if err != nil {
			after = l.retries.When(struct{}{})
			continue
		}
		l.retries.Forget(struct{}{})
		after = again
	}
}

func (l *Loop) try(ctx context.Context, attempt Attempt) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return attempt(ctx)
}

// wait returns after the time, or a moment after a change. It returns false once ctx is done.
func (l *Loop) wait(ctx context.Context, after time.Duration) bool {
	if pause(ctx, after, l.changed) {
		pause(ctx, settle, nil)
		select { // the attempt that follows sees what has changed meanwhile
		case <-l.changed:
		default:
		}
	}
	return ctx.Err() == nil
}

// pause waits for a time, until ctx is done, or until something is received, and returns whether
// it was.
func pause(ctx context.Context, d time.Duration, until <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-until:
		return true
	}
	return false
}
