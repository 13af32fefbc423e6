package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
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

func TestWhatPodsReadIsNoLargerThanTheirShare(t *testing.T) {
	cloud := backends(nil, map[string]does{"/two": ofParts(2), "/five": ofParts(5)})
	pooled(t, nil, func(config *PoolConfig) { cloud(config); config.BytesOf, config.Bytes = 1<<20, 1900<<10 }, func(p *Pool, cache *view.Cache) {
		is := func(who, namespace, says string) (done func()) {
			t.Helper()
			state, done := want(p, who, namespace)
			synctest.Wait()
			settled, err := state()
			if got := fmt.Sprint(err); !settled || !strings.HasSuffix(got, says) {
				t.Errorf("%s of %q: got %v, want %v", namespace, who, got, says)
			}
			var full fullError
			if ok := errors.As(err, &full); ok != (says != "<nil>") {
				t.Errorf("%s of %q: who watches it is not handed on", namespace, who)
			}
			return done
		}
		defer is("", "five-of-the-node", "<nil>")()
		defer is("anna", "five-of-the-node", "<nil>")()
		defer is("anna", "two-1", "<nil>")()
		idle := is("anna", "two-2", "<nil>")
		is("anna", "two-3", "anna would read lists of more than 1 MiB, which is as much as one may")()
		idle()
		defer is("anna", "two-4", "<nil>")() // two-2 goes for it
		time.Sleep(2 * FlushEvery)
		if n := cache.Bytes(view.Key{Version: "v1", Resource: "configmaps", Namespace: "two-2"}); n != 0 {
			t.Errorf("what nobody wants has %d bytes", n)
		}
		defer is("bert", "two-5", "<nil>")()
		defer is("bert", "two-6", "<nil>")()
		defer is("carl", "two-7", "lists of more than 1 MiB would be read for pods, which is as much as there may be")()
		defer is("", "five-more-of-the-node", "<nil>")()
		grown := cache.View(view.Key{Version: "v1", Resource: "configmaps", Namespace: "two-1"})
		for i := range 2 {
			o, err := grown.Parse(fmt.Appendf(nil, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"new%d","namespace":"two-1","resourceVersion":"%d"},"data":{"x":%q}}`, i, 40+i, strings.Repeat("x", part)))
			if err != nil {
				t.Fatal(err)
			}
			grown.Apply(o, false)
		}
		time.Sleep(2 * FlushEvery)
		p.mu.Lock()
		defer p.mu.Unlock()
		if h := p.holds(everyView); h.of["anna"] > 1<<20 || h.all > 1900<<10 || cache.Bytes(grown.Key) != 0 {
			t.Errorf("what has grown is kept: %v", h)
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
