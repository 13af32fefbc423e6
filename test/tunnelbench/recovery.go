package main

import (
	"context"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
)

// recovery is how long it takes from a death to the first byte on a new connection. Connections that a dead process carried are lost
// whatever carries them.
func (w *world) recovery(ctx context.Context, s *sheet) error {
	if err := w.populate(ctx, 1); err != nil {
		return err
	}
	names := []string{wayConnect, wayTheirs}
	pause := w.lasts(2 * time.Second)
	cases := []struct {
		name string
		kill func(tunnelUnderTest) error
	}{
		{"server killed, and started again at once", func(t tunnelUnderTest) error { t.killServer(); return t.startServer(ctx) }},
		{fmt.Sprintf("server killed, and started again after %s: from then", pause), func(t tunnelUnderTest) error {
			t.killServer()
			if err := sleep(ctx, pause); err != nil {
				return err
			}
			return t.startServer(ctx)
		}},
		{"agent killed, and started again at once", func(t tunnelUnderTest) error { t.killAgent(0); return t.startAgent(ctx, 0) }},
	}
	measure := func(name string) report.Measure {
		return report.Measure{Group: "From a death to the first byte on a new connection", Name: name, Unit: "ms"}
	}
	for i, c := range cases {
		w.Say("%s", c.name)
		err := w.turns(ctx, names, func(y *way) error {
			began := time.Now()
			if err := c.kill(y.tunnel); err != nil {
				return err
			}
			if i == 1 {
				began = began.Add(pause)
			}
			took, err := firstByte(ctx, y, began)
			if err != nil {
				return err
			}
			s.add(y.name, measure(c.name), millis(took))
			return y.tunnel.linked(ctx, 1)
		})
		if err != nil {
			return err
		}
	}
	w.Say("one of two agents killed")
	if err := w.second(ctx); err != nil {
		return err
	}
	turn := map[string]int{}
	return w.turns(ctx, names, func(y *way) error {
		victim := turn[y.name] % 2
		turn[y.name]++
		began := time.Now()
		y.tunnel.killAgent(victim)
		took, err := firstByte(ctx, y, began)
		if err != nil {
			return err
		}
		s.add(y.name, measure("one of two agents killed"), millis(took))
		if err := y.tunnel.startAgent(ctx, victim); err != nil {
			return err
		}
		return y.tunnel.linked(ctx, 2)
	})
}

// second starts a second agent of each.
func (w *world) second(ctx context.Context) error {
	w.ours.agents = append(w.ours.agents, nil)
	if err := w.ours.startAgent(ctx, 1); err != nil {
		return err
	}
	if err := w.ours.linked(ctx, 2); err != nil || w.theirs == nil {
		return err
	}
	ports, err := w.freePorts(2)
	if err != nil {
		return err
	}
	t := w.theirs
	t.adminOf, t.healthOf = append(t.adminOf, ports[0]), append(t.healthOf, ports[1])
	t.agents = append(t.agents, nil)
	if err := t.startAgent(ctx, 1); err != nil {
		return err
	}
	return t.linked(ctx, 2)
}

// firstByte dials until a byte has come back, and returns how long that is since a time.
func firstByte(ctx context.Context, y *way, since time.Time) (time.Duration, error) {
	for {
		a, err := y.do(ctx, order{Work: workFirst, Address: y.address})
		if err == nil && a.Stuck == "" {
			return time.Since(since), nil
		}
		if ctx.Err() != nil || time.Since(since) > 2*patience {
			return 0, fmt.Errorf("no byte came back within %s: %s, %w", 2*patience, a.Stuck, err)
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// first dials once and waits for a byte.
func (w *worker) first(ctx context.Context, o order) (a answer, err error) {
	if _, _, err := w.dialOnce(ctx, order{Address: o.Address, Echo: true}); err != nil {
		a.Stuck = err.Error()
	}
	return a, nil
}
