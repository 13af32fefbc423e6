package main

import (
	"context"
	"time"

	"github.com/koinon-io/koinon/test/bench/contender"
)

// idle looks at what members cost that nothing is placed on.
func (b *bench) idle(ctx context.Context) error {
	few, lots := b.times(100, 5), b.times(1000, 25)
	return b.inWorld(ctx, few, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), noLabels); err != nil {
			return err
		}
		before, err := w.standby(ctx)
		if err != nil {
			return err
		}
		if err := w.fleet.Grow(lots - few); err != nil {
			return err
		}
		b.Say("join %d more members", lots-few)
		if err := w.join(ctx, w.fleet.Members()[few:], noLabels); err != nil {
			return err
		}
		after, err := w.standby(ctx)
		if err != nil {
			return err
		}
		more := float64(lots - few)
		b.aim("MiB", (after.rss-before.rss)/mebi/more, 0.5, "each further idle member up to %d, RSS", lots)
		b.tell("MiB", (after.heap-before.heap)/mebi/more, "each further idle member up to %d, heap after GC", lots)
		b.aim("CPU-ms/s", (after.cpuRate-before.cpuRate)*1000/more, 0.1, "each further idle member up to %d", lots)
		return nil
	})
}

// idlePeriod is how long it takes until all that an idle member causes has happened once, the
// write of its status among it.
func (w *world) idlePeriod() time.Duration {
	if w.scale < 0.1 {
		return 2 * w.idleWindow()
	}
	return 5*time.Minute + 2*w.idleWindow()
}

type standby struct{ rss, heap, cpuRate float64 }

func (w *world) standby(ctx context.Context) (standby, error) {
	if err := pause(ctx, w.idleWindow()); err != nil { // what joining began ends
		return standby{}, err
	}
	rate, err := w.idleRate(ctx, w.idlePeriod())
	if err != nil {
		return standby{}, err
	}
	memory, err := contender.MeasureMemory(ctx, w.koinon)
	return standby{memory["koinon"].RSS, memory["koinon"].Heap, rate}, err
}
