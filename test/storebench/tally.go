package main

import (
	"fmt"
	"slices"

	"github.com/koinon-io/koinon/test/storebench/load"
)

// tally counts what went wrong, over all measurements of a run.
type tally struct {
	// stores are by title; entries are in the order in which the first of each came.
	stores  map[string]*counts
	entries []*entry
}

// counts are of one store.
type counts struct {
	failedWrites, failedReads, crashes int
	// delivered is the least fraction of events that watchers got; 1 if there were none.
	delivered float64
}

// entry is one measurement of one store, all its repeats.
type entry struct {
	store, what string
	delivery    load.Delivery
	failed      int
	example     error
}

func newTally(titles []string) *tally {
	t := &tally{stores: map[string]*counts{}}
	for _, title := range titles {
		t.stores[title] = &counts{delivered: 1}
	}
	return t
}

func (t *tally) entry(store, what string) *entry {
	i := slices.IndexFunc(t.entries, func(e *entry) bool { return e.store == store && e.what == what })
	if i >= 0 {
		return t.entries[i]
	}
	t.entries = append(t.entries, &entry{store: store, what: what})
	return t.entries[len(t.entries)-1]
}

// operate counts the operations that failed.
func (t *tally) operate(store, what string, r load.Result) {
	failed, reads := r.Failed(), r.Failed(load.Get, load.List)
	if failed == 0 {
		return
	}
	t.stores[store].failedReads += reads
	t.stores[store].failedWrites += failed - reads
	e := t.entry(store, what)
	e.failed += failed
	if e.example == nil {
		e.example = r.FirstError
	}
}

// crash counts a process that ended by itself.
func (t *tally) crash(store string) { t.stores[store].crashes++ }

// deliver counts what watchers got.
func (t *tally) deliver(store, what string, d load.Delivery) {
	t.stores[store].delivered = min(t.stores[store].delivered, d.Fraction())
	if d.Delivered < d.Owed || d.Wrong() > 0 {
		e := t.entry(store, what)
		e.delivery = e.delivery.Plus(d)
	}
}

// sentences say it all.
func (t *tally) sentences() []string {
	var out []string
	for _, e := range t.entries {
		if e.failed > 0 {
			out = append(out, fmt.Sprintf("%s, %s: %d operations failed, one of them with: %v.", e.store, e.what, e.failed, e.example))
		}
		if d := e.delivery; d.Owed > 0 {
			out = append(out, fmt.Sprintf("%s, %s: of %d events owed %d came; %d came twice, %d out of order, "+
				"%d had another revision than the answer to their write, and %d were of no acknowledged write.",
				e.store, e.what, d.Owed, d.Delivered, d.Doubles, d.Disordered, d.Misstated, d.Strange))
		}
	}
	return out
}
