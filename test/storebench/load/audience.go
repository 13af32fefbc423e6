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

// journal is what was written and acknowledged.
type journal struct {
	// mu guards writes.
	mu     sync.Mutex
	writes []written
}

type written struct {
	Event
	// began is when the request was sent, acked when its answer was there.
	began, acked time.Time
}

// note keeps a write that was acknowledged just now.
func (j *journal) note(event Event, began time.Time) {
	acked := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes = append(j.writes, written{event, began, acked})
}

// below are the events of a prefix.
func (j *journal) below(prefix string) []Event {
	var events []Event
	for _, w := range j.writes {
		if strings.HasPrefix(w.Key, prefix) {
			events = append(events, w.Event)
		}
	}
	return events
}

// watcher watches one prefix, on a connection of its own as the watch of an API server's
// cache.
type watcher struct {
	prefix string
	client *clientv3.Client
	// ended is closed when nothing comes any more.
	ended chan struct{}
	// mu guards what follows.
	mu   sync.Mutex
	seen []Event
	at   []time.Time
	err  error
}

// watchTimeout is how long the server may take to begin a watch.
const watchTimeout = 15 * time.Second

// watch begins after the current revision; it returns when the server has begun it. The
// watch ends with the context.
func (t *Target) watch(ctx context.Context, prefix string) (*watcher, error) {
	revision, err := t.revision(ctx)
	if err != nil {
		return nil, err
	}
	client, err := t.connect()
	if err != nil {
		return nil, err
	}
	w := &watcher{prefix: prefix, client: client, ended: make(chan struct{})}
	responses := client.Watch(clientv3.WithRequireLeader(ctx), prefix, clientv3.WithPrefix(), clientv3.WithPrevKV(),
		clientv3.WithRev(revision+1), clientv3.WithProgressNotify(), clientv3.WithCreatedNotify())
	if err := created(responses); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", prefix, err), client.Close())
	}
	go w.follow(ctx, responses) // ends with the context
	return w, nil
}

// created waits for the answer that the watch has begun.
func created(responses clientv3.WatchChan) error {
	select {
	case response := <-responses:
		if !response.Created {
			return errors.Join(errors.New("the server did not begin"), response.Err())
		}
		return response.Err()
	case <-time.After(watchTimeout):
		return fmt.Errorf("the server did not begin within %s", watchTimeout)
	}
}

func (w *watcher) follow(ctx context.Context, responses clientv3.WatchChan) {
	defer close(w.ended)
	for response := range responses {
		at := time.Now()
		w.mu.Lock()
		if err := response.Err(); err != nil && w.err == nil && ctx.Err() == nil {
			w.err = err
		}
		for _, event := range response.Events {
			w.seen = append(w.seen, Event{event.Kv.ModRevision, string(event.Kv.Key), event.Type == clientv3.EventTypeDelete})
			w.at = append(w.at, at)
		}
		w.mu.Unlock()
	}
}

// progress is how many events came, and the revision of the last one.
func (w *watcher) progress() (count int, last int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) > 0 {
		last = w.seen[len(w.seen)-1].Revision
	}
	return len(w.seen), last
}

// audience are watchers that work at the same time.
type audience struct {
	watchers []*watcher
	cancel   context.CancelFunc
}

// audience begins one watch for each prefix.
func (t *Target) audience(ctx context.Context, prefixes ...string) (*audience, error) {
	ctx, cancel := context.WithCancel(ctx)
	a := &audience{cancel: cancel}
	for _, prefix := range prefixes {
		w, err := t.watch(ctx, prefix)
		if err != nil {
			a.close()
			return nil, err
		}
		a.watchers = append(a.watchers, w)
	}
	return a, nil
}

// close ends the watches.
func (a *audience) close() {
	a.cancel()
	for _, w := range a.watchers {
		<-w.ended
		_ = w.client.Close()
	}
}

const (
	// patience is how long watchers that get nothing more are waited for.
	patience  = 5 * time.Second
	lookAgain = 2 * time.Millisecond
)

// await waits until every watcher has the last event that it is owed, or nothing has come
// for a while.
func (a *audience) await(ctx context.Context, j *journal) {
	last := make([]int64, len(a.watchers))
	for i, w := range a.watchers {
		for _, event := range j.below(w.prefix) {
			last[i] = max(last[i], event.Revision)
		}
	}
	before, changed := 0, time.Now()
	for time.Since(changed) < patience && ctx.Err() == nil {
		total, waiting := 0, false
		for i, w := range a.watchers {
			count, revision := w.progress()
			total += count
			waiting = waiting || revision < last[i]
		}
		if !waiting {
			return
		}
		if total != before {
			before, changed = total, time.Now()
		}
		time.Sleep(lookAgain)
	}
}

// judge ends the watches and says what came.
func (a *audience) judge(j *journal) (Delivery, error) {
	a.close()
	var sum Delivery
	var errs []error
	for _, w := range a.watchers {
		sum = sum.Plus(check(j.below(w.prefix), w.seen))
		errs = append(errs, w.err)
	}
	return sum, errors.Join(errs...)
}

// Watch keeps a watch of a prefix open until stop is called.
func (t *Target) Watch(ctx context.Context, prefix string) (stop func(), err error) {
	a, err := t.audience(ctx, prefix)
	if err != nil {
		return nil, err
	}
	return a.close, nil
}
