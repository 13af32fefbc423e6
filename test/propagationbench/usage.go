package main

import (
	"context"
	"time"

	"github.com/koinon-io/koinon/test/bench/contender"
)

const (
	kibi = 1 << 10
	mebi = 1 << 20
)

// cpu is the processor time that the server has used, in seconds.
func (w *world) cpu() float64 { return contender.CPU(w.koinon) }

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// idleRate is the processor time per second that the server uses while nothing happens.
func (w *world) idleRate(ctx context.Context, during time.Duration) (float64, error) {
	began, before := time.Now(), w.cpu()
	err := pause(ctx, during)
	return (w.cpu() - before) / time.Since(began).Seconds(), err
}

// cost returns the processor time of what do does, in seconds, without what the server uses
// anyway. do returns once all has come to rest.
func (w *world) cost(ctx context.Context, idleRate float64, do func(context.Context) error) (float64, error) {
	began, before := time.Now(), w.cpu()
	err := do(ctx)
	return max(w.cpu()-before-idleRate*time.Since(began).Seconds(), 0), err
}

// busy is the share of a processor from which on the server is at work: less may be the checks
// of its members.
func (w *world) busy() float64 { return max(0.1, 0.0007*float64(len(w.fleet.Members()))) }

// steady waits until the server does no more than it does anyway, and returns when it began
// to.
func (w *world) steady(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const quiet = 5 // samples of a second
	busy := w.busy()
	since, calm := time.Now(), 0
	for calm < quiet {
		rate, err := w.idleRate(ctx, time.Second)
		if err != nil {
			return since, err
		}
		if calm++; rate > busy {
			since, calm = time.Now(), 0
		}
	}
	return since, nil
}

// idleWindow is over how long an idle server is watched.
func (b *bench) idleWindow() time.Duration {
	if b.scale < 0.1 {
		return 3 * time.Second
	}
	return 20 * time.Second
}
