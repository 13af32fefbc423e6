package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/bench/report"
)

const (
	// mostWatches is half of what one user may have in a member: two ways count together.
	mostWatches = 1000
	// shared is how many watches one client has, on one connection.
	shared = 40
	// perWatch is how many KiB an idle watch may take.
	perWatch = 40
)

// watch holds many watches of one member.
func (b *bench) watch(ctx context.Context, s *sheet) error {
	return b.inWorld(ctx, (*world).withMember, func(w *world, ctx context.Context) error {
		n := min(b.times(mostWatches, 20), mostWatches)
		for _, idle := range []struct{ way, perConnection int }{{1, shared}, {2, shared}, {1, 1}} {
			b.Say("%d idle watches, %s, %d on a connection", n, wayNames[idle.way], idle.perConnection)
			if err := w.idleWatches(ctx, s, w.ways[idle.way], n, idle.perConnection); err != nil {
				return err
			}
		}
		b.Say("changes for %d watches", n)
		return w.fanOut(ctx, s, n)
	})
}

// afresh restarts our server: it holds nothing of what was before, and counts no watches that end.
func (w *world) afresh(ctx context.Context) error {
	if err := w.koinon.Restart(ctx); err != nil {
		return err
	}
	return w.reachable(ctx)
}

// idleWatches tells what watches take in which nothing happens.
func (w *world) idleWatches(ctx context.Context, s *sheet, y *way, n, perConnection int) error {
	if err := w.afresh(ctx); err != nil {
		return err
	}
	version, err := w.version(ctx)
	if err != nil {
		return err
	}
	begin := func(n int) (*watchers, error) { return y.watchObject(ctx, n, perConnection, "nothing", version) }
	first, err := begin(1) // what is made once
	if err != nil {
		return err
	}
	first.close()
	before, err := contender.MeasureMemory(ctx, w.koinon)
	if err != nil {
		return err
	}
	all, err := begin(n)
	if err != nil {
		return err
	}
	defer all.close()
	after, err := contender.MeasureMemory(ctx, w.koinon)
	if err != nil {
		return err
	}
	group := "memory of one of many idle watches"
	grown := func(of func(contender.Memory) float64) float64 {
		return (of(after["koinon"]) - of(before["koinon"])) / kibi / float64(n)
	}
	rss, heap := grown(func(m contender.Memory) float64 { return m.RSS }), grown(func(m contender.Memory) float64 { return m.Heap })
	layout := fmt.Sprintf("%d on a connection", perConnection)
	s.aim(rss, perWatch, "%s, %s, %s, RSS, KiB", group, y.name, layout)
	s.add(y.name, report.Measure{Group: group, Name: layout + ", RSS", Unit: "KiB"}, rss)
	s.add(y.name, report.Measure{Group: group, Name: layout + ", heap after GC", Unit: "KiB"}, heap)
	return nil
}

// version of the member's ConfigMaps now.
func (w *world) version(ctx context.Context) (string, error) {
	list, err := w.direct.CoreV1().ConfigMaps(inMember).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return "", fmt.Errorf("list ConfigMaps of the member: %w", err)
	}
	return list.ResourceVersion, nil
}

// fanOut changes objects that many watch. Each way has an object of its own: a change is sent by one
// way alone.
func (w *world) fanOut(ctx context.Context, s *sheet, n int) error {
	if err := w.afresh(ctx); err != nil {
		return err
	}
	var all []*watchers
	for _, y := range w.ways {
		made, err := w.makeConfigMap(ctx, watched(y))
		if err != nil {
			return err
		}
		ws, err := y.watchObject(ctx, n, shared, made.Name, made.ResourceVersion)
		if err != nil {
			return err
		}
		defer ws.close()
		all = append(all, ws)
	}
	for i, y := range w.ways { // caches
		if _, err := w.changeWatched(ctx, y, all[i], n, 0); err != nil {
			return err
		}
	}
	round := 0
	tallies, err := w.alternate(ctx, w.rounds, wayNames, func(ctx context.Context, i int) ([]time.Duration, error) {
		round++
		took, err := w.changeWatched(ctx, w.ways[i], all[i], n, round)
		return []time.Duration{took}, err
	})
	if err != nil {
		return err
	}
	s.compare(fmt.Sprintf("a change until the last of %d watches has it", n), wayNames, tallies)
	return nil
}

// watched is the name of the object that a way's watches are of.
func watched(y *way) string { return "watched-" + y.name }

// changeWatched returns how long it takes from the request that changes the object of a way until
// the last of its watches has the event.
func (w *world) changeWatched(ctx context.Context, y *way, ws *watchers, n, round int) (time.Duration, error) {
	mark := strconv.Itoa(round)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, roundAnnotation, mark)
	began := time.Now()
	if _, err := w.direct.CoreV1().ConfigMaps(inMember).Patch(ctx, watched(y), types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return 0, fmt.Errorf("change ConfigMap %s in the member: %w", watched(y), err)
	}
	last, err := ws.await(ctx, n, mark)
	return last.Sub(began), err
}
