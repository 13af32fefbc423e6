package main

import (
	"fmt"

	"github.com/koinon-io/koinon/test/bench/report"
	"github.com/koinon-io/koinon/test/storebench/serve"
)

// median of a store's samples.
func (b *bench) median(store string, m report.Measure) float64 {
	return b.report.Median(titles[store], m)
}

// ratio compares two stores; ok is false if one of them was not measured.
func (b *bench) ratio(ours, theirs string, m report.Measure) (ratio float64, ok bool) {
	return b.median(ours, m) / b.median(theirs, m), b.has(ours, theirs)
}

// atLeast wants a multiple of what another store does.
func (b *bench) atLeast(what, ours, theirs string, m report.Measure, limit float64) {
	if ratio, ok := b.ratio(ours, theirs, m); ok {
		b.report.AtLeast(fmt.Sprintf("%s, %s against %s", what, titles[ours], titles[theirs]), ratio, limit)
	}
}

// atMost wants no more than a multiple of what another store takes.
func (b *bench) atMost(what, ours, theirs string, m report.Measure, limit float64) {
	if ratio, ok := b.ratio(ours, theirs, m); ok {
		b.report.AtMost(fmt.Sprintf("%s, %s against %s", what, titles[ours], titles[theirs]), ratio, limit)
	}
}

func (b *bench) writeAims() {
	name := clientsName(manyClients)
	for _, op := range []struct{ what, group string }{{"create", createGroup}, {"update", updateGroup}} {
		what := op.what + ", " + name
		b.atLeast(what+", ops/s", serve.KoinonMariaDB, serve.KineMariaDB, rate(op.group, name), 1.5)
		b.atLeast(what+", ops/s", serve.KoinonMariaDB, serve.Etcd, rate(op.group, name), 1)
		b.atMost(what+", P99", serve.KoinonMariaDB, serve.Etcd, p99(op.group, name), 1)
		b.atLeast(what+", ops/s", serve.KoinonSQLite, serve.KineSQLite, rate(op.group, name), 2)
		if b.has(serve.KoinonSQLite) {
			b.report.AtMost(what+", P99, koinon, SQLite, ms", b.median(serve.KoinonSQLite, p99(op.group, name)), 100)
		}
	}
}

// koinonStores are ours.
var koinonStores = []string{serve.KoinonSQLite, serve.KoinonMariaDB}

func (b *bench) readAims() {
	for _, store := range koinonStores {
		for _, clients := range []int{1, manyClients} {
			b.atLeast("get, "+clientsName(clients)+", ops/s", store, serve.Etcd, rate(getGroup, clientsName(clients)), 0.5)
		}
		b.atMost("list, "+b.listOfAll()+", P50", store, serve.Etcd, p50(listGroup, b.listOfAll()), 2)
		b.atMost("list, "+b.listInPages()+", P50", store, serve.Etcd, p50(listGroup, b.listInPages()), 3)
	}
}

func (b *bench) historyAims() {
	for _, store := range koinonStores {
		b.atLeast("watch from far back, events a second", store, serve.Etcd, replayed, 0.5)
		b.atLeast("watch from far back, part of the updates that goes on beside it", store, serve.Etcd, writesKept, 0.8)
	}
}

func (b *bench) serverAims() {
	if !b.has(serve.KoinonMariaDB) {
		return
	}
	b.report.AtMost("another server's write seen, P99 since it was acknowledged, koinon, MariaDB, ms",
		b.median(serve.KoinonMariaDB, p99(peersGroup, otherServer+"idle otherwise, since it was acknowledged")), 50)
	b.report.AtMost("statements a second while two servers idle, koinon, MariaDB", b.median(serve.KoinonMariaDB, statements), 5)
}

// sums are over all measurements.
func (b *bench) sums() {
	for title, c := range b.tally.stores {
		b.report.Add(title, report.Measure{Group: errorGroup, Name: "writes that failed"}, float64(c.failedWrites))
		b.report.Add(title, report.Measure{Group: errorGroup, Name: "reads that failed"}, float64(c.failedReads))
		b.report.Add(title, report.Measure{Group: errorGroup, Name: "processes of server or database that ended by themselves"}, float64(c.crashes))
		b.report.Add(title, report.Measure{Group: errorGroup, Name: "events delivered, least of all measurements", Unit: "%"}, 100*c.delivered)
	}
	for _, store := range koinonStores {
		if c := b.tally.stores[titles[store]]; c != nil {
			b.report.AtMost("writes that failed, "+titles[store], float64(c.failedWrites), 0)
			b.report.AtLeast("watch events delivered, least of all measurements, "+titles[store]+", %", 100*c.delivered, 100)
		}
	}
}
