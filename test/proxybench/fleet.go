package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/simulation"
)

// What lists of a fleet are beside. Both ask the members directly.
const (
	slowest      = "slowest member"
	oneByOne     = "one after the other"
	throughFleet = "fleet"
)

const (
	// chunk is how many objects kubectl asks for at once.
	chunk = 500
	// podBytes is about what a running pod has.
	podBytes = 6 * kibi
	// more is by how much pods grow for the second measurement of the heap.
	more = 4
)

var simulatedPods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// pace is how long members take for each answer to a list.
type pace struct {
	name          string
	most, slowest time.Duration
}

var paces = []pace{
	{name: "members that answer at once"},
	{name: "members that take 0.2 s, one 0.8 s", most: 200 * time.Millisecond, slowest: 800 * time.Millisecond},
}

// fleet lists the pods of many members at once.
func (b *bench) fleet(ctx context.Context, s *sheet) error {
	members := b.times(20, 3)
	each := b.times(10_000, 60) / members
	populate := func(w *world, ctx context.Context) error { return w.withFleet(ctx, members, each) }
	return b.inWorld(ctx, populate, func(w *world, ctx context.Context) error {
		f, err := w.newFleetReader()
		if err != nil {
			return err
		}
		defer f.close()
		if err := f.complete(ctx, members*each); err != nil {
			return err
		}
		for _, p := range paces {
			for _, limit := range []int{0, chunk} {
				if err := f.lists(ctx, s, p, limit); err != nil {
					return err
				}
			}
		}
		w.slow(paces[0])
		return f.heaps(ctx, s, each)
	})
}

// withFleet starts simulated members with pods, and joins them.
func (w *world) withFleet(ctx context.Context, members, pods int) (err error) {
	if w.fleet, err = simulation.Start(simulation.Options{Members: members, Seed: 1}); err != nil {
		return err
	}
	for _, m := range w.fleet.Members() {
		if err := m.Put(simulation.Namespaces, map[string]any{"metadata": map[string]any{"name": shop}}); err != nil {
			return err
		}
		if err := putPods(m, 0, pods); err != nil {
			return err
		}
		if err := w.join(ctx, m.Secret(), m.Cluster(nil)); err != nil {
			return err
		}
	}
	return nil
}

// putPods gives a member pods, by their numbers.
func putPods(m *simulation.Member, from, to int) error {
	var env []any
	for range podBytes / 50 {
		env = append(env, map[string]any{"name": "SETTING", "value": `some value of "it"`})
	}
	for i := from; i < to; i++ {
		err := m.Put(simulatedPods, map[string]any{
			"metadata": map[string]any{"name": fmt.Sprintf("web-%05d", i), "namespace": shop, "labels": map[string]any{"app": "web"}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "web", "image": "example.org/web:1", "env": env}}},
			"status":   map[string]any{"phase": "Running"},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// slow has members take their time; the last one is the slowest.
func (w *world) slow(p pace) {
	all := w.fleet.Members()
	for i, m := range all {
		latency := p.most
		if i == len(all)-1 {
			latency = p.slowest
		}
		if latency == 0 {
			m.SetFaults()
			continue
		}
		m.SetFaults(simulation.Fault{Verbs: []string{"list"}, Resource: simulatedPods.Resource, Latency: latency})
	}
}

// fleetReader lists the pods of simulated members directly, and of all of them through the fleet.
type fleetReader struct {
	*world
	direct []*client // of the members, the slowest one last
	all    *client
}

func (w *world) newFleetReader() (*fleetReader, error) {
	f := &fleetReader{world: w}
	for _, m := range w.fleet.Members() {
		c, err := newClient(m.RESTConfig())
		if err != nil {
			return nil, err
		}
		f.direct = append(f.direct, c)
	}
	config, err := w.koinon.RESTConfig()
	if err != nil {
		return nil, err
	}
	config.Host += proxiesPath + "fleets/all/proxy"
	f.all, err = newClient(config)
	return f, err
}

func (f *fleetReader) close() {
	closeAll(f.direct)
	f.all.close()
}

// podsOfAll is a list of all pods.
var podsOfAll = question{path: "/api/v1/pods", accept: asJSON}

// complete waits until the fleet shows so many pods.
func (f *fleetReader) complete(ctx context.Context, pods int) error {
	return f.eventually(ctx, "the fleet shows all pods", func(ctx context.Context) error {
		got, _, err := f.all.count(ctx, podsOfAll)
		if err == nil && got != pods {
			err = fmt.Errorf("it shows %d of %d", got, pods)
		}
		return err
	})
}

// listed lists pods, whole if limit is 0.
func listed(ctx context.Context, limit int, clients ...*client) error {
	for _, c := range clients {
		var err error
		if limit > 0 {
			err = c.readChunks(ctx, podsOfAll, limit)
		} else {
			_, err = c.read(ctx, podsOfAll)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lists compares lists at a pace of members.
func (f *fleetReader) lists(ctx context.Context, s *sheet, p pace, limit int) error {
	group := manner(limit) + ", " + p.name
	f.Say("LIST of the fleet, %s", group)
	f.slow(p)
	columns := []string{slowest, oneByOne, throughFleet}
	clients := [][]*client{f.direct[len(f.direct)-1:], f.direct, {f.all}}
	rounds := f.rounds
	if p.most > 0 {
		rounds = max(rounds/4, 1) // they take long, and differ little
	}
	for i := range columns { // connections
		if err := listed(ctx, limit, clients[i]...); err != nil {
			return fmt.Errorf("%s: %w", columns[i], err)
		}
	}
	tallies, err := f.alternate(ctx, rounds, columns, func(ctx context.Context, i int) ([]time.Duration, error) {
		asked := time.Now()
		err := listed(ctx, limit, clients[i]...)
		return []time.Duration{time.Since(asked)}, err
	})
	if err != nil {
		return err
	}
	f.tell(s, group, columns, tallies, p.most > 0 && limit == 0)
	return nil
}

// slowestRatio is how much longer than its slowest member a fleet may take.
const slowestRatio = 1.1

func (f *fleetReader) tell(s *sheet, group string, columns []string, tallies []*tally, aimed bool) {
	toSlowest, toAll := tallies[2].median()/tallies[0].median(), tallies[2].median()/tallies[1].median()
	if aimed {
		s.aim(toSlowest, slowestRatio, "LIST of the fleet, %s, median ÷ %s", group, slowest)
	}
	measure := func(name, unit string) report.Measure {
		return report.Measure{Group: "LIST of the fleet, " + group, Name: name, Unit: unit}
	}
	s.add(throughFleet, measure("median ÷ "+slowest, ""), toSlowest)
	s.add(throughFleet, measure("median ÷ "+oneByOne, ""), toAll)
	for i, column := range columns {
		s.add(column, measure("median", "ms"), tallies[i].median())
		s.add(column, measure("P99", "ms"), tallies[i].p99())
	}
	s.add(throughFleet, measure("CPU of the server, each", "ms"), tallies[2].each(tallies[2].cpu.server))
}
