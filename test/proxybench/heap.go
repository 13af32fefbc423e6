package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/koinon-io/koinon/test/bench/report"
)

// heaps tells how far the server's heap grows with lists of the fleet: of the pods that there are, had
// in each member, and of several times as many. Lists are not timed meanwhile.
func (f *fleetReader) heaps(ctx context.Context, s *sheet, had int) error {
	for _, each := range []int{had, more * had} {
		for _, m := range f.world.fleet.Members() {
			if err := putPods(m, had, each); err != nil {
				return err
			}
		}
		pods := each * len(f.direct)
		if err := f.complete(ctx, pods); err != nil {
			return err
		}
		f.Say("heap of the server, %d pods", pods)
		measure := func(name string) report.Measure {
			return report.Measure{Group: "heap of the server while it lists the fleet", Name: fmt.Sprintf("%d pods, %s", pods, name), Unit: "MiB"}
		}
		for _, limit := range []int{0, chunk} {
			most, err := f.mostHeap(ctx, limit)
			if err != nil {
				return err
			}
			s.add(throughFleet, measure(manner(limit)), most/mebi)
		}
		length, err := f.all.read(ctx, podsOfAll)
		if err != nil {
			return err
		}
		s.add(throughFleet, measure("length of the answer"), float64(length)/mebi)
	}
	return nil
}

// manner is how lists are read.
func manner(limit int) string {
	if limit == 0 {
		return "whole"
	}
	return fmt.Sprintf("in chunks of %d", limit)
}

// mostHeap lists the fleet some times, and returns by how many bytes the heap in use has grown at
// most.
func (f *fleetReader) mostHeap(ctx context.Context, limit int) (float64, error) {
	const lists = 3
	before, err := f.heapInUse(ctx, true)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { // ends with the lists, or with cancel
		for range lists {
			if err := listed(ctx, limit, f.all); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	most := before
	for {
		select {
		case err := <-done:
			return most - before, err
		case <-time.After(5 * time.Millisecond):
		}
		now, err := f.heapInUse(ctx, false)
		if err != nil {
			cancel()
			<-done
			return 0, err
		}
		most = max(most, now)
	}
}

// heapInUse is what the heap of the server occupies, in bytes, dead objects included unless garbage
// is collected first.
func (w *world) heapInUse(ctx context.Context, collect bool) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request := w.kube.Discovery().RESTClient().Get().AbsPath("/debug/pprof/heap").Param("debug", "1")
	if collect {
		request = request.Param("gc", "1")
	}
	profile, err := request.DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the heap profile of the server: %w", err)
	}
	for line := range strings.Lines(string(profile)) {
		if value, ok := strings.CutPrefix(line, "# HeapInuse = "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("the heap profile of the server has no HeapInuse")
}
