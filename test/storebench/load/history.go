package load

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// historyBytes is how large a value of a key with a long history is: a lease, an election.
const historyBytes = 256

// History puts a key as often as is wanted, and returns the revision at which that begins.
func (t *Target) History(ctx context.Context, key string, versions int) (int64, error) {
	before, err := t.revision(ctx)
	if err != nil {
		return 0, err
	}
	value := strings.Repeat("x", historyBytes)
	errs := make([]error, manyWriters)
	var running sync.WaitGroup
	for client := range manyWriters {
		running.Go(func() {
			for n := client; n < versions && errs[client] == nil; n += manyWriters {
				_, errs[client] = t.kv(client).Put(ctx, key, value)
			}
		})
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, fmt.Errorf("put a key %d times: %w", versions, err)
	}
	return before + 1, nil
}

// manyWriters is how many clients make a history, which is not measured.
const manyWriters = 64

// Replayed is what came of a watch from far back.
type Replayed struct {
	// Events came in Elapsed; the watch ended when all had come, or its time was over.
	Events  int
	Elapsed time.Duration
	// Writes are of the clients that wrote meanwhile.
	Writes Result
}

// Replay watches one key from a revision on until a number of events have come, or for the
// limit, while clients update keys of their own.
func (t *Target) Replay(ctx context.Context, key string, revision int64, events int, limit time.Duration, keys *Keys, clients int) (Replayed, error) {
	watcher, err := t.connect()
	if err != nil {
		return Replayed{}, err
	}
	defer func() { _ = watcher.Close() }()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	writes := make(chan Result, 1)
	go func() { // ends with the watch
		next := make([]int, clients)
		writes <- loop(ctx, clients, limit, func(ctx context.Context, client int) (string, error) {
			next[client]++
			// What has begun is finished.
			return Update, t.updateSlot(context.WithoutCancel(ctx), client, keys.owned(client, clients, next[client]))
		})
	}()
	r := Replayed{}
	began := time.Now()
	for answer := range watcher.Watch(ctx, key, clientv3.WithRev(revision), clientv3.WithPrevKV()) {
		if err = answer.Err(); err != nil {
			break
		}
		if r.Events += len(answer.Events); r.Events >= events {
			break
		}
	}
	r.Elapsed = time.Since(began)
	if ctx.Err() != nil {
		err = nil // the time was over
	}
	cancel()
	r.Writes = <-writes
	return r, err
}
