package feed

import (
	"bytes"
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

	"github.com/koinon-io/koinon/pkg/edgehub/store"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// disk fails as it is told to.
type disk struct{ err error }

func (d *disk) Apply(...store.Change) error { return d.err }

// A disk that is full for days has two lines in the log.
func TestADiskThatIsFullIsToldOfWhenItBeginsAndEnds(t *testing.T) {
	cache, err := view.NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := view.NewKey("", "v1", "pods", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	d := &disk{errors.New("it is full")}
	p, err := NewPool(PoolConfig{Cache: cache, Disk: d, Asker: func(view.Key, *http.Request) Asker { return Asker{} }, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	v := cache.View(key)
	v.Replace(nil, 1)
	for range 5 {
		p.flush()
	}
	d.err = nil
	for version := range uint64(5) {
		v.Advance(2 + version)
		p.flush()
	}
	if got := strings.Count(log.String(), "\n"); got != 2 || !strings.Contains(log.String(), "it is full") || !strings.Contains(log.String(), "again") {
		t.Errorf("the log has %d lines:\n%s", got, log.String())
	}
}

// cloud counts who asks it for what, and answers by a table: a code, or a watch that says nothing more.
type cloud struct {
	mu    sync.Mutex
	code  int         // guarded by mu; 200 is a streaming list of nothing
	after string      // Retry-After
	asked []time.Time // guarded by mu
	open  int         // guarded by mu: watches that are open
	// silent: a streaming list does not come to its end; guarded by mu
	silent bool
	// forgot: it answers watches from a resourceVersion that it is too old; guarded by mu
	forgot bool
	// looks counts lists, and streams those that stream
	looks, streams int // guarded by mu
	// links ends all watches that are open; guarded by mu
	links []func()
}

func (c *cloud) Do(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, time.Now())
	if c.code == 0 {
		return nil, errors.New("the link is cut")
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if c.code != http.StatusOK {
		header.Set("Retry-After", c.after)
		return &http.Response{StatusCode: c.code, Header: header, Body: io.NopCloser(strings.NewReader("{}"))}, nil
	}
	query := r.URL.Query()
	if !query.Has("watch") {
		c.looks++
		return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader(`{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[]}`))}, nil
	}
	if c.forgot && query.Has("watch") && !query.Has("sendInitialEvents") {
		return &http.Response{StatusCode: http.StatusGone, Header: header, Body: io.NopCloser(strings.NewReader("{}"))}, nil
	}
	if query.Has("sendInitialEvents") {
		c.streams++
	}
	body, write := io.Pipe()
	c.open++
	silent := c.silent
	ctx, cut := context.WithCancel(r.Context())
	c.links = append(c.links, cut)
	go func() { // ends with the request, or with the link
		defer cut()
		if silent {
			<-ctx.Done()
		}
		_, _ = io.WriteString(write, `{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}}`+"\n")
		<-ctx.Done()
		_ = write.CloseWithError(ctx.Err())
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open--
	}()
	return &http.Response{StatusCode: http.StatusOK, Header: header, Body: body}, nil
}

func (c *cloud) set(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.code = code
}

// cut ends all watches, and lets nothing through.
func (c *cloud) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.code = 0
	for _, end := range c.links {
		end()
	}
	c.links = nil
}

func (c *cloud) counts() (asked, open int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked), c.open
}

// pooled runs a pool over a cloud until do returns. Who wants something is the Owner header of a request.
func pooled(t *testing.T, c *cloud, change func(*PoolConfig), do func(p *Pool, cache *view.Cache)) {
	synctest.Test(t, func(t *testing.T) {
		cache, err := view.NewCache(nil)
		if err != nil {
			t.Fatal(err)
		}
		config := PoolConfig{Cache: cache, Disk: &disk{}, Logger: slog.New(slog.DiscardHandler), Asker: func(_ view.Key, r *http.Request) Asker { return Asker{c, r.Header.Get("Owner")} }}
		if change != nil {
			change(&config)
		}
		p, err := NewPool(config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx) })
		do(p, cache)
		cancel()
		running.Wait()
	})
}

// want has a view of a namespace be wanted.
func want(p *Pool, owner, namespace string) (state func() (bool, error), done func()) {
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Owner", owner)
	return p.Want(view.Key{Version: "v1", Resource: "configmaps", Namespace: namespace}, "/api/v1/namespaces/"+namespace+"/configmaps", r)
}

func TestAViewIsFilledWhileSomebodyWantsItAndStaysAfterThat(t *testing.T) {
	c := &cloud{code: http.StatusOK}
	pooled(t, c, nil, func(p *Pool, cache *view.Cache) {
		_, done := want(p, "", "a")
		time.Sleep(3 * time.Hour)
		if _, open := c.counts(); open != 1 {
			t.Errorf("%d watches, of what is wanted", open)
		}
		done()
		time.Sleep(DefaultIdle + 2*sweepEvery)
		if _, open := c.counts(); open != 0 {
			t.Errorf("%d watches, of what nobody wants", open)
		}
		key := view.Key{Version: "v1", Resource: "configmaps", Namespace: "a"}
		if _, _, ok := cache.Find(key); !ok {
			t.Error("what is in it is gone")
		}
		state, done := want(p, "", "a")
		if settled, _ := state(); settled {
			t.Error("it passes for as new as can be")
		}
		synctest.Wait()
		if settled, err := state(); !settled || err != nil {
			t.Errorf("it is not filled again: %v", err)
		}
		done()
	})
}

func TestWhatWasNeverCompleteIsForgottenWhenNobodyWantsIt(t *testing.T) {
	c := &cloud{}
	pooled(t, c, nil, func(p *Pool, cache *view.Cache) {
		_, done := want(p, "", "a")
		synctest.Wait()
		done()
		time.Sleep(DefaultIdle + 2*sweepEvery)
		if n := len(cache.Views()); n != 0 {
			t.Errorf("%d views", n)
		}
	})
}

func TestWhoWantsALotGetsNoMoreThanHisShare(t *testing.T) {
	c := &cloud{code: http.StatusOK}
	pooled(t, c, func(config *PoolConfig) { config.FeedsOf, config.Feeds = 3, 6 }, func(p *Pool, _ *view.Cache) {
		for i := range 3 {
			want(p, "anna", string(rune('a'+i)))
		}
		state, _ := want(p, "anna", "d")
		if _, err := state(); err == nil || err.Error() != "anna reads 3 different lists already, which is as many as one may" {
			t.Errorf("one more: %v", err)
		}
		if state, _ := want(p, "bert", "a"); state == nil {
			t.Error("what another reads may not be read")
		} else if _, err := state(); err != nil {
			t.Error(err)
		}
		for i := range 3 {
			state, _ := want(p, "", string(rune('m'+i)))
			if _, err := state(); err != nil {
				t.Errorf("the node: %v", err)
			}
		}
		state, _ = want(p, "", "z")
		if _, err := state(); err == nil || err.Error() != "6 different lists are read already, which is as many as there may be" {
			t.Errorf("more than there may be: %v", err)
		}
	})
}

func TestWhatNobodyReadsNowMakesRoomForWhatSomebodyWants(t *testing.T) {
	c := &cloud{code: http.StatusOK}
	pooled(t, c, func(config *PoolConfig) { config.FeedsOf = 2 }, func(p *Pool, _ *view.Cache) {
		for i := range 5 {
			state, done := want(p, "anna", string(rune('a'+i)))
			synctest.Wait()
			if _, err := state(); err != nil {
				t.Errorf("%d: %v", i, err)
			}
			done()
		}
		synctest.Wait()
		if _, open := c.counts(); open != 2 {
			t.Errorf("%d watches", open)
		}
	})
}

func TestTheOldestViewsAreForgottenWhenThereAreTooMany(t *testing.T) {
	c := &cloud{code: http.StatusOK}
	pooled(t, c, func(config *PoolConfig) { config.Views = 2 }, func(p *Pool, cache *view.Cache) {
		for _, namespace := range []string{"a", "b", "c", "d"} {
			_, done := want(p, "", namespace)
			time.Sleep(time.Second)
			done()
		}
		time.Sleep(DefaultIdle + 2*sweepEvery)
		var names []string
		for _, v := range cache.Views() {
			names = append(names, v.Key.Namespace)
		}
		if got := strings.Join(names, " "); got != "c d" {
			t.Errorf("there are %q", got)
		}
	})
}

func TestWhatWasRefusedIsAskedAgainWhenSomebodyWantsIt(t *testing.T) {
	c := &cloud{code: http.StatusForbidden}
	pooled(t, c, nil, func(p *Pool, _ *view.Cache) {
		state, done := want(p, "", "a")
		defer done()
		synctest.Wait()
		if _, err := state(); err == nil {
			t.Fatal("it is not refused")
		}
		time.Sleep(time.Minute)
		if asked, _ := c.counts(); asked != 1 {
			t.Errorf("asked %d times, and nobody wants to know", asked)
		}
		for range 100 { // an impatient one
			_, done := want(p, "", "a")
			time.Sleep(20 * time.Millisecond)
			done()
		}
		if asked, _ := c.counts(); asked < 2 || asked > 4 {
			t.Errorf("asked %d times in two seconds", asked)
		}
		c.set(http.StatusOK)
		time.Sleep(2 * time.Second)
		_, again := want(p, "", "a")
		defer again()
		synctest.Wait()
		if settled, err := state(); !settled || err != nil {
			t.Errorf("the right that was given does not count: %v", err)
		}
	})
}

// Its objects are kept for when the cloud is away, which does not say so then.
func TestWhatUpstreamHasNotAnyMoreIsNotThereAndEmpty(t *testing.T) {
	c := &cloud{code: http.StatusNotFound}
	pooled(t, c, nil, func(p *Pool, cache *view.Cache) {
		r, _ := http.NewRequest(http.MethodGet, "/", nil)
		things, inCore := view.Key{Group: "example.org", Version: "v1", Resource: "things"}, view.Key{Version: "v1", Resource: "pods"}
		for _, key := range []view.Key{things, inCore} {
			cache.View(key).Replace(nil, 7)
			_, done := p.Want(key, "/of/"+key.Resource, r)
			defer done()
		}
		synctest.Wait()
		found := func() (is [2]bool) {
			_, _, is[0] = p.Find(things)
			_, _, is[1] = p.Find(inCore)
			return is
		}
		if got := found(); got != [2]bool{false, true} {
			t.Errorf("as upstream has not got it: %v", got)
		}
		time.Sleep(againAfter)
		_, done := p.Want(things, "/of/things", r) // as it is asked for again
		defer done()
		if got := found(); got != [2]bool{false, true} {
			t.Errorf("while upstream is asked again: %v", got)
		}
		c.set(0)
		time.Sleep(2 * refusedPause)
		if got := found(); got != [2]bool{true, true} {
			t.Errorf("as upstream is away: %v", got)
		}
	})
}

// Whoever looks whether it is as new as can be had does so for years: what he looks at is not to be what was forgotten.
func TestWhatSomebodyWantsIsFilledAnewWhenAllIsForgotten(t *testing.T) {
	c := &cloud{code: http.StatusOK}
	pooled(t, c, nil, func(p *Pool, cache *view.Cache) {
		wide, _ := want(p, "", "")
		synctest.Wait()
		narrow, done := want(p, "anna", "a")
		defer done()
		_, idle := want(p, "", "b")
		synctest.Wait()
		idle()
		before := cache.View(view.Key{Version: "v1", Resource: "configmaps"})
		p.ForgetAll()
		if _, complete := before.Version(); complete {
			t.Error("it is known")
		}
		synctest.Wait()
		for _, state := range []func() (bool, error){wide, narrow} {
			if settled, err := state(); !settled || err != nil {
				t.Errorf("it is not filled anew: %v", err)
			}
		}
		var names []string
		for _, v := range cache.Views() {
			names = append(names, v.Key.Namespace)
		}
		if got := strings.Join(names, ","); got != ",a" {
			t.Errorf("there are %q", got)
		}
		c.cut()
		synctest.Wait()
		for _, state := range []func() (bool, error){wide, narrow} {
			if _, err := state(); err == nil {
				t.Error("it is cut off, and nobody says so")
			}
		}
	})
}

// Who is told that pods are gone takes what is not in it for gone.
func TestAViewIsNotConnectedWhileItIsListed(t *testing.T) {
	c := &cloud{code: http.StatusOK, silent: true}
	pooled(t, c, nil, func(p *Pool, cache *view.Cache) {
		cache.View(view.Key{Version: "v1", Resource: "configmaps", Namespace: "a"}).Replace(nil, 5)
		state, done := want(p, "", "a")
		defer done()
		synctest.Wait()
		if settled, _ := state(); settled {
			t.Error("what it was before passes for what it is")
		}
		time.Sleep(2 * silence) // it is listed otherwise
		synctest.Wait()
		if settled, err := state(); !settled || err != nil {
			t.Errorf("it is not connected: %v", err)
		}
	})
}

func TestUpstreamSaysWhenItMayBeAskedAgain(t *testing.T) {
	c := &cloud{code: http.StatusTooManyRequests, after: "60"}
	pooled(t, c, nil, func(p *Pool, _ *view.Cache) {
		_, done := want(p, "", "a")
		defer done()
		time.Sleep(59 * time.Second)
		if asked, _ := c.counts(); asked != 1 {
			t.Errorf("asked %d times in a minute", asked)
		}
		time.Sleep(3 * time.Minute)
		if asked, _ := c.counts(); asked < 2 {
			t.Error("not asked again")
		}
	})
}

func TestFeedsComeBackSoonAfterTheCloudAndNotAllAtOnce(t *testing.T) {
	c := &cloud{}
	pooled(t, c, nil, func(p *Pool, _ *view.Cache) {
		for i := range 20 {
			_, done := want(p, "", string(rune('a'+i)))
			defer done()
		}
		time.Sleep(time.Hour) // by now each waits for up to half a minute
		c.set(http.StatusOK)
		before, _ := c.counts()
		p.Wake()
		back := time.Now()
		time.Sleep(wakeWithin)
		synctest.Wait()
		asked, open := c.counts()
		if open != 20 || asked-before != 20 {
			t.Errorf("%d of 20 are back, asked %d times", open, asked-before)
		}
		at := map[time.Time]bool{}
		for _, when := range c.asked[before:] {
			at[when] = true
			if when.Before(back) {
				t.Error("asked before")
			}
		}
		if len(at) < 10 {
			t.Errorf("they came at %d moments", len(at))
		}
	})
}

// An API server that was started anew knows nothing of what came before: it answers all watches so, after a time in which each feed has come to wait for up to half a minute.
func TestAfterTheAnswerThatItIsTooOldAFeedListsSoon(t *testing.T) {
	c := &cloud{}
	pooled(t, c, nil, func(p *Pool, _ *view.Cache) {
		for i := range 20 {
			_, done := want(p, "", string(rune('a'+i)))
			defer done()
		}
		c.set(http.StatusOK)
		p.Wake()
		time.Sleep(wakeWithin) // all have a list
		c.cut()
		time.Sleep(time.Minute) // by now each waits for up to half a minute
		c.mu.Lock()
		c.code, c.forgot = http.StatusOK, true
		c.mu.Unlock()
		p.Wake()
		time.Sleep(wakeWithin + time.Second)
		synctest.Wait()
		if _, open := c.counts(); open != 20 {
			t.Errorf("%d of 20 are back", open)
		}
	})
}

// Hundreds of views are cut off together, and are back together: the API server is not asked for each what it has come to.
func TestFeedsThatWereCutOffTogetherLookAFewTimes(t *testing.T) {
	c := &cloud{code: http.StatusOK}
	pooled(t, c, nil, func(p *Pool, _ *view.Cache) {
		const many = 200
		for i := range many {
			_, done := want(p, "", fmt.Sprint("n", i))
			defer done()
		}
		time.Sleep(time.Minute)
		c.cut()
		time.Sleep(time.Minute)
		c.set(http.StatusOK)
		p.Wake()
		time.Sleep(wakeWithin + time.Second)
		synctest.Wait()
		if _, open := c.counts(); open != many {
			t.Errorf("%d of %d are back", open, many)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.looks == 0 || c.looks > many/10 {
			t.Errorf("they looked %d times", c.looks)
		}
	})
}

// A hub that is updated reads nothing again: it looks whether the API server is behind it, a few times for all of a kind, and goes on.
func TestAPoolGoesOnWhereTheOneBeforeHasEnded(t *testing.T) {
	const many = 50
	for what, test := range map[string]struct {
		later   time.Duration // the next one begins
		unknown bool          // whether the views are of this cluster
		ahead   uint64        // of the API server
		lists   int
	}{
		"a moment later":                  {later: time.Second},
		"long after it":                   {later: 2 * DefaultStale, lists: many},
		"what may be of another cluster":  {unknown: true, lists: many},
		"an API server that was set back": {ahead: 9, lists: many},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &cloud{code: http.StatusOK}
				cache, err := view.NewCache(nil)
				if err != nil {
					t.Fatal(err)
				}
				heard := map[view.Key]time.Time{}
				run := func() (lists, looks int) {
					p, err := NewPool(PoolConfig{
						Cache: cache, Disk: &disk{}, Logger: slog.New(slog.DiscardHandler), Asker: func(view.Key, *http.Request) Asker { return Asker{Client: c} },
						Heard: func(_ context.Context, key view.Key) time.Time { return heard[key] },
					})
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					var running sync.WaitGroup
					running.Go(func() { p.Run(ctx) })
					c.mu.Lock()
					c.streams, c.looks = 0, 0
					c.mu.Unlock()
					for i := range many {
						want(p, "", fmt.Sprint("n", i))
					}
					time.Sleep(time.Minute)
					cancel()
					running.Wait()
					heard = p.Heard()
					return c.streams, c.looks
				}
				if lists, _ := run(); lists != many || len(heard) != many {
					t.Fatalf("at first: %d lists, %d views were heard of", lists, len(heard))
				}
				if test.unknown {
					clear(heard)
				}
				for _, v := range cache.Views() {
					v.Advance(max(test.ahead, 7))
				}
				time.Sleep(test.later)
				if lists, looks := run(); lists != test.lists || looks > 16 { // as many as are read at a time
					t.Errorf("%d lists, %d looks", lists, looks)
				}
			})
		})
	}
}

func TestFewListsAreReadAtATime(t *testing.T) {
	c := &cloud{code: http.StatusOK, silent: true}
	pooled(t, c, nil, func(p *Pool, _ *view.Cache) {
		for i := range 3 * lists {
			_, done := want(p, "", fmt.Sprint("n", i))
			defer done()
		}
		synctest.Wait()
		if _, open := c.counts(); open != lists {
			t.Errorf("%d at once", open)
		}
		c.mu.Lock()
		c.silent = false
		c.mu.Unlock()
		time.Sleep(5 * time.Minute) // those that are silent are given up
		if asked, _ := c.counts(); asked < 3*lists {
			t.Errorf("%d were asked for", asked)
		}
	})
}

// Who wants ever other lists costs the hub, and others, no more than his share.
func TestWhoWantsMoreThanHisShareHasHisOwnForgotten(t *testing.T) {
	cache, err := view.NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	askers := map[view.Key]bool{}
	p, err := NewPool(PoolConfig{
		Cache: cache, Disk: &disk{}, FeedsOf: 3, Logger: slog.New(slog.DiscardHandler), Ended: func(key view.Key) { delete(askers, key) },
		Asker: func(key view.Key, r *http.Request) Asker {
			askers[key] = true
			return Asker{Client: &cloud{}, Owner: r.Header.Get("X-Who")}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := func(who, name string) (done func()) {
		key, err := view.NewKey("", "v1", "configmaps", "ns", "of="+name, "")
		if err != nil {
			t.Fatal(err)
		}
		_, done = p.Want(key, "/api/v1/namespaces/ns/configmaps", &http.Request{Header: http.Header{"X-Who": {who}}})
		cache.View(key).Replace(nil, 1)
		return done
	}
	want("mallory", "shared")()
	want("anna", "shared")()
	want("anna", "hers")()
	for i := range 20 {
		want("mallory", fmt.Sprint("m", i))()
	}
	var left []string
	for _, v := range cache.Views() {
		left = append(left, v.Key.Labels)
	}
	if got := strings.Join(left, " "); got != "of=hers of=m17 of=m18 of=m19 of=shared" {
		t.Errorf("there are %s", got)
	}
	for i := range 20 { // which are all read at once
		want("bert", fmt.Sprint("b", i))
	}
	if len(askers) != len(p.feeds) {
		t.Errorf("%d are remembered who ask, for %d views", len(askers), len(p.feeds))
	}
}
