package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/simulation"
)

// neighbours changes an object in many members while some of them are ill, and looks at the
// others.
func (b *bench) neighbours(ctx context.Context) error {
	members := b.times(100, 20)
	return b.inWorld(ctx, members, func(w *world) error {
		if err := w.join(ctx, w.fleet.Members(), func(int) map[string]string { return map[string]string{"all": "true"} }); err != nil {
			return err
		}
		name := objectPrefix + "everywhere"
		made := w.expect(name, 0, members, nil)
		if err := w.create(ctx, name, placement{topology: "cluster", labels: map[string]string{"all": "true"}}); err != nil {
			return err
		}
		if _, err := w.await(ctx, made); err != nil {
			return err
		}
		return w.illnesses(ctx, name)
	})
}

func (w *world) illnesses(ctx context.Context, name string) error {
	all := w.fleet.Members()
	first := all[0]
	round, well := 1, 0.0
	faulty := func(fault simulation.Fault) func(context.Context) func() {
		return func(context.Context) func() {
			first.SetFaults(fault)
			return func() { first.SetFaults() }
		}
	}
	for _, illness := range []struct {
		name  string
		ill   int // how many members
		begin func(context.Context) (end func())
	}{
		{"nobody is ill", 0, func(context.Context) func() { return func() {} }},
		{"one hangs", 1, faulty(simulation.Fault{Hang: true})},
		{"one fails all", 1, faulty(simulation.Fault{
			Verbs: []string{"get", "create", "update", "patch", "delete"}, Code: http.StatusInternalServerError})},
		{"ten flap every 5 s", 10, func(ctx context.Context) func() { return flapEvery(ctx, 5*time.Second, all[:10]) }},
	} {
		w.Say("%s", illness.name)
		if err := w.rest(ctx, 3*time.Second); err != nil {
			return err
		}
		ignored := map[string]bool{}
		for _, m := range all[:illness.ill] {
			ignored[m.Name()] = true
		}
		end := illness.begin(ctx)
		took, err := w.pacedChanges(ctx, name, round, len(all)-illness.ill, ignored)
		end()
		if err != nil {
			return fmt.Errorf("%s: %w", illness.name, err)
		}
		round += w.rounds
		p99 := report.Percentile(took, 99).Seconds()
		w.tell("s", report.Percentile(took, 50).Seconds(), "one object → %d members, update, median, %s", len(all), illness.name)
		w.tell("s", p99, "one object → %d members, update, P99, %s", len(all), illness.name)
		if illness.ill == 0 {
			well = p99
			continue
		}
		w.aim("", p99/well, 1.2, "the same ÷ without, %s", illness.name)
		if err := w.allReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pacedChanges makes rounds with a second between them, whatever else goes on.
func (w *world) pacedChanges(ctx context.Context, name string, first, targets int, ignored map[string]bool) ([]time.Duration, error) {
	var took []time.Duration
	for round := range w.rounds {
		d, err := w.change(ctx, name, first+round, targets, ignored)
		if err == nil {
			err = pause(ctx, time.Second)
		}
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
	return took, nil
}

// flapEvery takes members down and up until end is called, which leaves them up.
func flapEvery(ctx context.Context, period time.Duration, members []*simulation.Member) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { // ends with stop
		for down := true; ; down = !down {
			for _, m := range members {
				if down {
					m.Down()
				} else {
					m.Up()
				}
			}
			if pause(ctx, period) != nil {
				break
			}
		}
		for _, m := range members {
			m.Up()
		}
	})
	return func() {
		stop()
		running.Wait()
	}
}
