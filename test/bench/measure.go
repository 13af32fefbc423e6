package main

import (
	"context"
	"fmt"
	"time"

	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/bench/workload"
)

const (
	mebi = 1 << 20
	kibi = 1 << 10
)

// manyClients work at once where more than one does.
const manyClients = 16

// versions in which objects are read, with what tables call them.
var versions = []struct{ version, name string }{
	{workload.Stored, "stored version"},
	{workload.Converted, "converted version"},
}

// create makes all objects: a twentieth by one client, the rest by many, in equal parts.
func (b *bench) create(ctx context.Context) error {
	next := make(map[string]int, len(b.sides))
	for _, part := range []struct{ clients, objects int }{
		{1, b.objects / 20 / b.repeats},
		{manyClients, (b.objects - b.objects/20/b.repeats*b.repeats) / b.repeats},
	} {
		m := report.Measure{Group: "Create", Name: clientsName(part.clients), Unit: "objects/s"}
		cpu := report.Measure{Group: "Create", Name: clientsName(part.clients) + ", processor time", Unit: "ms/object"}
		err := b.both(b.repeats, func(_ int, s side) error {
			first, before := next[s.Name()], contender.CPU(s)
			next[s.Name()] = first + part.objects
			perSecond, err := s.Create(ctx, namespace, first, first+part.objects, part.clients)
			b.report.Add(s.Name(), m, perSecond)
			b.report.Add(s.Name(), cpu, (contender.CPU(s)-before)*1000/float64(part.objects))
			return err
		})
		if err != nil {
			return err
		}
	}
	// Parts are rounded down: what is left is not measured.
	return b.both(1, func(_ int, s side) error {
		_, err := s.Create(ctx, namespace, next[s.Name()], b.objects, manyClients)
		return err
	})
}

func clientsName(n int) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", n)
}

// listMeasure names a kind of list.
func listMeasure(version, how string) report.Measure {
	return report.Measure{Group: "LIST of all, to the last byte", Name: version + ", " + how, Unit: "s"}
}

// Ways to list, as tables call them.
const (
	fromCache  = "from cache"
	consistent = "consistent"
	compressed = "from cache, gzip"
)

// list measures every kind of list. The two versions take turns, as what they cost is
// compared; they are quick, so there are more of them.
func (b *bench) list(ctx context.Context) error {
	for _, how := range []string{fromCache, consistent, compressed} {
		err := b.both(2*b.repeats+1, func(n int, s side) error {
			for _, v := range versions {
				o := workload.ListOptions{Version: v.version, Cached: how != consistent, Compressed: how == compressed}
				if err := b.listOnce(ctx, n, s, o, listMeasure(v.name, how)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// listOnce makes list number n of its kind; the first, which warms up, does not count.
func (b *bench) listOnce(ctx context.Context, n int, s side, o workload.ListOptions, m report.Measure) error {
	cpu, size := m, m
	cpu.Name, size.Name, size.Unit = m.Name+", processor time", m.Name+", size", "MB"
	before := contender.CPU(s)
	elapsed, bytes, err := s.List(ctx, o)
	if err != nil || n == 0 {
		return err
	}
	b.report.Add(s.Name(), m, elapsed.Seconds())
	b.report.Add(s.Name(), cpu, contender.CPU(s)-before)
	if o.Cached && !o.Compressed && n == 1 {
		b.report.Add(s.Name(), size, float64(bytes)/1e6)
	}
	return nil
}

const getGroup = "GET"

func slowGets(name string) report.Measure {
	return report.Measure{Group: getGroup, Name: name + ", 99th percentile", Unit: "ms"}
}

func (b *bench) get(ctx context.Context) error {
	for _, clients := range []int{1, manyClients} {
		for _, v := range versions {
			name := v.name + ", " + clientsName(clients)
			err := b.both(b.repeats, func(_ int, s side) error {
				gets, err := s.Get(ctx, v.version, namespace, b.objects, clients, b.duration)
				b.report.Add(s.Name(), report.Measure{Group: getGroup, Name: name, Unit: "requests/s"}, gets.PerSecond)
				b.report.Add(s.Name(), report.Measure{Group: getGroup, Name: name + ", median", Unit: "ms"}, milliseconds(gets.P50))
				b.report.Add(s.Name(), slowGets(name), milliseconds(gets.P99))
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (b *bench) watch(ctx context.Context) error {
	group := fmt.Sprintf("Watch: %d watchers, %d updates", b.watchers, b.updates)
	for _, v := range versions {
		err := b.both(b.repeats, func(_ int, s side) error {
			before := contender.CPU(s)
			f, err := s.Watch(ctx, v.version, namespace, b.updates, b.watchers)
			b.report.Add(s.Name(), report.Measure{Group: group, Name: v.name + ", until all have all", Unit: "s"}, f.Elapsed.Seconds())
			b.report.Add(s.Name(), report.Measure{Group: group, Name: v.name, Unit: "events/s"}, f.PerSecond)
			b.report.Add(s.Name(), report.Measure{Group: group, Name: v.name + ", processor time", Unit: "s"}, contender.CPU(s)-before)
			b.report.Add(s.Name(), report.Measure{Group: group, Name: v.name + ", events missing"}, float64(f.Missing))
			b.report.Add(s.Name(), report.Measure{Group: group, Name: v.name + ", watches ended by the server and reopened"}, float64(f.Reopened))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// firstList lists the converted version from a server that has just been started, whose
// cache is empty. It tells the largest resident set of the server before that, too.
func (b *bench) firstList(ctx context.Context) error {
	return b.both(min(b.repeats, 3), func(n int, s side) error {
		if n == 0 {
			peak := contender.ReadMemory(s.Processes()[0].PID).PeakRSS
			b.report.Add(s.Name(), report.Measure{Group: memoryGroup, Name: "peak RSS until here, all measurements done", Unit: "MiB"}, peak/mebi)
		}
		if err := s.Restart(ctx); err != nil {
			return err
		}
		elapsed, _, err := s.FirstList(ctx, workload.ListOptions{Version: workload.Converted, Cached: true})
		b.report.Add(s.Name(), listMeasure("converted version", firstAfterRestart), elapsed.Seconds())
		return err
	})
}

const firstAfterRestart = "first after a restart"

// aims sets the figures against what is asked for.
func (b *bench) aims() {
	for _, how := range []string{fromCache, consistent} {
		m := listMeasure("converted version", how)
		b.report.AtMost("converted LIST against the stored version, "+how+", koinon",
			b.report.Median(ours, m)/b.report.Median(ours, listMeasure("stored version", how)), 1.15)
	}
	for _, how := range []string{fromCache, consistent, firstAfterRestart} {
		m := listMeasure("converted version", how)
		b.report.AtLeast("converted LIST, CRDs against koinon, "+how, b.report.Median(theirs, m)/b.report.Median(ours, m), 10)
	}
	for _, clients := range []int{1, manyClients} {
		m := slowGets("stored version, " + clientsName(clients))
		b.report.AtMost("GET, 99th percentile, "+clientsName(clients)+", koinon against CRDs", b.report.Median(ours, m)/b.report.Median(theirs, m), 1)
	}
	for _, kind := range memoryKinds {
		m := perObject(kind.name)
		b.report.AtMost("memory per object, "+kind.name+", koinon against CRDs", b.report.Median(ours, m)/b.report.Median(theirs, m), 0.25)
	}
	b.report.AtMost("koinon server, all components, start to ready, s", b.report.Median(ours, startToReady), 5)
	b.report.AtMost("koinon server, all components, idle RSS, MiB", b.report.Median(ours, idleRSS), 190)
}
