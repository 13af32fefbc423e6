package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

const patience = 30 * time.Second

// apiserver has configmaps, and what an API server says of them.
type apiserver struct {
	*httptest.Server
	t *testing.T

	mu sync.Mutex
	// What follows is guarded by mu.

	version uint64
	state   map[string]string
	events  []change
	since   uint64 // of events
	moved   chan struct{}
	// noStream: it knows no streaming lists. cut is how many events a watch sends before it breaks, 0 for no bound; down answers nothing.
	noStream, down bool
	// noList: lists are refused.
	noList bool
	cut    int
	// refusesLater: a watch from a later resourceVersion than it has is refused, and else silent until then.
	refusesLater bool
	// ends: each watch ends as watches do, when it has sent what there is.
	ends bool
	// largestAsked is the largest limit of a list.
	largestAsked int
	// lists, streams and watches count requests.
	lists, streams, watches int
}

type change struct {
	version uint64
	kind    view.Type
	body    string
}

func newAPIServer(t *testing.T) *apiserver {
	a := &apiserver{t: t, version: 10, since: 10, state: map[string]string{}, moved: make(chan struct{})}
	a.Server = httptest.NewServer(a)
	t.Cleanup(func() { a.CloseClientConnections(); a.Close() })
	return a
}

// change changes an object, or removes it.
func (a *apiserver) change(name string, gone bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	text := fmt.Sprintf(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":%q,"namespace":"ns","resourceVersion":"%d"},"data":{"unknown":"kept"}}`, name, a.version)
	kind := view.Added
	switch {
	case gone && a.state[name] == "":
		return
	case gone:
		kind = view.Deleted
		delete(a.state, name)
	default:
		if a.state[name] != "" {
			kind = view.Modified
		}
		a.state[name] = text
	}
	a.events = append(a.events, change{a.version, kind, text})
	a.wake()
}

func (a *apiserver) wake() {
	close(a.moved)
	a.moved = make(chan struct{})
}

// with changes it otherwise.
func (a *apiserver) with(how func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	how()
	a.wake()
}

func status(rw http.ResponseWriter, code int, reason, message, more string) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	fmt.Fprintf(rw, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d,"reason":%q,"message":%q%s}`, code, reason, message, more)
}

func (a *apiserver) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	a.mu.Lock()
	rw.Header().Set("Content-Type", "application/json")
	down, noStream, noList := a.down, a.noStream, a.noList
	switch {
	case query.Get("sendInitialEvents") == "true":
		a.streams++
	case query.Get("watch") == "true":
		a.watches++
	default:
		a.lists++
	}
	a.mu.Unlock()
	switch {
	case down:
		panic(http.ErrAbortHandler)
	case r.URL.Path != "/api/v1/namespaces/ns/configmaps" || query.Get("labelSelector") != "a=b":
		status(rw, 404, "NotFound", "no such thing", "")
	case query.Get("sendInitialEvents") == "true" && noStream:
		status(rw, 422, "Invalid", "sendInitialEvents is forbidden", "")
	case query.Get("watch") == "true":
		a.watch(rw, r, query)
	case noList:
		status(rw, 403, "Forbidden", "may not list", "")
	default:
		a.list(rw, query)
	}
}

func (a *apiserver) list(rw http.ResponseWriter, query url.Values) {
	a.mu.Lock()
	defer a.mu.Unlock()
	limit, _ := strconv.Atoi(query.Get("limit"))
	a.largestAsked = max(a.largestAsked, limit)
	limit = min(limit, 3)
	names, version := []string{}, a.version
	for name := range a.state {
		names = append(names, name)
	}
	slices.Sort(names)
	if token := query.Get("continue"); token != "" {
		at, from, _ := strings.Cut(token, " ")
		if version, _ = strconv.ParseUint(at, 10, 64); version != a.version {
			status(rw, 410, "Expired", "the continue token is too old", "")
			return
		}
		n, _ := strconv.Atoi(from)
		names = names[n:]
	}
	next := ""
	if len(names) > limit {
		next = fmt.Sprintf("%d %d", version, len(a.state)-len(names)+limit)
		names = names[:limit]
	}
	var items []string
	for _, name := range names {
		items = append(items, strings.Replace(a.state[name], `"kind":"ConfigMap","apiVersion":"v1",`, "", 1))
	}
	fmt.Fprintf(rw, `{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"%d","continue":%q},"items":[%s]}`, version, next, strings.Join(items, ","))
}

func (a *apiserver) watch(rw http.ResponseWriter, r *http.Request, query url.Values) {
	a.mu.Lock()
	from, _ := strconv.ParseUint(query.Get("resourceVersion"), 10, 64)
	var initial []string
	if query.Get("sendInitialEvents") == "true" {
		for _, text := range a.state {
			initial = append(initial, text)
		}
		from = a.version
	}
	since, now, cut, refuses := a.since, a.version, a.cut, a.refusesLater
	a.mu.Unlock()
	switch {
	case from < since:
		status(rw, 410, "Expired", "too old resource version", "")
		return
	case from > now && refuses: // else it is silent until it has come so far
		status(rw, 504, "Timeout", "Too large resource version", `,"details":{"causes":[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}]}`)
		return
	}
	sent := 0
	send := func(kind, body string) {
		if sent++; cut > 0 && sent > cut {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(rw, `{"type":%q,"object":%s}`+"\n", kind, body)
		_ = http.NewResponseController(rw).Flush()
	}
	bookmark := func(version uint64, annotations string) {
		send("BOOKMARK", fmt.Sprintf(`{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"%d"%s}}`, version, annotations))
	}
	for _, text := range initial {
		send("ADDED", text)
	}
	if query.Get("sendInitialEvents") == "true" {
		bookmark(from, `,"annotations":{"k8s.io/initial-events-end":"true"}`)
	}
	_ = http.NewResponseController(rw).Flush()
	for {
		a.mu.Lock()
		var events []change
		for _, e := range a.events {
			if e.version > from {
				events = append(events, e)
			}
		}
		moved, version, ends := a.moved, a.version, a.ends
		gone := from < a.since
		a.mu.Unlock()
		if gone {
			send("ERROR", `{"kind":"Status","apiVersion":"v1","status":"Failure","code":410,"reason":"Expired","message":"too old"}`)
			return
		}
		for _, e := range events {
			send(string(e.kind), e.body)
			from = e.version
		}
		if version > from {
			bookmark(version, "")
			from = version
		}
		if ends {
			return
		}
		select {
		case <-moved:
		case <-r.Context().Done():
			return
		}
	}
}

// client goes to a server.
type client struct {
	base   string
	client *http.Client
}

func (c client) Do(r *http.Request) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = "http", c.base
	return c.client.Do(r)
}

// feeding runs a feed of it.
func (a *apiserver) feeding(v *view.View, change func(*Config)) *Feed {
	a.t.Helper()
	config := Config{
		View: v, Path: "/api/v1/namespaces/ns/configmaps", Client: client{a.Listener.Addr().String(), a.Client()},
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	f, err := New(config)
	if err != nil {
		a.t.Fatal(err)
	}
	f.last = 20 * time.Millisecond
	ctx, cancel := context.WithCancel(a.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run(ctx) }()
	a.t.Cleanup(func() { cancel(); <-ended })
	return f
}

func newView(t *testing.T) *view.View {
	t.Helper()
	cache, err := view.NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := view.NewKey("", "v1", "configmaps", "ns", "a=b", "")
	if err != nil {
		t.Fatal(err)
	}
	return cache.View(key)
}

// settles waits until the view is what the API server has.
func (a *apiserver) settles(v *view.View) {
	a.t.Helper()
	var diff string
	eventually(a.t, func() bool {
		list, version, err := v.List()
		if err != nil {
			diff = err.Error()
			return false
		}
		got := map[string]string{}
		for _, o := range list {
			got[strings.TrimPrefix(o.Name, "ns/")] = string(o.Body)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		diff = cmp.Diff(a.state, got)
		if diff == "" && version != a.version {
			diff = fmt.Sprintf("it is at %d of %d", version, a.version)
		}
		return diff == ""
	}, func() string { return diff })
}

func eventually(t *testing.T, is func() bool, why func() string) {
	t.Helper()
	for until := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within %s: %s", patience, why())
		}
	}
}

// Changes, cuts in the middle of lists and watches, API servers that forget, are set back or have no streaming lists: in the end the view is what there is, and it never
// was anything in between two lists.
func TestAViewComesToWhatUpstreamHas(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("KOINON_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("KOINON_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	a, v := newAPIServer(t), newView(t)
	a.noStream, a.refusesLater = random.IntN(2) == 0, random.IntN(2) == 0
	for i := range 8 {
		a.change(strconv.Itoa(i), false)
	}
	a.feeding(v, nil)
	a.settles(v)
	for range 25 {
		switch random.IntN(5) {
		case 0:
			a.with(func() { a.cut = 1 + random.IntN(12) })
			a.CloseClientConnections()
		case 1:
			a.with(func() { a.events, a.since = nil, a.version })
			a.CloseClientConnections()
		case 2:
			a.with(func() { a.down = true })
			a.CloseClientConnections()
		case 3: // set back: objects are gone, and the resourceVersion is lower
			a.with(func() {
				if a.down = true; a.version < 40 { // what is written next must not come up to where it was: that would not be seen
					return
				}
				a.version -= 10 + random.Uint64N(20)
				for name, text := range a.state {
					var o struct {
						Metadata struct{ ResourceVersion string }
					}
					_ = json.Unmarshal([]byte(text), &o)
					if at, _ := strconv.ParseUint(o.Metadata.ResourceVersion, 10, 64); at > a.version {
						delete(a.state, name)
					}
				}
				a.events, a.since = nil, a.version
			})
			a.CloseClientConnections()
		}
		for range random.IntN(6) {
			a.change(strconv.Itoa(random.IntN(10)), random.IntN(3) == 0)
		}
		a.with(func() { a.cut, a.down = 0, false })
		a.settles(v)
	}
}

func TestAListThatIsCutLeavesTheViewAsItWas(t *testing.T) {
	for _, noStream := range []bool{false, true} {
		a, v := newAPIServer(t), newView(t)
		a.noStream, a.cut = noStream, 3
		for i := range 8 {
			a.change(strconv.Itoa(i), false)
		}
		if noStream { // a chunk, and then nothing
			a.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("continue") != "" {
					a.with(func() { a.lists++ })
					panic(http.ErrAbortHandler)
				}
				a.ServeHTTP(rw, r)
			})
		}
		f := a.feeding(v, nil)
		eventually(t, func() bool { a.mu.Lock(); defer a.mu.Unlock(); return a.streams+a.lists >= 4 && f.Status().Err != nil }, func() string { return "it does not try again" })
		if _, _, err := v.List(); !errors.Is(err, view.ErrUnknown) {
			t.Errorf("after a part of a list: %v", err)
		}
	}
}

// A short cut costs no list; a long one does, since an API server that was set back meanwhile would not say so.
func TestAfterACutItGoesOnWhereItWas(t *testing.T) {
	for _, stale := range []time.Duration{0, time.Nanosecond} {
		a, v := newAPIServer(t), newView(t)
		a.change("a", false)
		listed := make(chan struct{}, 100)
		a.feeding(v, func(c *Config) { c.Stale, c.Listed = stale, func(context.Context) { listed <- struct{}{} } })
		a.settles(v)
		a.CloseClientConnections()
		a.change("b", false)
		a.settles(v)
		a.mu.Lock()
		if again := a.streams > 1; again != (stale > 0) {
			t.Errorf("with %s there were %d lists", stale, a.streams)
		}
		if a.largestAsked > 1 {
			t.Errorf("it asked for %d objects to see whether it can go on", a.largestAsked)
		}
		if len(listed) != a.streams {
			t.Errorf("of %d lists %d were told of", a.streams, len(listed))
		}
		a.mu.Unlock()
	}
}

// Behind a balancer of connections another API server may go on where one has ended in peace.
func TestAnAPIServerThatWasSetBackInPeaceIsBelieved(t *testing.T) {
	a, v := newAPIServer(t), newView(t)
	a.change("a", false)
	a.change("b", false)
	a.feeding(v, nil)
	a.settles(v)
	a.with(func() {
		a.ends = true
		a.version--
		delete(a.state, "b")
		a.events, a.since = nil, 0
	})
	eventually(t, func() bool { all, _, err := v.List(); return err == nil && len(all) == 1 }, func() string { return "what is gone is there" })
}

// Who may watch and not list has what a streaming list brings.
func TestAViewGoesOnAfterACutThoughAListIsRefused(t *testing.T) {
	a, v := newAPIServer(t), newView(t)
	a.change("a", false)
	a.feeding(v, nil)
	a.settles(v)
	a.with(func() { a.noList = true })
	a.CloseClientConnections()
	a.change("b", false)
	a.settles(v)
}

func TestWhatUpstreamRefusesIsTold(t *testing.T) {
	a := newAPIServer(t)
	cache, _ := view.NewCache(nil)
	key, _ := view.NewKey("", "v1", "configmaps", "ns", "other=1", "")
	f := a.feeding(cache.View(key), nil)
	eventually(t, func() bool {
		var refused *RefusedError
		return errors.As(f.Status().Err, &refused) && refused.Code == 404 && refused.Error() == "the API server answers 404 Not Found: no such thing"
	}, func() string { return fmt.Sprint(f.Status().Err) })
}

func TestFieldsThatNobodyKnowsAreKept(t *testing.T) {
	a, v := newAPIServer(t), newView(t)
	a.noStream = true
	a.change("a", false)
	a.feeding(v, nil)
	a.settles(v) // compares bytes
	if o, _, err := v.Get("ns/a"); err != nil || !strings.Contains(string(o.Body), `"unknown":"kept"`) {
		t.Errorf("got %v, %v", o, err)
	}
}
