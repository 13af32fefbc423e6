package load

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Figures are of the operations of one kind.
type Figures struct {
	// Latencies of those that succeeded.
	Latencies Latencies
	// Failed is how many did not.
	Failed int
	// PerSecond is how many succeeded.
	PerSecond float64
}

// Result is what a measurement came to.
type Result struct {
	// Elapsed is until the last client had its last answer.
	Elapsed time.Duration
	// Kinds are the figures by kind of operation. A kind that never happened is not there.
	Kinds map[string]Figures
	// FirstError is one of the errors; nil if there was none.
	FirstError error
}

// Done is how many operations of all kinds succeeded.
func (r Result) Done() int {
	done := 0
	for _, figures := range r.Kinds {
		done += len(figures.Latencies)
	}
	return done
}

// Failed is how many operations failed, of the kinds given, or of all if none is.
func (r Result) Failed(kinds ...string) int {
	failed := 0
	for kind, figures := range r.Kinds {
		if len(kinds) == 0 || slices.Contains(kinds, kind) {
			failed += figures.Failed
		}
	}
	return failed
}

// afterError is how long a client waits before it goes on.
const afterError = 20 * time.Millisecond

// record is what one client did.
type record struct {
	times  map[string][]time.Duration
	failed map[string]int
	first  error
}

// loop has every client repeat an operation until the time is over; operations that have
// begun by then are finished. operation returns what kind of operation it was.
func loop(ctx context.Context, clients int, duration time.Duration, operation func(ctx context.Context, client int) (string, error)) Result {
	records := make([]record, clients)
	began := time.Now()
	end := began.Add(duration)
	var running sync.WaitGroup
	for client := range clients {
		r := &records[client]
		r.times, r.failed = map[string][]time.Duration{}, map[string]int{}
		running.Go(func() {
			for start := time.Now(); start.Before(end) && ctx.Err() == nil; start = time.Now() {
				kind, err := operation(ctx, client)
				if err != nil {
					r.fail(kind, err)
					time.Sleep(afterError)
					continue
				}
				r.times[kind] = append(r.times[kind], time.Since(start))
			}
		})
	}
	running.Wait()
	return merge(records, time.Since(began))
}

func (r *record) fail(kind string, err error) {
	r.failed[kind]++
	if r.first == nil {
		r.first = err
	}
}

func merge(records []record, elapsed time.Duration) Result {
	result := Result{Elapsed: elapsed, Kinds: map[string]Figures{}}
	times, failed := map[string][]time.Duration{}, map[string]int{}
	for _, r := range records {
		for kind := range r.times {
			times[kind] = append(times[kind], r.times[kind]...)
			failed[kind] += 0
		}
		for kind := range r.failed {
			failed[kind] += r.failed[kind]
		}
		if result.FirstError == nil {
			result.FirstError = r.first
		}
	}
	for kind := range failed {
		result.Kinds[kind] = Figures{
			Latencies: sorted(times[kind]), Failed: failed[kind],
			PerSecond: float64(len(times[kind])) / elapsed.Seconds(),
		}
	}
	return result
}
