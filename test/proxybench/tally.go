package main

import (
	"context"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/bench/report"
)

// tally is what all turns of a column have cost.
type tally struct {
	took []time.Duration
	cpu  usage // without what servers use while nothing happens
}

func (t *tally) median() float64 { return milliseconds(report.Percentile(t.took, 50)) }
func (t *tally) p99() float64    { return milliseconds(report.Percentile(t.took, 99)) }

// each is processor time in milliseconds for each thing that was timed.
func (t *tally) each(seconds float64) float64 {
	return max(seconds, 0) * 1000 / float64(len(t.took))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// usage is processor time, in seconds.
type usage struct{ server, member float64 }

func (u usage) plus(v usage, times float64) usage {
	return usage{u.server + v.server*times, u.member + v.member*times}
}

// usage of our server, and of the member's API server and store, 0 if members are simulated.
func (w *world) usage() usage {
	u := usage{server: contender.CPU(w.koinon)}
	if w.member != nil {
		for _, program := range []string{member.APIServer, member.Etcd} {
			pid, _ := w.member.Running(program)
			u.member += process.ProcessorTime(pid)
		}
	}
	return u
}

// idle returns the processor time that servers use in a second in which nothing happens.
func (w *world) idle(ctx context.Context) (usage, error) {
	began, before := time.Now(), w.usage()
	err := pause(ctx, w.lasts(10*time.Second))
	return usage{}.plus(w.usage(), 1).plus(before, -1).over(time.Since(began).Seconds()), err
}

func (u usage) over(seconds float64) usage { return usage{u.server / seconds, u.member / seconds} }

// alternate has every column work in turns, another one first in each round: whatever else the
// machine does hits all alike. work returns how long each of the things took that it did.
func (w *world) alternate(ctx context.Context, rounds int, columns []string, work func(ctx context.Context, column int) ([]time.Duration, error)) ([]*tally, error) {
	idle, err := w.idle(ctx)
	if err != nil {
		return nil, err
	}
	tallies := make([]*tally, len(columns))
	for i := range tallies {
		tallies[i] = &tally{}
	}
	for round := range rounds {
		for turn := range columns {
			i := (round + turn) % len(columns)
			began, before := time.Now(), w.usage()
			took, err := work(ctx, i)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", columns[i], err)
			}
			t := tallies[i]
			t.took = append(t.took, took...)
			t.cpu = t.cpu.plus(w.usage(), 1).plus(before, -1).plus(idle, -time.Since(began).Seconds())
		}
	}
	return tallies, nil
}

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
