package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// roundAnnotation is what changes of watched objects write: which change it is.
const roundAnnotation = "bench.koinon.io/round"

// watchers watch one object, a number of them on each connection.
type watchers struct {
	clients []*client
	cancel  context.CancelFunc
	running sync.WaitGroup
	// seen has what watches saw, in no order.
	seen chan sighting
}

// sighting is the moment at which a watch had read a change, or why it ended.
type sighting struct {
	round string
	at    time.Time
	err   error
}

// watchObject begins n watches of a ConfigMap from a version. They last until close.
func (y *way) watchObject(ctx context.Context, n, perConnection int, name, version string) (*watchers, error) {
	ctx, cancel := context.WithCancel(ctx)
	ws := &watchers{cancel: cancel, seen: make(chan sighting, 2*n)} // a change of each, and the end
	var err error
	if ws.clients, err = y.clients((n + perConnection - 1) / perConnection); err != nil {
		cancel()
		return nil, err
	}
	q := question{accept: asJSON, path: y.path("configmaps") + "?" + url.Values{
		"watch": {"true"}, "fieldSelector": {"metadata.name=" + name}, "resourceVersion": {version}, "timeoutSeconds": {"7200"},
	}.Encode()}
	err = many(n, func(i int) error {
		response, err := ws.clients[i/perConnection].open(ctx, q)
		if err != nil {
			return err
		}
		ws.running.Go(func() { ws.follow(response) }) // ends with close
		return nil
	})
	if err != nil {
		ws.close()
		return nil, fmt.Errorf("%s: begin %d watches: %w", y.name, n, err)
	}
	return ws, nil
}

// follow tells of changes until the watch ends.
func (ws *watchers) follow(response *http.Response) {
	defer response.Body.Close()
	lines := bufio.NewReaderSize(response.Body, 4*kibi)
	mark := []byte(`"` + roundAnnotation + `":"`)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil || bytes.HasPrefix(line, []byte(`{"type":"ERROR"`)) {
			ws.seen <- sighting{err: fmt.Errorf("a watch ended: %w", errors.Join(err, errors.New(string(line))))}
			return
		}
		if _, rest, found := bytes.Cut(line, mark); found {
			round, _, _ := bytes.Cut(rest, []byte(`"`))
			ws.seen <- sighting{round: string(round), at: time.Now()}
		}
	}
}

// await waits until n watches have seen a change, and returns when the last one had.
func (ws *watchers) await(ctx context.Context, n int, round string) (last time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for had := range n {
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("%d of %d watches have seen the change: %w", had, n, ctx.Err())
		case s := <-ws.seen:
			if s.err != nil {
				return last, s.err
			}
			if s.round != round {
				return last, fmt.Errorf("a watch saw change %s in the place of %s", s.round, round)
			}
			if s.at.After(last) {
				last = s.at
			}
		}
	}
	return last, nil
}

// close ends all.
func (ws *watchers) close() {
	ws.cancel()
	ws.running.Wait()
	closeAll(ws.clients)
}
