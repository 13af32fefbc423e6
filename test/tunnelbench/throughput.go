package main

import (
	"context"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
)

// trip is the round trip of the row distance.
const trip = 40 * time.Millisecond

// bulk floods and sinks.
func (w *world) bulk(ctx context.Context, s *sheet) error {
	if err := w.populate(ctx, 1); err != nil {
		return err
	}
	err := w.ours.profiled(ctx, "bulk", func() error { return w.flows(ctx, s, "", wayNames, 300*time.Millisecond, 1200*time.Millisecond) })
	for _, m := range flowMeasures("") {
		s.beside(m.rate, wayTheirs, wayConnect, wayDialer)
		s.beside(m.cost, wayTheirs, wayConnect)
		s.atMost(m.cost.Name+" ÷ konnectivity, "+m.cost.Group, s.Median(wayConnect, m.cost)/s.Median(wayTheirs, m.cost), 1.0/3)
	}
	return err
}

// distance does the same over a round trip. TLS without a tunnel is left out: it is as TCP is.
func (w *world) distance(ctx context.Context, s *sheet) error {
	w.delay = trip / 2
	if err := w.populate(ctx, 1); err != nil {
		return err
	}
	const group = ", over 40 ms"
	names := []string{wayTCP, wayConnect, wayDialer, wayTheirs}
	err := w.ours.profiled(ctx, "distance", func() error { return w.flows(ctx, s, group, names, 1200*time.Millisecond, 1500*time.Millisecond) })
	for _, m := range flowMeasures(group) {
		s.beside(m.rate, wayTheirs, wayConnect, wayDialer)
		s.beside(m.cost, wayTheirs, wayConnect)
		if m.streams == 1 {
			s.atLeast(m.rate.Name+", MiB/s"+group, s.Median(wayConnect, m.rate), 230)
		}
	}
	s.note("The round trip is made by a relay in the benchmark's process, which delays and does not limit: between agent and server, and between client and target where there is no tunnel.")
	return err
}

// flowMeasure is one of streams and directions.
type flowMeasure struct {
	streams    int
	up         bool
	rate, cost report.Measure
}

func flowMeasures(group string) []flowMeasure {
	var all []flowMeasure
	for _, streams := range []int{1, 8} {
		for _, up := range []bool{false, true} {
			name := fmt.Sprintf("%d from the target", streams)
			if up {
				name = fmt.Sprintf("%d to the target", streams)
			}
			all = append(all, flowMeasure{streams, up,
				report.Measure{Group: "Bulk" + group, Name: name, Unit: "MiB/s"},
				report.Measure{Group: "CPU-seconds of server and agent for a GiB" + group, Name: name}})
		}
	}
	return all
}

func (w *world) flows(ctx context.Context, s *sheet, group string, names []string, warm, lasting time.Duration) error {
	for _, m := range flowMeasures(group) {
		w.Say("%s%s", m.rate.Name, group)
		err := w.turns(ctx, names, func(y *way) error {
			a, err := y.do(ctx, order{Work: workBulk, Address: y.address, Counts: w.addresses[addressTCP], Streams: m.streams, Up: m.up,
				Warm: w.lasts(warm), For: w.lasts(lasting), Processes: y.processes()})
			if err != nil {
				return err
			}
			s.add(y.name, m.rate, float64(a.Bytes)/mebi/a.Took.Seconds())
			if y.tunnel != nil {
				s.add(y.name, m.cost, a.CPU.Seconds()/(float64(a.Bytes)/gibi))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	s.note("In process, the client's processor time is in the server's.")
	return nil
}
