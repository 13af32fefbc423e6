package load

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The kinds of operation in a Result.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
	Get    = "get"
	List   = "list"
	// Won and Lost are updates of a key that many clients write: the compare held, or
	// another was quicker.
	Won  = "won"
	Lost = "lost"
)

// Creates has every client make keys of its own.
func (t *Target) Creates(ctx context.Context, prefix string, clients int, duration time.Duration) Result {
	made := make([]int, clients)
	return loop(ctx, clients, duration, func(ctx context.Context, client int) (string, error) {
		made[client]++
		_, err := t.create(ctx, client, fmt.Sprintf("%s/%02d-%06d", prefix, client, made[client]))
		return Create, err
	})
}

// Updates has every client update its keys, one after the other.
func (t *Target) Updates(ctx context.Context, keys *Keys, clients int, duration time.Duration) Result {
	next := make([]int, clients)
	return loop(ctx, clients, duration, func(ctx context.Context, client int) (string, error) {
		next[client]++
		return Update, t.updateSlot(ctx, client, keys.owned(client, clients, next[client]))
	})
}

// Hot has all clients compare and swap one key, which is made if it is not there. A client
// that loses goes on with what it was told is there.
//
// stolen is how many revisions were replaced more than once: lost updates.
func (t *Target) Hot(ctx context.Context, key string, clients int, duration time.Duration) (r Result, stolen int, err error) {
	if _, err := t.create(ctx, 0, key); err != nil && !errors.As(err, new(*conflict)) {
		return Result{}, 0, fmt.Errorf("make the key that all write: %w", err)
	}
	known := make([]int64, clients)
	replaced := make([][]int64, clients)
	r = loop(ctx, clients, duration, func(ctx context.Context, client int) (string, error) {
		if known[client] == 0 {
			kv, err := t.get(ctx, client, key)
			if err != nil {
				return Won, err
			}
			known[client] = kv.GetModRevision()
		}
		revision, err := t.update(ctx, client, key, known[client])
		if failed := (*conflict)(nil); errors.As(err, &failed) {
			known[client] = failed.current.GetModRevision()
			return Lost, nil
		}
		if err == nil {
			replaced[client] = append(replaced[client], known[client])
		}
		known[client] = revision
		return Won, err
	})
	return r, repeated(replaced), nil
}

// repeated counts the values that were there before.
func repeated(lists [][]int64) int {
	seen, count := map[int64]bool{}, 0
	for _, list := range lists {
		for _, value := range list {
			if seen[value] {
				count++
			}
			seen[value] = true
		}
	}
	return count
}
