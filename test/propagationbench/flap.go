package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/test/simulation"
)

// flap takes one of many members down and up again.
func (b *bench) flap(ctx context.Context) error {
	const groups = 10
	members, objects := b.times(1000, groups), b.times(100, groups)
	inGroup := members / groups
	members, objects = inGroup*groups, objects/groups*groups
	group := func(i int) map[string]string { return map[string]string{"group": fmt.Sprint(i % groups)} }
	return b.inWorld(ctx, members, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), group); err != nil {
			return err
		}
		b.Say("create %d objects with %d targets each", objects, inGroup)
		err := many(objects, func(i int) error {
			return w.create(ctx, fmt.Sprintf("%s%d", objectPrefix, i), placement{topology: "cluster", labels: group(i)})
		})
		if err != nil {
			return err
		}
		err = w.eventually(ctx, "all targets have all objects", func(context.Context) error {
			if w.created.Load() < int64(objects*inGroup) {
				return errors.New("they have not")
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := w.rest(ctx, 5*time.Second); err != nil {
			return err
		}
		if _, err := w.steady(ctx); err != nil {
			return err
		}
		idle, err := w.idleRate(ctx, b.idleWindow())
		if err != nil {
			return err
		}
		return w.flapOne(ctx, w.fleet.Members()[0], objects/groups, idle)
	})
}

func (w *world) flapOne(ctx context.Context, m *simulation.Member, objects int, idle float64) error {
	what := fmt.Sprintf("flap of one of %d members, which has %d objects", len(w.fleet.Members()), objects)
	w.Say("flap")
	writes, statuses := w.fleet.Counts().Writes(), w.status.count.Load()
	cpu, err := w.cost(ctx, idle, func(ctx context.Context) error {
		m.Down()
		if err := w.awaitHealth(ctx, m.Name(), false); err != nil {
			return err
		}
		if err := w.rest(ctx, 3*time.Second); err != nil {
			return err
		}
		m.Up()
		if err := w.awaitHealth(ctx, m.Name(), true); err != nil {
			return err
		}
		return w.rest(ctx, 3*time.Second)
	})
	if err != nil {
		return err
	}
	w.tell("CPU-s", cpu, "%s", what)
	w.aim("", float64(w.fleet.Counts().Writes()-writes), 0, "%s, writes to members", what)
	// Down and up are two changes of each status.
	w.aim("", float64(w.status.count.Load()-statuses), float64(2*objects), "%s, status writes", what)
	return nil
}
