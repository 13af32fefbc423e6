package workload

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Fanout is what updating watched objects gave.
type Fanout struct {
	// Elapsed is from the first update until every watcher had every event.
	Elapsed   time.Duration
	PerSecond float64
	// Missing counts the events that did not come.
	Missing int
	// Reopened counts the watches that the server ended, as it does with watchers that
	// cannot keep up, and that were taken up again where they were.
	Reopened int
}

const (
	// updaters is how many clients update.
	updaters = 16
	// fanoutTimeout is how long the events may take.
	fanoutTimeout = 60 * time.Second
	// roundAnnotation is what updates write: a mark of the round, then a number.
	roundAnnotation = "bench.koinon.io/update"
)

// Watch updates every one of the first count objects of a namespace once, in the stored
// version, while that many clients watch the namespace in a version.
func (t *Target) Watch(ctx context.Context, version, namespace string, count, watchers int) (Fanout, error) {
	ctx, cancel := context.WithTimeout(ctx, fanoutTimeout)
	defer cancel()
	since, err := t.resourceVersion(ctx, namespace)
	if err != nil {
		return Fanout{}, err
	}
	round := fmt.Sprintf("r%d-", time.Now().UnixNano())
	var ready, began, updated = make(chan struct{}), time.Time{}, make(chan error, 1)
	go func() { // ends with the updates, or with ctx
		select {
		case <-ready:
			began = time.Now()
			updated <- t.update(ctx, namespace, round, count)
		case <-ctx.Done():
			updated <- nil
		}
	}()
	var connected atomic.Int64
	all := make([]watcher, watchers)
	err = t.clients(ctx, watchers, func(ctx context.Context, i int, c *client) error {
		w := &all[i]
		*w = watcher{uri: path(version, namespace, "") + "?watch=1&resourceVersion=", since: since, mark: []byte(`"` + round), had: make([]bool, count)}
		return w.run(ctx, c, func() {
			if connected.Add(1) == int64(watchers) {
				close(ready)
			}
		})
	})
	ended, cancelled := time.Now(), ctx.Err()
	if err != nil {
		cancel() // else the last updates still wait for their answers
	}
	if updateErr := <-updated; updateErr != nil && err == nil {
		return Fanout{}, updateErr
	}
	elapsed := ended.Sub(began)
	f := Fanout{Elapsed: elapsed}
	seen := 0
	for i := range all {
		seen += all[i].seen
		f.Reopened += max(all[i].opened-1, 0)
	}
	f.Missing, f.PerSecond = count*watchers-seen, float64(seen)/elapsed.Seconds()
	if err != nil && (cancelled == nil || seen == 0) {
		return Fanout{}, err
	}
	return f, nil
}

// resourceVersion of the namespace now.
func (t *Target) resourceVersion(ctx context.Context, namespace string) (string, error) {
	c, err := t.newClient(false)
	if err != nil {
		return "", err
	}
	defer c.close()
	response, err := c.open(ctx, http.MethodGet, path(Stored, namespace, "")+"?limit=1", "", nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var list struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		return "", fmt.Errorf("decode a list: %w", err)
	}
	return list.Metadata.ResourceVersion, nil
}

// update writes each object once.
func (t *Target) update(ctx context.Context, namespace, round string, count int) error {
	var next atomic.Int64
	return t.clients(ctx, updaters, func(ctx context.Context, _ int, c *client) error {
		for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
			patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"%s%d"}}}`, roundAnnotation, round, i)
			if _, err := c.do(ctx, http.MethodPatch, path(Stored, namespace, Name(i)), "application/merge-patch+json", patch); err != nil {
				return err
			}
		}
		return nil
	})
}

// watcher waits for one event of each update of a round.
type watcher struct {
	uri, since string // since is the resourceVersion of the last event
	mark       []byte
	had        []bool
	seen       int
	opened     int
}

// run watches until all updates were seen. It calls connected once, and takes a watch that
// the server ended up again.
func (w *watcher) run(ctx context.Context, c *client, connected func()) error {
	for w.seen < len(w.had) {
		response, err := c.open(ctx, http.MethodGet, w.uri+w.since, "", nil)
		if err != nil {
			return err
		}
		if w.opened++; w.opened == 1 {
			connected()
		}
		err = w.read(bufio.NewReaderSize(response.Body, 64<<10))
		_ = response.Body.Close()
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("watch, %d events missing: %w", len(w.had)-w.seen, err)
		}
	}
	return nil
}

// read reads until all updates were seen or the watch ends.
func (w *watcher) read(r *bufio.Reader) error {
	for w.seen < len(w.had) {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte(`{"type":"ERROR"`)) {
			return errors.New(string(line))
		}
		w.since = between(line, []byte(`"resourceVersion":"`), w.since)
		number := between(line, w.mark, "")
		if number == "" {
			continue // an event of an earlier round
		}
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || i >= len(w.had) {
			return fmt.Errorf("update number %q", number)
		}
		if !w.had[i] {
			w.had[i] = true
			w.seen++
		}
	}
	return nil
}

// between returns what is between mark and the next quote, or what else to return.
func between(line, mark []byte, otherwise string) string {
	_, rest, found := bytes.Cut(line, mark)
	if !found {
		return otherwise
	}
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}
