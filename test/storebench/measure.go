package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/storebench/load"
	"github.com/koinon-io/koinon/test/storebench/serve"
)

// manyClients is the most that work at once.
const manyClients = 64

// clientCounts are how many clients work at once where that is varied.
var clientCounts = []int{1, 16, manyClients}

func clientsName(n int) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", n)
}

// rate and p99 are the rows that aims look at.
func rate(group, name string) report.Measure {
	return report.Measure{Group: group, Name: name, Unit: "ops/s"}
}

func p50(group, name string) report.Measure {
	return report.Measure{Group: group, Name: name + ", P50", Unit: "ms"}
}

func p99(group, name string) report.Measure {
	return report.Measure{Group: group, Name: name + ", P99", Unit: "ms"}
}

func longest(group, name string) report.Measure {
	return report.Measure{Group: group, Name: name + ", max", Unit: "ms"}
}

// addTimes adds the rows of latencies.
func (b *bench) addTimes(s *side, group, name string, times load.Latencies) {
	b.add(s, p50(group, name), times.Percentile(50))
	b.add(s, p99(group, name), times.Percentile(99))
	b.add(s, longest(group, name), times.Max())
}

// addRate adds the rows of operations of one kind.
func (b *bench) addRate(s *side, group, name string, f load.Figures) {
	b.add(s, rate(group, name), f.PerSecond)
	b.addTimes(s, group, name, f.Latencies)
}

// metered measures, and returns what the processor time of the side's processes was.
func (b *bench) metered(s *side, what string, measure func() load.Result) (r load.Result, seconds float64) {
	before := s.processorTime()
	r = measure()
	b.operated(s, what, r)
	return r, s.processorTime() - before
}

// addProcessor adds the row of processor time.
func (b *bench) addProcessor(s *side, group, name string, r load.Result, seconds float64) {
	if r.Done() > 0 {
		m := report.Measure{Group: group, Name: name + ", processor time of server and database", Unit: "ms/op"}
		b.add(s, m, seconds*1000/float64(r.Done()))
	}
}

// The groups of tables.
const (
	createGroup = "Create: each client new keys"
	updateGroup = "Update: each client its own keys, compare and put"
	hotGroup    = "One key that all clients compare and swap"
	getGroup    = "Get of one key, linearizable"
	listGroup   = "List, one client"
	watchGroup  = "Watch: one watcher, from a write to its event"
	churnGroup  = "Watch: writers at full speed"
	pastGroup   = "Watch: from far back, of a key that is written all the time"
	peersGroup  = "Two servers on one database"
	mixedGroup  = "Mixed: 60 % get, 25 % update, 5 % create, 5 % delete, 5 % list of a namespace in pages"
	errorGroup  = "Errors, all measurements"
)

func (b *bench) writes(ctx context.Context, sides []*side) error {
	if err := b.warmUp(ctx, sides); err != nil {
		return err
	}
	keys, err := b.fill(ctx, sides, "/registry/update", 1, 8*manyClients)
	if err != nil {
		return err
	}
	for _, clients := range clientCounts {
		name := clientsName(clients)
		err := b.each(ctx, sides, b.repeats, "create, "+name, func(n int, s *side) error {
			r, seconds := b.metered(s, "create, "+name, func() load.Result {
				return s.target().Creates(ctx, b.unique("/registry/create"), clients, b.duration)
			})
			b.addRate(s, createGroup, name, r.Kinds[load.Create])
			b.addProcessor(s, createGroup, name, r, seconds)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, clients := range clientCounts {
		name := clientsName(clients)
		err := b.each(ctx, sides, b.repeats, "update, "+name, func(_ int, s *side) error {
			r, seconds := b.metered(s, "update, "+name, func() load.Result {
				return s.target().Updates(ctx, keys[s], clients, b.duration)
			})
			b.addRate(s, updateGroup, name, r.Kinds[load.Update])
			b.addProcessor(s, updateGroup, name, r, seconds)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return b.hot(ctx, sides)
}

func (b *bench) hot(ctx context.Context, sides []*side) error {
	for _, clients := range clientCounts[1:] {
		name := clientsName(clients)
		err := b.each(ctx, sides, b.repeats, "one key, "+name, func(_ int, s *side) error {
			r, stolen, err := s.target().Hot(ctx, "/registry/hot", clients, b.duration)
			if err != nil {
				return err
			}
			b.operated(s, hotGroup+", "+name, r)
			b.addRate(s, hotGroup, name+", successful", r.Kinds[load.Won])
			b.addRate(s, hotGroup, name+", conflicts", r.Kinds[load.Lost])
			b.add(s, report.Measure{Group: hotGroup, Name: name + ", updates lost"}, float64(stolen))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fill makes the same keys in every store.
func (b *bench) fill(ctx context.Context, sides []*side, prefix string, namespaces, each int) (map[*side]*load.Keys, error) {
	keys := map[*side]*load.Keys{}
	err := b.each(ctx, sides, 1, fmt.Sprintf("make %d keys", namespaces*each), func(_ int, s *side) error {
		made, err := s.target().Fill(ctx, b.unique(prefix), namespaces, each)
		keys[s] = made
		if err != nil && len(s.lost()) == 0 {
			s.gone = true
		}
		return err
	})
	return keys, err
}

// namespaces is how many a filled store has.
const namespaces = 20

func (b *bench) reads(ctx context.Context, sides []*side) error {
	keys, err := b.fill(ctx, sides, "/registry/configmaps", namespaces, b.keys/namespaces)
	if err != nil {
		return err
	}
	for _, clients := range clientCounts {
		name := clientsName(clients)
		// The first warms up.
		err := b.each(ctx, sides, b.repeats+1, "get, "+name, func(n int, s *side) error {
			if n == 0 {
				s.target().Gets(ctx, keys[s], clients, b.duration/4)
				return nil
			}
			r, seconds := b.metered(s, "get, "+name, func() load.Result { return s.target().Gets(ctx, keys[s], clients, b.duration) })
			b.addRate(s, getGroup, name, r.Kinds[load.Get])
			b.addProcessor(s, getGroup, name, r, seconds)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return b.lists(ctx, sides, keys)
}

// The lists that are measured, as tables call them.
func (b *bench) listOfFew() string   { return fmt.Sprintf("%d keys", b.keys/10) }
func (b *bench) listOfAll() string   { return fmt.Sprintf("%d keys", b.keys) }
func (b *bench) listInPages() string { return fmt.Sprintf("%d keys in pages of %d", b.keys, b.page()) }

func (b *bench) page() int { return b.keys / namespaces }

func (b *bench) lists(ctx context.Context, sides []*side, keys map[*side]*load.Keys) error {
	for _, list := range []struct {
		name             string
		namespaces, page int
	}{
		{b.listOfFew(), namespaces / 10, 0}, {b.listOfAll(), 0, 0}, {b.listInPages(), 0, b.page()},
	} {
		err := b.each(ctx, sides, b.repeats, "list, "+list.name, func(n int, s *side) error {
			if n == 0 {
				s.target().Lists(ctx, keys[s], list.namespaces, list.page, 1) // once, to warm up
			}
			r, seconds := b.metered(s, "list, "+list.name, func() load.Result {
				return s.target().Lists(ctx, keys[s], list.namespaces, list.page, b.duration)
			})
			// There are too few for a P99.
			times := r.Kinds[load.List].Latencies
			b.add(s, p50(listGroup, list.name), times.Percentile(50))
			b.add(s, longest(listGroup, list.name), times.Max())
			b.addProcessor(s, listGroup, list.name, r, seconds)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// watchPauses are those of a writer whose events are timed.
var watchPauses = load.Pauses{Least: 10 * time.Millisecond, Most: 60 * time.Millisecond}

// loadClients is how many clients write where something else is measured meanwhile.
const loadClients = 16

func (b *bench) watch(ctx context.Context, sides []*side) error {
	if err := b.warmUp(ctx, sides); err != nil {
		return err
	}
	busy, err := b.fill(ctx, sides, "/registry/busy", 1, 8*loadClients)
	if err != nil {
		return err
	}
	if err := b.delays(ctx, sides, busy, watchGroup, "", watchPauses, b.duration); err != nil {
		return err
	}
	what := fmt.Sprintf("%d watchers of one prefix", b.watchers)
	return b.each(ctx, sides, b.repeats, what, func(_ int, s *side) error {
		c, err := s.target().Churn(ctx, b.unique("/registry/churn"), b.watchers, loadClients, b.duration)
		b.operated(s, churnGroup, c.Writes)
		b.add(s, report.Measure{Group: churnGroup, Name: what + ", writes", Unit: "ops/s"}, float64(c.Writes.Done())/c.Writes.Elapsed.Seconds())
		b.add(s, report.Measure{Group: churnGroup, Name: what + ", events", Unit: "a second"}, c.PerSecond)
		b.add(s, report.Measure{Group: churnGroup, Name: what + ", last event after the last write", Unit: "ms"}, float64(c.Behind)/float64(time.Millisecond))
		b.addDelivery(s, churnGroup, what, c.Delivery)
		return err
	})
}

// putsAtOnce leaves out upstream Kine's drivers, which read before they put: a history would
// take them minutes.
func putsAtOnce(name string) bool {
	return name == serve.Etcd || slices.Contains(koinonStores, name)
}

// The rows that the aims of a watch from far back look at.
var (
	replayed    = report.Measure{Group: pastGroup, Name: "events", Unit: "a second"}
	writesAlone = rate(pastGroup, fmt.Sprintf("updates, %d clients, before it", loadClients))
	writesThen  = rate(pastGroup, fmt.Sprintf("updates, %d clients, beside it", loadClients))
	writesKept  = report.Measure{Group: pastGroup, Name: "updates beside it, of those before it", Unit: "%"}
)

// history watches a key from its first version on, while other keys are written.
func (b *bench) history(ctx context.Context, sides []*side) error {
	busy, err := b.fill(ctx, sides, "/registry/busy", 1, 8*loadClients)
	if err != nil {
		return err
	}
	first := map[*side]int64{}
	const key = "/registry/leases/hot"
	err = b.each(ctx, sides, 1, fmt.Sprintf("put a key %d times", b.versions), func(_ int, s *side) (err error) {
		first[s], err = s.target().History(ctx, key, b.versions)
		return err
	})
	if err != nil {
		return err
	}
	return b.each(ctx, sides, b.repeats, fmt.Sprintf("watch, from %d versions back", b.versions), func(_ int, s *side) error {
		alone := s.target().Updates(ctx, busy[s], loadClients, b.duration)
		b.operated(s, pastGroup, alone)
		r, err := s.target().Replay(ctx, key, first[s], b.versions, b.replay, busy[s], loadClients)
		b.operated(s, pastGroup, r.Writes)
		before, beside := alone.Kinds[load.Update].PerSecond, r.Writes.Kinds[load.Update].PerSecond
		b.add(s, replayed, float64(r.Events)/r.Elapsed.Seconds())
		b.add(s, report.Measure{Group: pastGroup, Name: fmt.Sprintf("of %d events came", b.versions)}, float64(r.Events))
		b.add(s, writesAlone, before)
		b.add(s, writesThen, beside)
		b.add(s, writesKept, 100*beside/before)
		return err
	})
}

// delays measures the way from a write to its event at the last server of a side, while
// nothing else happens and while other clients write at full speed.
func (b *bench) delays(ctx context.Context, sides []*side, busy map[*side]*load.Keys, group, name string, pauses load.Pauses, quiet time.Duration) error {
	for _, state := range []struct {
		name     string
		clients  int
		duration time.Duration
	}{
		{name + "idle otherwise", 0, quiet},
		{fmt.Sprintf("%s%d other clients writing", name, loadClients), loadClients, max(b.duration, quiet/2)},
	} {
		err := b.each(ctx, sides, b.repeats, "watch, "+state.name, func(_ int, s *side) error {
			d, err := b.delay(ctx, s, busy[s], b.unique("/registry/watched"), pauses, state.clients, state.duration)
			b.operated(s, group+", "+state.name, d.Writes)
			b.addTimes(s, group, state.name+", since the write was sent", d.FromStart)
			b.addTimes(s, group, state.name+", since it was acknowledged", d.FromAck)
			b.addDelivery(s, group, state.name, d.Delivery)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) delay(ctx context.Context, s *side, busy *load.Keys, prefix string, pauses load.Pauses, clients int, duration time.Duration) (load.Delays, error) {
	others := make(chan load.Result, 1)
	go func() { others <- s.target().Updates(ctx, busy, clients, duration) }() // ends after duration
	d, err := load.Delay(ctx, s.target(), s.servers[len(s.servers)-1].target, prefix, pauses, duration)
	b.operated(s, "clients writing beside a watch", <-others)
	return d, err
}

func (b *bench) addDelivery(s *side, group, name string, d load.Delivery) {
	if d.Owed == 0 {
		return
	}
	b.add(s, report.Measure{Group: group, Name: name + ", events delivered", Unit: "%"}, 100*d.Fraction())
	b.add(s, report.Measure{Group: group, Name: name + ", events that were wrong"}, float64(d.Wrong()))
	s.pending = append(s.pending, func() { b.tally.deliver(s.title(), group+", "+name, d) })
}

// sparsePauses are those of the other process's writes: an idle store is part of it.
var sparsePauses = load.Pauses{Least: 50 * time.Millisecond, Most: 500 * time.Millisecond}

// otherServer begins the names of rows on events of another server's writes.
const otherServer = "written at one, watched at the other, "

func (b *bench) twoServers(ctx context.Context, sides []*side) error {
	if err := b.warmUp(ctx, sides); err != nil {
		return err
	}
	busy, err := b.fill(ctx, sides, "/registry/busy", 1, 8*loadClients)
	if err != nil {
		return err
	}
	if err := b.delays(ctx, sides, busy, peersGroup, otherServer, sparsePauses, b.sparse); err != nil {
		return err
	}
	return b.idleStatements(ctx, sides)
}

// settling is how long servers may take to get as quiet as they get.
const settling = 5 * time.Second

var statements = report.Measure{Group: peersGroup, Name: "statements of the database while both idle, with a watch at each", Unit: "a second"}

// idleStatements counts what two servers ask their database while nobody asks them. It
// does so for all sides at once: every side has a database server of its own.
func (b *bench) idleStatements(ctx context.Context, sides []*side) error {
	before, since := map[*side]float64{}, map[*side]time.Time{}
	for _, s := range sides {
		for _, server := range s.servers {
			stop, err := server.target.Watch(ctx, "/registry/")
			if err != nil {
				return err
			}
			defer stop()
		}
	}
	time.Sleep(min(settling, b.idle))
	err := b.each(ctx, sides, 1, "begin to count statements", func(_ int, s *side) (err error) {
		since[s] = time.Now()
		before[s], err = s.database.questions(ctx)
		return err
	})
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.idle):
	}
	return b.each(ctx, sides, 1, "count statements", func(_ int, s *side) error {
		after, err := s.database.questions(ctx)
		if err == nil {
			// One of them is the question itself.
			b.add(s, statements, (after-before[s]-1)/time.Since(since[s]).Seconds())
		}
		return err
	})
}

func (b *bench) mixed(ctx context.Context, sides []*side) error {
	keys, err := b.fill(ctx, sides, "/registry/configmaps", namespaces, b.keys/namespaces)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s, %d watchers", clientsName(manyClients), namespaces)
	return b.each(ctx, sides, b.repeats+1, "mixed, "+name, func(n int, s *side) error {
		if n == 0 {
			_, _, err := s.target().Mixed(ctx, keys[s], b.unique("warmup"), manyClients, b.duration/4)
			return err
		}
		var delivery load.Delivery
		var err error
		r, seconds := b.metered(s, "mixed", func() (r load.Result) {
			r, delivery, err = s.target().Mixed(ctx, keys[s], b.unique("mixed"), manyClients, 2*b.duration)
			return r
		})
		b.add(s, rate(mixedGroup, "all operations"), float64(r.Done())/r.Elapsed.Seconds())
		for _, kind := range []string{load.Get, load.Update, load.Create, load.Delete, load.List} {
			b.addTimes(s, mixedGroup, kind, r.Kinds[kind].Latencies)
		}
		b.addProcessor(s, mixedGroup, "all operations", r, seconds)
		b.addDelivery(s, mixedGroup, name, delivery)
		return err
	})
}
