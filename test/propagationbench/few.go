package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What a stock KubeFed controller does at most: with ten workers it brought 21 objects a second into one cluster, and
// it allows itself 20 writes a second to each cluster for each type.
const (
	stockObjects, stockWrites = 20.9, 20
	// times is how many times that is aimed at.
	timesStock = 20
)

// few brings many objects into few members: what a stock KubeFed controller was measured with.
func (b *bench) few(ctx context.Context) error {
	const members = 2
	objects := b.times(2000, 20)
	everywhere := placement{topology: "cluster", labels: map[string]string{"all": "true"}}
	everyLabel := func(int) map[string]string { return everywhere.labels }
	return b.inWorld(ctx, members, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), everyLabel); err != nil {
			return err
		}
		if _, err := w.steady(ctx); err != nil {
			return err
		}
		idle, err := w.idleRate(ctx, b.idleWindow())
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d objects × %d members", objects, members)
		b.Say("create %s", what)
		took, err := w.everyObject(ctx, idle, objects, members, 0, func(name string) error { return w.create(ctx, name, everywhere) })
		if err != nil {
			return err
		}
		b.aimLeast("objects/s", float64(objects)/took.Seconds(), timesStock*stockObjects, "%s, created", what)
		b.Say("change all of them")
		took, err = w.everyObject(ctx, idle, objects, members, 1, func(name string) error { return w.setRound(ctx, name, 1) })
		if err != nil {
			return err
		}
		b.aimLeast("writes/s", float64(objects)/took.Seconds(), timesStock*stockWrites, "%s, changed, to each member", what)
		return w.joinLate(ctx, objects, everyLabel)
	})
}

// everyObject does something with each object, and returns how long it took until all members had that round of all.
func (w *world) everyObject(ctx context.Context, idle float64, objects, members, round int, do func(name string) error) (time.Duration, error) {
	waits := make([]*sighting, objects)
	name := func(i int) string { return fmt.Sprintf("%s%d", objectPrefix, i) }
	for i := range waits {
		waits[i] = w.expect(name(i), round, members, nil)
	}
	began := time.Now()
	last := began
	cpu, err := w.cost(ctx, idle, func(ctx context.Context) error {
		if err := many(objects, func(i int) error { return do(name(i)) }); err != nil {
			return err
		}
		w.Say("the host has them after %.1f s", time.Since(began).Seconds())
		for _, wait := range waits {
			seen, err := w.await(ctx, wait)
			if err != nil {
				return err
			}
			if seen.After(last) {
				last = seen
			}
		}
		return w.rest(ctx, 2*time.Second)
	})
	w.tell("CPU-ms", 1000*cpu/float64(objects), "%d objects × %d members, round %d, for each object", objects, members, round)
	return last.Sub(began), err
}

// joinLate has one more member join, into which all objects go.
func (w *world) joinLate(ctx context.Context, objects int, labels func(int) map[string]string) error {
	if err := w.fleet.Grow(1); err != nil {
		return err
	}
	w.Say("join one more member")
	before := w.created.Load()
	w.first.Store(0)
	all := w.fleet.Members()
	if err := w.join(ctx, all[len(all)-1:], labels); err != nil {
		return err
	}
	err := w.eventually(ctx, "it has all objects", func(context.Context) error {
		if w.created.Load()-before < int64(objects) {
			return errors.New("it has not")
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Duration(w.last.Load() - w.first.Load())
	w.aimLeast("writes/s", float64(objects-1)/took.Seconds(), timesStock*stockWrites, "%d objects into a member that joins", objects)
	return nil
}
