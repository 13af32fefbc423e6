package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Delays are of events at one watcher.
type Delays struct {
	// FromStart is since the request of the write was sent; FromAck since its answer came,
	// negative where the event was quicker.
	FromStart, FromAck Latencies
	Delivery           Delivery
	// Writes is of the writer; its times include the pauses.
	Writes Result
}

// Pauses are between the writes of a writer, at random.
type Pauses struct {
	Least, Most time.Duration
}

func (p Pauses) wait() { time.Sleep(p.Least + rand.N(p.Most-p.Least+1)) }

// delayKeys is how many keys the writer updates.
const delayKeys = 4

// Delay has one client of the writer write now and then, and a watcher of the same prefix
// watch, which may be at another server.
func Delay(ctx context.Context, writer, watcher *Target, prefix string, pauses Pauses, duration time.Duration) (Delays, error) {
	keys, err := writer.Fill(ctx, prefix, 1, delayKeys)
	if err != nil {
		return Delays{}, err
	}
	a, err := watcher.audience(ctx, prefix+"/")
	if err != nil {
		return Delays{}, err
	}
	j, n := &journal{}, 0
	writes := loop(ctx, 1, duration, func(ctx context.Context, client int) (string, error) {
		pauses.wait()
		s, began := keys.owned(0, 1, n), time.Now()
		n++
		err := writer.updateSlot(ctx, client, s)
		if err == nil {
			j.note(Event{Revision: s.revision, Key: s.key}, began)
		}
		return Update, err
	})
	a.await(ctx, j)
	delivery, err := a.judge(j)
	d := Delays{Delivery: delivery, Writes: writes}
	d.FromStart, d.FromAck = a.watchers[0].delays(j)
	return d, err
}

// delays are of those events that came; each counts when it came first.
func (w *watcher) delays(j *journal) (fromStart, fromAck Latencies) {
	arrived := make(map[Event]time.Time, len(w.seen))
	for i, event := range w.seen {
		if _, before := arrived[event]; !before {
			arrived[event] = w.at[i]
		}
	}
	for _, write := range j.writes {
		if at, came := arrived[write.Event]; came {
			fromStart = append(fromStart, at.Sub(write.began))
			fromAck = append(fromAck, at.Sub(write.acked))
		}
	}
	return sorted(fromStart), sorted(fromAck)
}

// Churn is what came of watchers while writers were at full speed.
type Churn struct {
	Writes   Result
	Delivery Delivery
	// Behind is how long after the last answer the last watcher had the last event.
	Behind time.Duration
	// PerSecond is how many events came, at all watchers, until then.
	PerSecond float64
}

// Churn has writers create, update and delete keys as quickly as they can, and watchers
// watch all of them.
func (t *Target) Churn(ctx context.Context, prefix string, watchers, writers int, duration time.Duration) (Churn, error) {
	prefixes := make([]string, watchers)
	for i := range prefixes {
		prefixes[i] = prefix + "/"
	}
	a, err := t.audience(ctx, prefixes...)
	if err != nil {
		return Churn{}, err
	}
	j, slots := &journal{}, make([]slot, writers)
	for i := range slots {
		slots[i].key = fmt.Sprintf("%s/key-%02d", prefix, i)
	}
	began := time.Now()
	writes := loop(ctx, writers, duration, func(ctx context.Context, client int) (string, error) {
		return t.change(ctx, client, &slots[client], j)
	})
	ended := time.Now()
	a.await(ctx, j)
	c := Churn{Writes: writes, Behind: time.Since(ended)}
	elapsed := time.Since(began)
	c.Delivery, err = a.judge(j)
	c.PerSecond = float64(c.Delivery.Delivered) / elapsed.Seconds()
	return c, err
}

// updatesOfLife is about how often a key is updated before it is deleted.
const updatesOfLife = 8

// change creates a key that is not there; one that is there it updates or, now and then,
// deletes.
func (t *Target) change(ctx context.Context, client int, s *slot, j *journal) (string, error) {
	if err := t.refresh(ctx, client, s); err != nil {
		return Update, err
	}
	began := time.Now()
	if s.revision != 0 && rand.IntN(updatesOfLife) == 0 {
		revision, err := t.removeSlot(ctx, client, s)
		if err == nil {
			j.note(Event{revision, s.key, true}, began)
		}
		return Delete, err
	}
	kind, write := Update, t.updateSlot
	if s.revision == 0 {
		kind, write = Create, t.createSlot
	}
	err := write(ctx, client, s)
	if err == nil {
		j.note(Event{Revision: s.revision, Key: s.key}, began)
	}
	return kind, err
}
