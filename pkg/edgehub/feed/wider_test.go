package feed

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// shop is an API server of which some ask for all, and some for what is in no namespace x, which is all, too.
type shop struct {
	*apiserver
	refusing     atomic.Bool // those who want all
	wide, narrow atomic.Int32
}

// Do implements Doer.
func (s *shop) Do(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	if query.Get("fieldSelector") != "" {
		s.narrow.Add(1)
	} else if s.wide.Add(1); s.refusing.Load() {
		return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"kind":"Status","code":403}`))}, nil
	}
	query.Del("fieldSelector")
	query.Set("labelSelector", "a=b")
	r.URL.RawQuery = query.Encode()
	return client{s.Listener.Addr().String(), s.Client()}.Do(r)
}

var (
	allKey  = view.Key{Version: "v1", Resource: "configmaps", Namespace: "ns"}
	someKey = view.Key{Version: "v1", Resource: "configmaps", Namespace: "ns", Fields: "metadata.namespace!=x"}
)

// ofSomebody is in a request of who is not of the node.
type ofSomebody struct{}

// open runs a pool.
func (s *shop) open(cache *view.Cache) *Pool {
	s.t.Helper()
	p, err := NewPool(PoolConfig{Cache: cache, Disk: &disk{}, Logger: slog.New(slog.DiscardHandler), Asker: func(_ view.Key, r *http.Request) Asker {
		owner, _ := r.Context().Value(ofSomebody{}).(string)
		return Asker{Client: s, Owner: owner}
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); p.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-ended })
	return p
}

// want has a view wanted, by the node if by nobody else.
func (s *shop) want(p *Pool, key view.Key, owner string) (done func()) {
	r := (&http.Request{}).WithContext(context.WithValue(s.t.Context(), ofSomebody{}, owner))
	_, done = p.Want(key, "/api/v1/namespaces/ns/configmaps", r)
	return done
}

// eventually waits until something is so.
func (s *shop) eventually(what string, is func() bool) {
	s.t.Helper()
	for until := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			s.t.Fatalf("%s: it is not so", what)
		}
	}
}

// has waits until who wants a key finds an object, in a view of a key.
func (s *shop) has(p *Pool, key view.Key, name string, in view.Key) {
	s.t.Helper()
	s.eventually(key.String()+" has "+name, func() bool {
		v, _, ok := p.Find(key)
		if !ok || v.Key != in {
			return false
		}
		o, _, err := v.Get("ns/" + name)
		return err == nil && o != nil
	})
}

func newShop(t *testing.T) *shop {
	s := &shop{apiserver: newAPIServer(t)}
	s.change("o1", false)
	return s
}

func newCache(t *testing.T) *view.Cache {
	t.Helper()
	cache, err := view.NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

func TestWhatTheNodeWantsAllOfIsAskedForOnce(t *testing.T) {
	s := newShop(t)
	p := s.open(newCache(t))
	s.want(p, allKey, "")
	done := s.want(p, someKey, "somebody")
	s.has(p, someKey, "o1", allKey)
	s.change("o2", false)
	s.has(p, someKey, "o2", allKey)
	done()
	p.mu.Lock()
	p.end(someKey)
	users := p.feeds[allKey].users
	p.mu.Unlock()
	if got := s.narrow.Load(); got > 0 || users != 1 {
		t.Errorf("less was asked for %d times, and all is wanted by %d", got, users)
	}
}

func TestWhoReadsFromAViewThatIsRefusedGetsHisOwn(t *testing.T) {
	s := newShop(t)
	p := s.open(newCache(t))
	s.want(p, allKey, "")
	s.want(p, someKey, "somebody")
	s.has(p, someKey, "o1", allKey)
	v, _, _ := p.Find(someKey)
	_, version, err := v.List()
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := v.Watch(version)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() {
		for {
			if _, err := watcher.Next(t.Context()); err != nil {
				told <- err
				return
			}
		}
	}()
	s.refusing.Store(true)
	s.CloseClientConnections()
	if err := <-told; !errors.Is(err, view.ErrExpired) {
		t.Errorf("who watched was told %v", err)
	}
	s.change("o2", false)
	s.has(p, someKey, "o2", someKey)
	s.refusing.Store(false) // it goes on as it is while somebody wants it
	s.change("o3", false)
	s.has(p, someKey, "o3", someKey)
}

func TestAViewThatIsNewerThanAWiderOneIsFilledByItself(t *testing.T) {
	s := newShop(t)
	cache := newCache(t)
	cache.View(allKey).Replace(nil, 5)
	cache.View(someKey).Replace(nil, 8)
	p := s.open(cache)
	s.with(func() { s.down = true })
	s.want(p, allKey, "")
	s.want(p, someKey, "somebody")
	if v, _, ok := p.Find(someKey); !ok || v.Key != someKey {
		t.Error("what is known of it is not")
	}
	s.with(func() { s.down = false })
	p.Wake()
	s.has(p, someKey, "o1", someKey)
}

func TestAWiderViewThatIsOnlyCutOffIsWaitedFor(t *testing.T) {
	s := newShop(t)
	s.with(func() { s.down = true })
	p := s.open(newCache(t))
	s.want(p, allKey, "")
	s.eventually("all is asked for in vain", func() bool { return s.wide.Load() > 0 })
	s.want(p, someKey, "somebody")
	s.with(func() { s.down = false })
	p.Wake()
	s.has(p, someKey, "o1", allKey)
	if got := s.narrow.Load(); got > 0 {
		t.Errorf("less was asked for %d times", got)
	}
}

func TestOneObjectIsAskedForByItself(t *testing.T) {
	s := newShop(t)
	p := s.open(newCache(t))
	s.want(p, allKey, "")
	one := someKey
	one.Fields = "metadata.name=o1"
	s.want(p, one, "")
	s.has(p, one, "o1", one)
}

// After a start without the cloud there is what was on disk: all, from which less was read before.
func TestWhatWasReadFromAWiderViewIsReadFromItAfterAStart(t *testing.T) {
	s := newShop(t)
	s.with(func() { s.down = true })
	cache := newCache(t)
	v := cache.View(allKey)
	o, err := v.Parse([]byte(s.state["o1"]))
	if err != nil {
		t.Fatal(err)
	}
	v.Replace([]*view.Object{o}, o.Version)
	p := s.open(cache)
	s.want(p, someKey, "somebody") // who comes sooner than the node
	s.want(p, allKey, "")
	s.has(p, someKey, "o1", allKey)
}

// Nodes have no namespace: who asks for those of one is told so by upstream, and is not left waiting for the view of all.
func TestWhatHasNoNamespaceIsNotReadByOneFromAWiderView(t *testing.T) {
	c := &cloud{code: http.StatusOK}
	pooled(t, c, nil, func(p *Pool, cache *view.Cache) {
		r, _ := http.NewRequest(http.MethodGet, "/", nil)
		all := view.Key{Version: "v1", Resource: "configmaps"}
		_, done := p.Want(all, "/api/v1/configmaps", r)
		defer done()
		synctest.Wait()
		v := cache.View(all)
		o, err := v.Parse([]byte(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"8"}}`))
		if err != nil {
			t.Fatal(err)
		}
		v.Apply(o, false)
		before, _ := c.counts()
		_, narrow := want(p, "", "ns")
		defer narrow()
		synctest.Wait()
		if asked, _ := c.counts(); asked != before+1 {
			t.Errorf("upstream was asked %d times", asked-before)
		}
	})
}

func TestWhoWaitsForAWiderViewThatHasNoNamespacesIsToldByUpstream(t *testing.T) {
	c := &cloud{code: http.StatusOK, silent: true}
	pooled(t, c, nil, func(p *Pool, cache *view.Cache) {
		r, _ := http.NewRequest(http.MethodGet, "/", nil)
		all := view.Key{Version: "v1", Resource: "configmaps"}
		_, done := p.Want(all, "/api/v1/configmaps", r)
		defer done()
		_, first := want(p, "", "ns")
		defer first()
		synctest.Wait()
		if asked, _ := c.counts(); asked != 1 {
			t.Errorf("asked %d times for one view", asked)
		}
		o, err := cache.View(all).Parse([]byte(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"8"}}`))
		if err != nil {
			t.Fatal(err)
		}
		cache.View(all).Replace([]*view.Object{o}, 8)
		_, second := want(p, "", "ns")
		defer second()
		synctest.Wait()
		if asked, _ := c.counts(); asked != 2 {
			t.Errorf("asked %d times, now that it is known that there are no namespaces", asked)
		}
	})
}
