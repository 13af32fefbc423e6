package main

import (
	"context"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/test/bench/contender"
)

// bulk makes many objects, and restarts the server once they are there.
func (b *bench) bulk(ctx context.Context) error {
	members, objects := b.times(100, 2), b.times(1000, 10)
	return b.inWorld(ctx, members, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), noLabels); err != nil {
			return err
		}
		if err := w.makeCells(ctx, 0, members, w.memberNames(), members); err != nil {
			return err
		}
		b.Say("create %d objects with %d targets each", objects, members)
		began, before := time.Now(), w.cpu()
		err := many(objects, func(i int) error {
			return w.create(ctx, fmt.Sprintf("%s%d", objectPrefix, i), toCells(members))
		})
		if err != nil {
			return err
		}
		err = w.eventually(ctx, "all targets have all objects", func(context.Context) error {
			if made := w.created.Load(); made < int64(objects*members) {
				return fmt.Errorf("%d of %d are there", made, objects*members)
			}
			return nil
		})
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d objects × %d targets", objects, members)
		seconds := time.Unix(0, w.last.Load()).Sub(began).Seconds()
		b.tell("objects/s", float64(objects)/seconds, "%s, created", what)
		b.tell("target objects/s", float64(objects*members)/seconds, "%s, created", what)
		if err := w.rest(ctx, 5*time.Second); err != nil {
			return err
		}
		b.tell("CPU-s", w.cpu()-before, "%s, created", what)
		if err := w.sizes(ctx, what, objects*members); err != nil {
			return err
		}
		return w.restart(ctx, what, objects, members)
	})
}

// sizes tells what many objects take.
func (w *world) sizes(ctx context.Context, what string, targetObjects int) error {
	w.tell("MiB", contender.ReadMemory(w.koinon.Processes()[0].PID).PeakRSS/mebi, "%s, peak RSS", what)
	memory, err := contender.MeasureMemory(ctx, w.koinon)
	if err != nil {
		return err
	}
	w.tell("MiB", memory["koinon"].RSS/mebi, "%s, RSS", what)
	w.tell("MiB", memory["koinon"].Heap/mebi, "%s, heap after GC", what)
	stored, err := w.databaseBytes()
	if err != nil {
		return err
	}
	if targetObjects == 100_000 { // what the aim is of
		w.aim("MB", float64(stored)/1e6, 160, "%s, bytes stored", what)
	} else {
		w.tell("MB", float64(stored)/1e6, "%s, bytes stored", what)
	}
	return nil
}

// restart counts what a restart writes, and waits until changes arrive again.
func (w *world) restart(ctx context.Context, what string, objects, targets int) error {
	if _, err := w.allOK(ctx, objectPrefix+"0", targets); err != nil {
		return err
	}
	before, err := w.versions(ctx)
	if err != nil {
		return err
	}
	w.Say("restart")
	w.stopWatch()
	if err := w.koinon.Stop(ctx); err != nil {
		return err
	}
	writes, statuses := w.fleet.Counts().Writes(), w.status.count.Load()
	began := time.Now()
	if err := w.koinon.Start(ctx); err != nil {
		return err
	}
	w.tell("s", time.Since(began).Seconds(), "restart with %s, ready", what)
	if err := w.watchStatus(ctx); err != nil {
		return err
	}
	since, err := w.steady(ctx)
	if err != nil {
		return err
	}
	w.aim("s", since.Sub(began).Seconds(), 60, "restart with %s, steady", what)
	w.tell("CPU-s", w.cpu(), "restart with %s", what)
	after, err := w.versions(ctx)
	if err != nil {
		return err
	}
	rewritten := 0
	for name, version := range before {
		if after[name] != version {
			rewritten++
		}
	}
	w.aim("", float64(w.fleet.Counts().Writes()-writes), 0, "restart with %s, writes to members", what)
	w.aim("", float64(max(int64(rewritten), w.status.count.Load()-statuses)), 0, "restart with %s, status writes", what)
	w.Say("change one of %d objects", objects)
	took, err := w.change(ctx, objectPrefix+"0", 1, targets, nil)
	w.tell("s", took.Seconds(), "after a restart with %s, one update", what)
	return err
}
