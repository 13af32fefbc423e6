package workload

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
	var seen, connected atomic.Int64
	err = t.clients(ctx, watchers, func(ctx context.Context, _ int, c *client) error {
		uri := path(version, namespace, "") + "?watch=1&resourceVersion=" + since
		response, err := c.open(ctx, http.MethodGet, uri, "", nil)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if connected.Add(1) == int64(watchers) {
			close(ready)
		}
		return readEvents(bufio.NewReaderSize(response.Body, 64<<10), round, count, &seen)
	})
	ended, cancelled := time.Now(), ctx.Err()
	cancel()
	if updateErr := <-updated; updateErr != nil && cancelled == nil {
		return Fanout{}, updateErr
	}
	elapsed := ended.Sub(began)
	missing := count*watchers - int(seen.Load())
	if err != nil && (cancelled == nil || missing == 0 || missing == count*watchers) {
		return Fanout{}, err
	}
	return Fanout{Elapsed: elapsed, PerSecond: float64(seen.Load()) / elapsed.Seconds(), Missing: missing}, nil
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

// readEvents reads until each of count updates of the round was seen.
func readEvents(r *bufio.Reader, round string, count int, seen *atomic.Int64) error {
	had := make([]bool, count)
	mark := []byte(`"` + round)
	for left := count; left > 0; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("watch, %d events missing: %w", left, err)
		}
		_, rest, found := bytes.Cut(line, mark)
		if !found {
			continue
		}
		number, _, _ := bytes.Cut(rest, []byte(`"`))
		i, err := strconv.Atoi(string(number))
		if err != nil || i < 0 || i >= count {
			return fmt.Errorf("watch: update number %q", number)
		}
		if !had[i] {
			had[i] = true
			left--
			seen.Add(1)
		}
	}
	return nil
}
