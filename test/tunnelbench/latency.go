package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
)

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }

// request is one after another on a connection that is kept, and GET by HTTPS with such and without.
func (w *world) request(ctx context.Context, s *sheet) error {
	if err := w.populate(ctx, 1); err != nil {
		return err
	}
	tunnels := []string{wayConnect, wayDialer, wayTheirs, wayTheirsRPC}
	for _, kind := range []struct {
		group, work, beside string
		cold                bool
		names               []string
	}{
		{"Request: 128 bytes there and 1 KiB back, on a connection that is kept", workRequest, wayTCP, false, wayNames},
		{"GET by HTTPS, warm", workGet, wayTLS, false, append([]string{wayTLS}, tunnels...)},
		{"GET by HTTPS, cold: each with a connection and a handshake of its own", workGet, wayTLS, true, append([]string{wayTLS}, tunnels...)},
	} {
		w.Say("%s", kind.group)
		p50, p99 := report.Measure{Group: kind.group, Name: "P50", Unit: "ms"}, report.Measure{Group: kind.group, Name: "P99", Unit: "ms"}
		err := w.turns(ctx, kind.names, func(y *way) error {
			o := order{Work: kind.work, Address: y.address, Cold: kind.cold, Dir: w.dir, Warm: w.lasts(200 * time.Millisecond), For: w.lasts(time.Second), Processes: y.processes()}
			if kind.work == workGet {
				o.Address = w.addresses[addressHTTPS]
				if y.name == wayTLS { // it has TLS of its own
					y = &way{name: y.name, do: w.of(wayTCP).do}
				}
			}
			a, err := y.do(ctx, o)
			if err != nil {
				return err
			}
			s.add(y.name, p50, millis(a.P50))
			s.add(y.name, p99, millis(a.P99))
			return nil
		})
		if err != nil {
			return err
		}
		s.more(p50, kind.beside, tunnels...)
		s.more(p99, kind.beside, tunnels...)
		if kind.work == workGet && !kind.cold {
			s.atMost("warm GET, P50 added, ms", s.Median(wayConnect, p50)-s.Median(wayTLS, p50), 1)
			s.atMost("warm GET in process, P50 added, ms", s.Median(wayDialer, p50)-s.Median(wayTLS, p50), 1)
		}
	}
	return nil
}

// dial connects and closes, over and over.
func (w *world) dial(ctx context.Context, s *sheet) error {
	if err := w.populate(ctx, 1); err != nil {
		return err
	}
	for _, dialers := range []int{1, 32} {
		group := fmt.Sprintf("Dial, %d at once", dialers)
		w.Say("%s", group)
		measure := func(name, unit string) report.Measure { return report.Measure{Group: group, Name: name, Unit: unit} }
		err := w.turns(ctx, wayNames, func(y *way) error {
			a, err := y.do(ctx, order{Work: workDial, Address: y.address, Streams: dialers, Echo: dialers == 1, For: w.lasts(time.Second), Processes: y.processes()})
			if err != nil {
				return err
			}
			s.add(y.name, measure("P50", "ms"), millis(a.P50))
			s.add(y.name, measure("P99", "ms"), millis(a.P99))
			if dialers == 1 {
				s.add(y.name, measure("first byte back, P50", "ms"), millis(a.First50))
				s.add(y.name, measure("first byte back, P99", "ms"), millis(a.First99))
			} else {
				s.add(y.name, measure("dials/s", ""), float64(a.Count)/a.Took.Seconds())
			}
			if y.tunnel != nil {
				s.add(y.name, measure("CPU of server and agent for each", "ms"), millis(a.CPU)/float64(a.Count))
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.beside(measure("P50", "ms"), wayTheirs, wayConnect, wayDialer)
		if dialers > 1 {
			s.beside(measure("dials/s", ""), wayTheirs, wayConnect, wayDialer)
		}
	}
	return nil
}

// beside is what a ping-pong is beside.
type beside struct {
	name          string
	bulk, stalled int
	deaf          bool
	aim           float64 // of the median of CONNECT, ms; 0 if there is none
}

// pingPong is a byte there and back, beside what takes all and what takes nothing.
func (w *world) pingPong(ctx context.Context, s *sheet) error {
	if err := w.populate(ctx, 1); err != nil {
		return err
	}
	many := w.number(500, 20)
	for _, b := range []beside{
		{name: "alone"},
		{name: "beside 1 bulk stream", bulk: 1, aim: 0.6},
		{name: "beside 4 bulk streams", bulk: 4},
		{name: "beside 1 client that reads nothing", stalled: 1},
		{name: "beside 8 clients that read nothing", stalled: 8},
		{name: fmt.Sprintf("beside %d clients that read nothing", many), stalled: many},
		{name: "beside 8 connections whose target reads nothing", stalled: 8, deaf: true},
	} {
		w.Say("ping-pong %s", b.name)
		group := "Ping-pong " + b.name
		measure := func(name string) report.Measure { return report.Measure{Group: group, Name: name, Unit: "ms"} }
		stuck := map[string]bool{}
		err := w.ours.profiled(ctx, fmt.Sprintf("pingpong-%d-%d", b.bulk, b.stalled), func() error {
			return w.turns(ctx, wayNames, func(y *way) error {
				if stuck[y.name] { // once is enough
					return nil
				}
				var err error
				stuck[y.name], err = w.pingsBeside(ctx, s, y, b, measure)
				return err
			})
		})
		if err != nil {
			return err
		}
		p50 := s.Median(wayConnect, measure("P50"))
		if b.aim > 0 {
			s.atMost(group+", P50, ms", p50, b.aim)
		}
		if b.stalled > 0 {
			s.atMost(group+", P50 ÷ the same before", s.Median(wayConnect, report.Measure{Group: group, Name: "P50 ÷ the same before"}), 1.5)
		}
	}
	return nil
}

func (w *world) pingsBeside(ctx context.Context, s *sheet, y *way, b beside, measure func(string) report.Measure) (stuck bool, err error) {
	a, err := y.do(ctx, order{Work: workPing, Address: y.address, Counts: w.addresses[addressTCP], Streams: b.bulk, Stalled: b.stalled, Deaf: b.deaf,
		Warm: w.lasts(200 * time.Millisecond), For: w.lasts(700 * time.Millisecond)})
	if err != nil {
		return false, err
	}
	if a.Stuck == "" {
		s.add(y.name, measure("P50"), millis(a.P50))
		s.add(y.name, measure("P99"), millis(a.P99))
		if b.stalled > 0 {
			s.add(y.name, report.Measure{Group: measure("").Group, Name: "P50 ÷ the same before"}, a.P50.Seconds()/a.Alone.Seconds())
		}
		s.add(y.name, measure("the new connection"), millis(a.Dialed))
		return false, nil
	}
	s.note("%s, %s: %s", y.name, lowered(measure("").Group), a.Stuck)
	if tunnel, ok := y.tunnel.(*theirs); ok {
		return true, tunnel.restart(ctx)
	}
	return true, fmt.Errorf("%s: %s", measure("").Group, a.Stuck)
}

// lowered is a heading within a sentence.
func lowered(text string) string { return strings.ToLower(text[:1]) + text[1:] }
