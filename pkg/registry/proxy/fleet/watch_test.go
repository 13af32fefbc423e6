package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/koinon-io/koinon/test/simulation"
)

// watchOf is a watch of the handler.
type watchOf struct {
	*json.Decoder
	body     io.ReadCloser
	warnings []string
}

func openWatch(t testing.TB, ctx context.Context, h http.Handler, accept string, query ...string) (*watchOf, *metav1.Status) {
	t.Helper()
	values := url.Values{"watch": {"true"}}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://fleet"+configMaps+"?"+values.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	response, err := simulation.InProcess(h).RoundTrip(r)
	if err != nil {
		return nil, nil
	}
	if response.StatusCode == http.StatusOK {
		return &watchOf{json.NewDecoder(response.Body), response.Body, response.Header.Values("Warning")}, nil
	}
	defer response.Body.Close()
	status := &metav1.Status{}
	if err := json.NewDecoder(response.Body).Decode(status); err != nil {
		t.Fatal(err)
	}
	return nil, status
}

type watchEvent struct {
	Type   string
	Object map[string]any
}

func (w *watchOf) next() (watchEvent, error) {
	var e watchEvent
	err := w.Decode(&e)
	return e, err
}

// expect reads as many events, and returns what they say.
func (w *watchOf) expect(t *testing.T, n int) (events []string) {
	t.Helper()
	for range n {
		e, err := w.next()
		if err != nil {
			t.Fatalf("after %v: %v", events, err)
		}
		u := unstructured.Unstructured{Object: e.Object}
		text := e.Type + " " + u.GetNamespace() + "/" + u.GetName() + " " + u.GetAnnotations()[ClusterAnnotation]
		if u.GetKind() != "ConfigMap" || u.GetAPIVersion() != "v1" {
			text += fmt.Sprintf(" of kind %s %s", u.GetAPIVersion(), u.GetKind())
		}
		events = append(events, text)
	}
	return events
}

// client keeps a copy of the fleet as informers do, but by cluster too.
type client struct {
	t       *testing.T
	h       http.Handler
	initial bool // by a watch alone
	limit   int

	mu     sync.Mutex
	cached map[string]string // place → version
	lists  int
	synced bool
}

func (c *client) run(ctx context.Context) {
	version := ""
	for ctx.Err() == nil {
		if version == "" && !c.initial {
			if version = c.list(ctx); version == "" {
				_ = pause(ctx, 300*time.Millisecond)
				continue
			}
		}
		version = c.watch(ctx, version)
		_ = pause(ctx, 100*time.Millisecond)
	}
}

// list returns the version, "" if it failed.
func (c *client) list(ctx context.Context) string {
	version, token, fresh := "", "", map[string]string{}
	for {
		query := url.Values{"limit": {fmt.Sprint(c.limit)}}
		if token != "" {
			query.Set("continue", token)
		}
		a := serve(c.t, c.h, httptest.NewRequestWithContext(ctx, http.MethodGet, configMaps+"?"+query.Encode(), nil))
		if a.code != http.StatusOK || a.cut {
			return ""
		}
		list := a.list(c.t)
		for _, o := range list.Items {
			fresh[place(o.GetAnnotations()[ClusterAnnotation], o.GetNamespace(), o.GetName())] = o.GetResourceVersion()
		}
		if version == "" {
			version = list.GetResourceVersion()
		}
		if token = list.GetContinue(); token == "" {
			break
		}
	}
	c.replace(fresh)
	return version
}

func (c *client) replace(fresh map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cached, c.synced = fresh, true
	c.lists++
}

// watch returns the version to go on from, "" if everything is to be listed.
func (c *client) watch(ctx context.Context, version string) string {
	query := []string{"resourceVersion", version, "allowWatchBookmarks", "true", "timeoutSeconds", "20"}
	begins := version == ""
	if begins {
		query = append(query, "sendInitialEvents", "true", "resourceVersionMatch", "NotOlderThan")
	}
	w, status := openWatch(c.t, ctx, c.h, "", query...)
	if w == nil {
		if status != nil && status.Code == http.StatusGone {
			return ""
		}
		return version
	}
	defer w.body.Close()
	fresh, last := map[string]string{}, version
	for {
		e, err := w.next()
		if err != nil {
			return last
		}
		if e.Type == "ERROR" {
			return ""
		}
		u := unstructured.Unstructured{Object: e.Object}
		switch into := c.into(begins, fresh); {
		case e.Type == "BOOKMARK":
			last = u.GetResourceVersion()
			if begins && u.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
				begins = false
				c.replace(fresh)
			}
		default:
			c.mu.Lock()
			if where := place(u.GetAnnotations()[ClusterAnnotation], u.GetNamespace(), u.GetName()); e.Type == "DELETED" {
				delete(into, where)
			} else {
				into[where] = u.GetResourceVersion()
			}
			c.mu.Unlock()
		}
	}
}

func (c *client) into(begins bool, fresh map[string]string) map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if begins {
		return fresh
	}
	return c.cached
}

// holds is what the members in the scope hold.
func (w *world) holds(members ...*simulation.Member) map[string]string {
	out := map[string]string{}
	for _, m := range members {
		for _, o := range m.Objects(simulation.ConfigMaps) {
			u := unstructured.Unstructured{Object: o}
			out[place(m.Name(), u.GetNamespace(), u.GetName())] = u.GetResourceVersion()
		}
	}
	return out
}

// Whatever happens to members, what a client has kept is what the members hold once they are quiet.
func TestAClientsCopyIsTheUnionOfAllMembers(t *testing.T) {
	r := random(t)
	for range 40 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1+r.IntN(4), Config{Page: 1 + r.IntN(10)})
			w.fill(t, r, 20)
			c := &client{t: t, h: w, initial: r.IntN(2) == 0, limit: []int{0, 3, 500}[r.IntN(3)]}
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			all.Go(func() { c.run(ctx) })
			gone := map[*simulation.Member]bool{}
			for range 10 + r.IntN(60) {
				w.disturb(t, r, gone)
				time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
			}
			var there []*simulation.Member
			for _, m := range w.simulated {
				m.SetFaults()
				m.SetServed(simulation.ConfigMaps, true)
				if !gone[m] {
					there = append(there, m)
				}
			}
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			c.mu.Lock()
			if diff := cmp.Diff(w.holds(there...), c.cached); diff != "" || !c.synced {
				t.Errorf("synced %v, want and got: %s", c.synced, diff)
			}
			c.mu.Unlock()
			cancel()
			all.Wait()
		})
	}
}

// disturb does something to a member.
func (w *world) disturb(t *testing.T, r *rand.Rand, gone map[*simulation.Member]bool) {
	m := w.simulated[r.IntN(len(w.simulated))]
	namespace, name := []string{"shop", "a", "a-b"}[r.IntN(3)], fmt.Sprint("x", r.IntN(20))
	switch r.IntN(16) {
	case 0:
		m.SetFaults(simulation.Fault{Cut: true, Rate: 0.7})
	case 1:
		m.SetFaults(simulation.Fault{Hang: true})
	case 2, 3:
		m.SetFaults()
	case 4:
		m.CloseWatches()
	case 5:
		m.Compact()
	case 6:
		m.Expire()
	case 7:
		if len(w.simulated) < 6 {
			m = w.grow(t, len(w.simulated)+1)
			put(t, m, simulation.ConfigMaps, configMap(namespace, name, "new"))
		}
	case 8:
		var members []Member
		if m == w.simulated[0] {
			break // of an empty fleet, nobody knows what kind a list has
		}
		gone[m] = !gone[m]
		for _, m := range w.simulated {
			if !gone[m] {
				members = append(members, memberOf(m))
			}
		}
		w.set(members...)
	case 9:
		m.SetServed(simulation.ConfigMaps, r.IntN(2) == 0)
	case 10, 11:
		m.Remove(simulation.ConfigMaps, namespace, name)
	default:
		put(t, m, simulation.ConfigMaps, configMap(namespace, name, fmt.Sprint(r.IntN(1000))))
	}
}

func TestAWatchGoesOnWhereAListWasMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, Config{})
		put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "a", "1"))
		version := ask(t, w, configMaps, "").list(t).GetResourceVersion()
		put(t, w.simulated[1], simulation.ConfigMaps, configMap("shop", "b", "1"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		watch, status := openWatch(t, ctx, w, "", "resourceVersion", version)
		if watch == nil {
			t.Fatal(status)
		}
		if diff := cmp.Diff([]string{"ADDED shop/b m2"}, watch.expect(t, 1)); diff != "" {
			t.Error(diff)
		}
		w.simulated[0].Remove(simulation.ConfigMaps, "shop", "a")
		if diff := cmp.Diff([]string{"DELETED shop/a m1"}, watch.expect(t, 1)); diff != "" {
			t.Error(diff)
		}
		w.simulated[0].CloseWatches()
		put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "c", "1"))
		if diff := cmp.Diff([]string{"ADDED shop/c m1"}, watch.expect(t, 1)); diff != "" {
			t.Error("after the member ended its watch:", diff)
		}
		m := w.grow(t, 3)
		put(t, m, simulation.ConfigMaps, configMap("shop", "d", "1"))
		if diff := cmp.Diff([]string{"ADDED shop/d m3"}, watch.expect(t, 1)); diff != "" {
			t.Error("after a member joined:", diff)
		}
		watch.body.Close()
	})
}

// pipes are the connections to a server, in memory: time passes in a bubble while they wait.
type pipes struct{ ends chan net.Conn }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.ends <- there
	return here, nil
}

func (p *pipes) Accept() (net.Conn, error) {
	conn, open := <-p.ends
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p *pipes) Close() error { // the server closes it once
	close(p.ends)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// How long a client may take for an event says nothing of how long there may be none.
func TestAWatchInWhichNothingHappensGoesOnOverHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, Config{})
		put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "a", "1"))
		var unencrypted http.Protocols
		unencrypted.SetUnencryptedHTTP2(true)
		connections := &pipes{ends: make(chan net.Conn, 1)}
		server := &http.Server{Handler: w, Protocols: &unencrypted}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(connections) })
		defer serving.Wait()
		defer server.Close()
		client := &http.Transport{Protocols: &unencrypted, DialContext: connections.dial}
		defer client.CloseIdleConnections()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://fleet"+configMaps+"?watch=true", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		watch := &watchOf{json.NewDecoder(answer.Body), answer.Body, nil}
		if diff := cmp.Diff([]string{"ADDED shop/a m1"}, watch.expect(t, 1)); diff != "" {
			t.Error(diff)
		}
		time.Sleep(10 * clientPatience)
		put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "b", "1"))
		if diff := cmp.Diff([]string{"ADDED shop/b m1"}, watch.expect(t, 1)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAMemberThatWasMissingInTheListIsShownInTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, Config{})
		put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "a", "1"))
		put(t, w.simulated[1], simulation.ConfigMaps, configMap("shop", "b", "1"))
		w.simulated[1].SetFaults(simulation.Fault{Cut: true})
		version := ask(t, w, configMaps, "").list(t).GetResourceVersion()
		watch, status := openWatch(t, t.Context(), w, "", "resourceVersion", version)
		if watch == nil {
			t.Fatal(status)
		}
		defer watch.body.Close()
		if len(watch.warnings) != 1 || !strings.Contains(watch.warnings[0], "cluster m2 ") {
			t.Errorf("the warnings are %q", watch.warnings)
		}
		w.simulated[1].SetFaults()
		if diff := cmp.Diff([]string{"ADDED shop/b m2"}, watch.expect(t, 1)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAWatchOfWhatIsTooOldSaysSo(t *testing.T) {
	prepare := func(t *testing.T) (*world, string) {
		w := newWorld(t, 3, Config{})
		return w, ask(t, w, configMaps, "").list(t).GetResourceVersion()
	}
	for name, tc := range map[string]struct {
		happens func(t *testing.T, w *world)
		version string
	}{
		"a member has forgotten it": {happens: func(t *testing.T, w *world) {
			put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "a", "1"))
			w.simulated[0].Expire()
		}},
		"a member has left":           {happens: func(_ *testing.T, w *world) { w.set(memberOf(w.simulated[0]), memberOf(w.simulated[1])) }},
		"it is that of one object":    {version: "17"},
		"it is that of one, and zero": {version: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, version := prepare(t)
				if tc.happens != nil {
					tc.happens(t, w)
				}
				if tc.version != "" {
					version = tc.version
				}
				watch, status := openWatch(t, t.Context(), w, "", "resourceVersion", version)
				if watch != nil {
					defer watch.body.Close()
					e, err := watch.next()
					if err != nil || e.Type != "ERROR" || e.Object["code"] != float64(http.StatusGone) {
						t.Errorf("got %v (%v)", e, err)
					}
				} else if status == nil || status.Code != http.StatusGone {
					t.Errorf("got %v", status)
				}
			})
		})
	}
}

// A member that forgets even what it has just said would have clients list for ever.
func TestAMemberThatExpiresAllVersionsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, Config{})
		liar := served("liar", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("watch") {
				_, _ = io.WriteString(w, `{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}`)
				return
			}
			_, _ = io.WriteString(w, listOf("ConfigMapList", "", "shop/x"))
		})
		members, _ := w.List(t.Context())
		w.set(append(members, liar)...)
		version := ask(t, w, configMaps, "").list(t).GetResourceVersion()
		watch, status := openWatch(t, t.Context(), w, "", "resourceVersion", version)
		if watch == nil {
			t.Fatal(status)
		}
		defer watch.body.Close()
		time.Sleep(time.Minute)
		put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "a", "1"))
		if diff := cmp.Diff([]string{"ADDED shop/a m1"}, watch.expect(t, 1)); diff != "" {
			t.Error(diff)
		}
	})
}

// halfway is a member that shows two of its objects, and answers the rest by a function.
func halfway(name string, rest http.HandlerFunc) Member {
	return served(name, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("continue") != "" {
			rest(w, r)
			return
		}
		_, _ = io.WriteString(w, listOf("ConfigMapList", "more", "shop/x", "shop/y"))
	})
}

// What was shown may be gone by the time when the rest is.
func TestAMemberThatForgetsAListHalfwayHasTheClientListAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, Config{})
		tries := 0
		w.set(halfway("m1", func(w http.ResponseWriter, _ *http.Request) {
			if tries++; tries <= attempts {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			w.WriteHeader(http.StatusGone)
			_, _ = io.WriteString(w, `{"kind":"Status","code":410,"reason":"Expired","message":"too old"}`)
		}))
		watch, status := openWatch(t, t.Context(), w, "")
		if watch == nil {
			t.Fatal(status)
		}
		defer watch.body.Close()
		if diff := cmp.Diff([]string{"ADDED shop/x m1", "ADDED shop/y m1"}, watch.expect(t, 2)); diff != "" {
			t.Error(diff)
		}
		if e, err := watch.next(); err != nil || e.Type != "ERROR" || e.Object["code"] != float64(http.StatusGone) {
			t.Errorf("%v (%v)", e, err)
		}
	})
}

func TestABookmarkSaysWhoseObjectsWereShownInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, Config{})
		members, _ := w.List(t.Context())
		w.set(append(members, halfway("m2", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))...)
		watch, status := openWatch(t, t.Context(), w, "", "sendInitialEvents", "true", "resourceVersionMatch", "NotOlderThan",
			"allowWatchBookmarks", "true", "timeoutSeconds", "60")
		if watch == nil {
			t.Fatal(status)
		}
		version := ""
		for {
			e, err := watch.next()
			if err != nil {
				break
			}
			if e.Type == "BOOKMARK" {
				u := unstructured.Unstructured{Object: e.Object}
				version = u.GetResourceVersion()
			}
		}
		if _, status = openWatch(t, t.Context(), w, "", "resourceVersion", version); status == nil || status.Code != http.StatusGone {
			t.Errorf("a watch from the bookmark %q is answered %v", version, status)
		}
	})
}

// A client that does not read holds up nobody but itself.
func TestASlowClientIsWaitedForAndHoldsUpNobody(t *testing.T) {
	w := newWorld(t, 2, Config{})
	slow, _ := openWatch(t, t.Context(), w, "")
	quick, _ := openWatch(t, t.Context(), w, "")
	defer slow.body.Close()
	defer quick.body.Close()
	for i := range 50 {
		put(t, w.simulated[i%2], simulation.ConfigMaps, configMap("shop", fmt.Sprintf("x%02d", i), "1"))
	}
	// Nobody reads from the slow one: its pipe holds nothing.
	if got := quick.expect(t, 50); len(got) != 50 {
		t.Errorf("the quick one sees %v", got)
	}
	if got := slow.expect(t, 50); len(got) != 50 {
		t.Errorf("the slow one sees %v", got)
	}
}

func TestAWatchThatLiesIsNotPassedOn(t *testing.T) {
	for name, events := range map[string]string{
		"no JSON":                 `{"type":`,
		"another kind":            `{"type":"ADDED","object":{"kind":"Secret","apiVersion":"v1","metadata":{"name":"x","namespace":"shop","resourceVersion":"9"}}}`,
		"no version":              `{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","namespace":"shop"}}}`,
		"no name":                 `{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"namespace":"shop","resourceVersion":"9"}}}`,
		"a type that is none":     `{"type":"EXPLODED","object":{}}`,
		"a table nobody asked":    `{"type":"ADDED","object":{"kind":"Table","rows":[]}}`,
		"an event without an end": `{"type":"ADDED","object":{"a":"` + strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 2, Config{EventBytes: 10_000})
				for _, m := range w.simulated {
					put(t, m, simulation.ConfigMaps, configMap("shop", "a", "1"))
				}
				members, _ := w.List(t.Context())
				w.set(append(members, served("liar", func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Query().Has("watch") {
						_, _ = io.WriteString(w, events)
						<-r.Context().Done()
						return
					}
					_, _ = io.WriteString(w, listOf("ConfigMapList", ""))
				}))...)
				watch, status := openWatch(t, t.Context(), w, "")
				if watch == nil {
					t.Fatal(status)
				}
				defer watch.body.Close()
				got := watch.expect(t, 2)
				time.Sleep(10 * time.Second)
				put(t, w.simulated[0], simulation.ConfigMaps, configMap("shop", "b", "1"))
				got = append(got, watch.expect(t, 1)...)
				slices.Sort(got)
				if diff := cmp.Diff([]string{"ADDED shop/a m1", "ADDED shop/a m2", "ADDED shop/b m1"}, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestBookmarksSayWhatWasSeenOfAllMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, Config{})
		for _, m := range w.simulated {
			put(t, m, simulation.ConfigMaps, configMap("shop", "a", "1"))
		}
		w.simulated[2].SetFaults(simulation.Fault{Hang: true})
		watch, status := openWatch(t, t.Context(), w, "", "sendInitialEvents", "true", "resourceVersionMatch", "NotOlderThan",
			"allowWatchBookmarks", "true", "timeoutSeconds", "60")
		if watch == nil {
			t.Fatal(status)
		}
		var versions []versions
		counts := map[string]int{}
		for {
			e, err := watch.next()
			if err != nil {
				break
			}
			if counts[e.Type]++; e.Type != "BOOKMARK" {
				continue
			}
			u := unstructured.Unstructured{Object: e.Object}
			v, own, err := parseVersions(u.GetResourceVersion())
			if err != nil || own {
				t.Fatalf("%s: own %v, %v", u.GetResourceVersion(), own, err)
			}
			if versions = append(versions, v); len(versions) == 1 {
				w.simulated[2].SetFaults()
			}
		}
		if len(versions) < 2 || len(versions[0]) != 2 || len(versions[len(versions)-1]) != 3 || counts["ADDED"] != 3 {
			t.Errorf("the bookmarks are %v, of events %v", versions, counts)
		}
	})
}

func TestVersionsOfTheFleet(t *testing.T) {
	a := versions{1: 5, 2: 7}
	b := maps.Clone(a)
	b[1] = 6
	for _, v := range []versions{{}, a, b, {1<<48 - 1: 1 << 63}} {
		got, own, err := parseVersions(v.String())
		if diff := cmp.Diff(v, got); diff != "" || own || err != nil {
			t.Error(own, err, diff)
		}
		if text := v.String(); len(text) <= maxOwnDigits || text[0] == '0' {
			t.Errorf("%v is %s", v, text)
		}
	}
	for _, text := range []string{"", "x", "-1", "0x10", "1e30", strings.Repeat("9", 30), strings.Repeat("9", 1_000_000), a.String() + "1", "+" + a.String(), " " + a.String()} {
		if v, own, err := parseVersions(text); err == nil {
			t.Errorf("%.40q is taken for %v (own %v)", text, v, own)
		}
	}
}

func TestAWatchEndsAllThatItBegan(t *testing.T) {
	endsAll(t)
	w := newWorld(t, 5, Config{FirstAnswer: 100 * time.Millisecond, Slow: 10 * time.Millisecond})
	w.fill(t, random(t), 20)
	w.simulated[0].SetFaults(simulation.Fault{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	watch, status := openWatch(t, ctx, w, "")
	if watch == nil {
		t.Fatal(status)
	}
	cancel()
	_, _ = io.Copy(io.Discard, watch.body)
}
