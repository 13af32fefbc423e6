package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// backends answers by path. What is not said is a cloud's.
func backends(c *cloud, of map[string]does) func(*PoolConfig) {
	return func(config *PoolConfig) {
		config.Asker = func(_ view.Key, r *http.Request) Asker {
			return Asker{does(func(r *http.Request) (*http.Response, error) {
				for path, answer := range of {
					if strings.Contains(r.URL.Path, path) {
						return answer(r)
					}
				}
				return c.Do(r)
			}), r.Header.Get("Owner")}
		}
	}
}

// hangs takes a request and answers nothing, as what is behind an API server may: a list is given up by whoever makes requests, and a watch is not.
func hangs(r *http.Request) (*http.Response, error) {
	late := time.NewTimer(75 * time.Second)
	defer late.Stop()
	if r.URL.Query().Has("watch") {
		late.Stop()
	}
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-late.C:
		return nil, fmt.Errorf("no answer has begun")
	}
}

// drips answers a streaming list that has a bookmark each 29 seconds, and no end, and a list that has a blank.
func drips(r *http.Request) (*http.Response, error) {
	says := " "
	if r.URL.Query().Has("watch") {
		says = `{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"7"}}}`
	}
	body, write := io.Pipe()
	go func() { // ends with the request
		for ctx := r.Context(); ctx.Err() == nil; {
			if _, err := io.WriteString(write, says); err != nil {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(29 * time.Second):
			}
		}
		_ = write.CloseWithError(r.Context().Err())
	}()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}, nil
}

func TestABackendThatHangsDoesNotKeepOthersWaiting(t *testing.T) {
	for name, test := range map[string]struct {
		hangs does
		after time.Duration // it is given up
	}{"it answers nothing": {hangs, silence}, "it answers very slowly": {drips, listWithin}} {
		t.Run(name, func(t *testing.T) {
			pooled(t, nil, backends(&cloud{code: http.StatusOK}, map[string]does{"/hung": test.hangs}), func(p *Pool, _ *view.Cache) {
				for i := range 3 * lists {
					_, done := want(p, fmt.Sprint("pod", i%4), fmt.Sprint("hung", i))
					defer done()
				}
				synctest.Wait()
				for _, who := range []string{"", "anna"} {
					state, done := want(p, who, "of"+who)
					defer done()
					synctest.Wait()
					if settled, err := state(); !settled || err != nil {
						t.Errorf("%q waits: %v", who, err)
					}
				}
				for i := range lists { // all turns are the node's own, and hang
					_, done := want(p, "", fmt.Sprint("hung-of-node-", i))
					defer done()
				}
				synctest.Wait()
				state, done := want(p, "", "late")
				defer done()
				time.Sleep(2*test.after + time.Second) // there are more than turns
				if settled, err := state(); !settled || err != nil {
					t.Errorf("what comes behind them waits: %v", err)
				}
			})
		})
	}
}

// It would be silent for good, though what answered nothing is well again.
func TestAWatchThatIsNotAnsweredIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newView(t)
		fill(t, v)
		watches := 0 // of which the first is not answered
		f, err := New(Config{View: v, Path: "/x", Client: does(func(r *http.Request) (*http.Response, error) {
			if !r.URL.Query().Has("watch") {
				return answered(r, http.StatusOK, listOf("[]"), io.EOF), nil
			}
			if watches++; watches == 1 {
				return hangs(r)
			}
			return answered(r, http.StatusOK, theEnd, nil), nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		f.heard()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { f.Run(ctx) })
		time.Sleep(3 * watchFor)
		if version, _ := v.Version(); version != 30 || !f.Status().Connected {
			t.Errorf("it is at %d, and %+v", version, f.Status())
		}
		cancel()
		running.Wait()
	})
}

func TestTurnsAreSharedOut(t *testing.T) {
	turns := turns{all: 4, others: 3, each: 2}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // who has to wait does not
	var given []func()
	for i, step := range []struct {
		owner string
		want  bool
	}{{"a", true}, {"a", true}, {"a", false}, {"b", true}, {"c", false}, {"", true}, {"", false}} {
		turns.mu.Lock()
		free := turns.taken < turns.all && (step.owner == "" || turns.takenByOthers < turns.others && turns.takenBy[step.owner] < turns.each)
		turns.mu.Unlock()
		if free != step.want {
			t.Fatalf("%d: there is one for %q: %t", i, step.owner, free)
		}
		in := t.Context()
		if !free {
			in = ctx
		}
		done, err := turns.take(in, step.owner)
		if (err == nil) != step.want {
			t.Fatalf("%d: %q gets %v", i, step.owner, err)
		}
		if err == nil {
			given = append(given, done)
		}
	}
	for _, done := range given {
		done()
	}
	if turns.taken != 0 || turns.takenByOthers != 0 || len(turns.takenBy) != 0 || len(turns.waiting) != 0 {
		t.Errorf("at the end there are %+v", &turns)
	}
}

// part is how much the objects of these tests have, a fifth of a MiB.
const part = 200 << 10

// ofParts answers streaming lists with so many objects of a part each.
func ofParts(n int) does {
	return func(r *http.Request) (*http.Response, error) {
		namespace := strings.Split(r.URL.Path, "/")[4]
		var text strings.Builder
		for i := range n {
			text.WriteString(added(fmt.Sprintf(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"o%d","namespace":%q,"resourceVersion":"20"},"data":{"x":%q}}`, i, namespace, strings.Repeat("x", part))))
		}
		text.WriteString(theEnd)
		return answered(r, http.StatusOK, text.String(), nil), nil
	}
}

// What has grown to be more than the hub takes is upstream's while it is there, and not for ever what it was.
func TestAListThatHasGrownTooLargeIsUpstreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newView(t)
		v.Replace([]*view.Object{parsed(t, v, beforeIt)}, 10)
		watcher, err := v.Watch(10)
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		f, err := New(Config{View: v, Path: "/api/v1/namespaces/ns/configmaps", Client: does(func(r *http.Request) (*http.Response, error) {
			asked++
			return ofParts(3)(r)
		}), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		f.largest = 2 * part
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { f.Run(ctx) })
		synctest.Wait()
		if !f.isGone() {
			t.Error("what it was passes for what it is")
		}
		if _, err := watcher.Next(ctx); !errors.Is(err, view.ErrExpired) {
			t.Errorf("who follows it is told %v", err)
		}
		for range 20 { // API servers come and go
			f.wake(0)
			time.Sleep(time.Second)
		}
		if asked != 1 {
			t.Errorf("it was read %d times", asked)
		}
		cancel()
		running.Wait()
	})
}

// What a pod has asked for first, and waits, does not have the node wait.
func TestTheNodeDoesNotWaitWherePodsDo(t *testing.T) {
	c := &cloud{code: http.StatusOK, silent: true}
	pooled(t, c, nil, func(p *Pool, cache *view.Cache) {
		for i := range listsOfPods {
			_, done := want(p, fmt.Sprint("pod", i/listsOf), fmt.Sprint("n", i))
			defer done()
		}
		synctest.Wait()
		_, done := want(p, "anna", "wanted")
		defer done()
		synctest.Wait()
		before, _ := c.counts()
		_, done = want(p, "", "wanted")
		defer done()
		synctest.Wait()
		if asked, _ := c.counts(); asked != before+1 {
			t.Errorf("it was asked for %d times", asked-before)
		}
	})
}

// Of large lists the node has one in memory at a time, and pods one.
func TestLargeListsAreReadOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, _ := view.NewCache(nil)
		var mu sync.Mutex
		now, most := 0, 0
		turn := turns{all: 1}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for i := range 3 {
			key, _ := view.NewKey("", "v1", "configmaps", fmt.Sprint("n", i), "", "")
			f, err := New(Config{View: cache.View(key), Path: "/api/v1/namespaces/" + key.Namespace + "/configmaps", Client: ofParts(3),
				Large: func(ctx context.Context) (func(), error) {
					done, err := turn.take(ctx, "")
					mu.Lock()
					defer mu.Unlock()
					now++
					most = max(most, now)
					return func() { mu.Lock(); now--; mu.Unlock(); done() }, err
				}})
			if err != nil {
				t.Fatal(err)
			}
			f.small = 2 * part
			running.Go(func() { f.Run(ctx) })
		}
		synctest.Wait()
		for _, v := range cache.Views() {
			if v.Len() != 3 {
				t.Errorf("%s has %d", v.Key, v.Len())
			}
		}
		if now != 0 || most != 1 {
			t.Errorf("%d were read at once, and %d are", most, now)
		}
		cancel()
		running.Wait()
	})
}
