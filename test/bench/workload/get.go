package workload

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// Gets is what reading single objects gave.
type Gets struct {
	PerSecond float64
	P50, P99  time.Duration
}

// Get reads single objects, any of the first count, for a while.
func (t *Target) Get(ctx context.Context, version, namespace string, count, clients int, duration time.Duration) (Gets, error) {
	taken := make([][]time.Duration, clients)
	var began time.Time
	connected := make(chan struct{}, clients)
	start := make(chan struct{})
	go func() { // ends when all are connected, or with ctx
		for range clients {
			select {
			case <-connected:
			case <-ctx.Done():
				return
			}
		}
		began = time.Now()
		close(start)
	}()
	err := t.clients(ctx, clients, func(ctx context.Context, i int, c *client) error {
		if _, err := c.do(ctx, http.MethodGet, path(version, namespace, Name(0)), "", nil); err != nil {
			return err
		}
		connected <- struct{}{}
		select {
		case <-start:
		case <-ctx.Done():
			return ctx.Err()
		}
		for time.Since(began) < duration {
			asked := time.Now()
			if _, err := c.do(ctx, http.MethodGet, path(version, namespace, Name(rand.IntN(count))), "", nil); err != nil {
				return err
			}
			taken[i] = append(taken[i], time.Since(asked))
		}
		return nil
	})
	if err != nil {
		return Gets{}, err
	}
	elapsed := time.Since(began)
	all := slices.Sorted(slices.Values(slices.Concat(taken...)))
	return Gets{PerSecond: float64(len(all)) / elapsed.Seconds(), P50: all[len(all)/2], P99: all[len(all)*99/100]}, nil
}
