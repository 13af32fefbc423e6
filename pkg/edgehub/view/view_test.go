package view

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/koinon-io/koinon/pkg/edgehub/store"
)

// upstream is an API server with one resource, and all that it ever was.
type upstream struct {
	version uint64
	state   map[string]string // bodies by name
	events  []happened
}

type happened struct {
	version uint64
	body    string
	gone    bool
}

func body(name string, version uint64, unit string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"resourceVersion":"%d","labels":{"unit":%q},"later":{"field":[1]}},"spec":{"nodeName":%q}}`, name, version, unit, "node-"+unit)
}

// change makes one random change.
func (u *upstream) change(random *rand.Rand) {
	u.version += 1 + random.Uint64N(3) // others write, too
	name := fmt.Sprintf("o%d", random.IntN(8))
	text := body(name, u.version, string(rune('a'+random.IntN(3))))
	gone := u.state[name] != "" && random.IntN(3) == 0
	if gone {
		delete(u.state, name)
	} else {
		u.state[name] = text
	}
	u.events = append(u.events, happened{u.version, text, gone})
}

// setBack has it be what it was some events ago; what happens then happens instead.
func (u *upstream) setBack(random *rand.Rand) {
	keep := len(u.events) - random.IntN(min(len(u.events), 20)+1)
	u.events = u.events[:keep]
	u.state, u.version = map[string]string{}, 1
	for _, e := range u.events {
		u.version = e.version
		name := nameIn(e.body)
		if delete(u.state, name); !e.gone {
			u.state[name] = e.body
		}
	}
}

func nameIn(body string) string {
	_, after, _ := strings.Cut(body, `"name":"`)
	name, _, _ := strings.Cut(after, `"`)
	return name
}

// client is a reflector: it lists, watches, and watches again from where it was.
type client struct {
	t       *testing.T
	cache   *Cache
	key     Key
	watcher *Watcher
	filter  *Filter
	version uint64
	state   map[string]string
	// again is whether it may be told again that something has gone: it began at that resourceVersion.
	again bool
}

// sync lists if it has to, reads what there is, and says whether it is at the view's version.
func (c *client) sync() (synced bool) {
	c.t.Helper()
	v, filter, ok := c.cache.Find(c.key)
	if !ok {
		return false
	}
	if c.watcher == nil && c.state != nil {
		var err error
		if c.watcher, err = v.Watch(c.version); err != nil {
			if !errors.Is(err, ErrExpired) {
				c.t.Fatal(err)
			}
			c.state = nil
		}
		c.filter, c.again = filter, true
	}
	if c.watcher == nil {
		list, version, err := v.List()
		if err != nil {
			c.t.Fatal(err)
		}
		c.state, c.version, c.filter, c.again = map[string]string{}, version, filter, false
		for _, o := range filter.List(list) {
			c.state[o.Name] = string(o.Body)
		}
		if c.watcher, err = v.Watch(version); err != nil {
			c.t.Fatal(err)
		}
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		events, err := c.watcher.Next(done)
		switch {
		case errors.Is(err, ErrExpired):
			c.watcher, c.state = nil, nil
			return c.sync()
		case err != nil: // there is nothing more
			at, _ := c.watcher.view.Version()
			return c.version <= at
		}
		for _, e := range events {
			c.take(e)
		}
	}
}

func (c *client) take(e Event) {
	c.t.Helper()
	e, ok, err := c.filter.Event(e)
	if err != nil {
		c.t.Fatal(err)
	}
	if e.Version < c.version {
		c.t.Fatalf("%s of %d after %d", e.Type, e.Version, c.version)
	}
	c.version = e.Version
	if e.Type == Bookmark || !ok {
		return
	}
	if e.Object.Version != e.Version {
		c.t.Fatalf("an event of %d has an object of %d", e.Version, e.Object.Version)
	}
	_, has := c.state[e.Object.Name]
	switch {
	case e.Type == Added && has, e.Type == Modified && !has, e.Type == Deleted && !has && !c.again:
		c.t.Fatalf("%s of %s, and it is there: %v", e.Type, e.Object.Name, has)
	case e.Type == Deleted:
		delete(c.state, e.Object.Name)
	default:
		c.state[e.Object.Name] = string(e.Object.Body)
	}
}

// select is what a filter should let through.
func selected(state map[string]string, filter *Filter) map[string]string {
	out := map[string]string{}
	for name, text := range state {
		if filter.Match(&Object{name, 0, []byte(text)}) {
			out[name] = text
		}
	}
	return out
}

// Random histories: events are lost, feeds come back, hubs are killed with a part on disk, API servers are set back; clients come and go. Who has read all there is
// has what upstream had at that moment.
func TestClientsHaveWhatUpstreamHadAtSomeMoment(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KOINON_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	histories := 40
	if os.Getenv("KOINON_LONG") != "" {
		histories = 2000
	}
	for range histories {
		aHistory(t, random)
	}
}

// memory is a disk that is quick: what a real one promises, package store's tests look at.
type memory map[string]*store.View

func (m memory) Apply(changes ...store.Change) error {
	for _, c := range changes {
		if c.Forget {
			delete(m, c.Name)
			continue
		}
		now := map[string]store.Object{}
		if before := m[c.Name]; before != nil && !c.Whole {
			for _, o := range before.Objects {
				now[o.Name] = o
			}
		}
		for _, name := range c.Delete {
			delete(now, name)
		}
		for _, o := range c.Put {
			now[o.Name] = o
		}
		m[c.Name] = &store.View{Name: c.Name, Kind: c.Kind, Version: c.Version, Objects: slices.Collect(maps.Values(now))}
	}
	return nil
}

func (m memory) views() (views []store.View) {
	for _, v := range m {
		views = append(views, *v)
	}
	return views
}

func aHistory(t *testing.T, random *rand.Rand) {
	u := &upstream{version: 1, state: map[string]string{}}
	wide, _ := NewKey("", "v1", "pods", "", "", "")
	keys := []Key{wide}
	for _, narrow := range [][2]string{{"unit=a", ""}, {"unit in (a,b)", "spec.nodeName!=node-b"}, {"", "metadata.name=o1"}, {"!unit", ""}} {
		key, err := NewKey("", "v1", "pods", "", narrow[0], narrow[1])
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	disk := memory{}
	cache, err := NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	// at is what the view should be: upstream when the feed was there last.
	var at map[string]string
	var version uint64
	fed := 0 // how many events
	wasSetBack := false
	onDisk, diskVersion := map[string]string(nil), uint64(0)
	clients := make([]*client, 8)
	for i := range clients {
		clients[i] = &client{t: t, cache: cache, key: keys[random.IntN(len(keys))]}
	}
	parse := func(text string) *Object {
		o, err := cache.View(wide).Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	note := func() { at, version = maps.Clone(u.state), u.version }
	flush := func() {
		if err := cache.Flush(disk); err != nil {
			t.Fatal(err)
		}
		onDisk, diskVersion = maps.Clone(at), version
	}
	for range 150 {
		switch random.IntN(12) {
		case 0, 1, 2, 3: // upstream changes
			for range 1 + random.IntN(5) {
				u.change(random)
			}
		case 4, 5, 6: // the feed gets what it has missed, event by event
			if at == nil || wasSetBack {
				break
			}
			for _, e := range u.events[fed:] {
				cache.View(wide).Apply(parse(e.body), e.gone)
			}
			cache.View(wide).Advance(u.version)
			fed = len(u.events)
			note()
		case 7: // it lists: what has happened in between is missed
			var list []*Object
			for _, text := range u.state {
				list = append(list, parse(text))
			}
			follows := cache.View(wide).Replace(list, u.version)
			fed, wasSetBack = len(u.events), false
			note()
			for _, c := range clients {
				if c.watcher == nil && (!follows || c.version > u.version) {
					c.state = nil // its resourceVersion is of what is not any more, and nobody can tell: as with an API server
				}
			}
			flush()
		case 8: // some go
			for _, c := range clients {
				if random.IntN(2) == 0 {
					c.watcher = nil
				}
			}
		case 9: // some are new
			i := random.IntN(len(clients))
			clients[i] = &client{t: t, cache: cache, key: keys[random.IntN(len(keys))]}
		case 10:
			flush()
		case 11:
			switch random.IntN(4) {
			case 0: // the hub is killed
				if cache, err = NewCache(disk.views()); err != nil {
					t.Fatal(err)
				}
				at, version, fed = maps.Clone(onDisk), diskVersion, 0
				for fed < len(u.events) && u.events[fed].version <= version {
					fed++
				}
				for _, c := range clients {
					c.cache, c.watcher = cache, nil
					if wasSetBack && c.version > version {
						c.state = nil
					}
				}
			case 1: // the API server is set back; the feed finds out by a list
				u.setBack(random)
				wasSetBack = true
				for _, c := range clients { // who knows more than a hub that was killed, of what is not any more, is in the same plight
					if c.version > version {
						c.watcher, c.state = nil, nil
					}
				}
			}
		}
		for i, c := range clients {
			if !c.sync() {
				continue
			}
			if at == nil {
				t.Fatal("a view is complete that nobody has read")
			}
			if c.version != version {
				t.Fatalf("client %d is at %d, and the view at %d", i, c.version, version)
			}
			if diff := cmp.Diff(selected(at, c.filter), c.state); diff != "" {
				t.Fatalf("client %d with %s at %d (-want +got):\n%s", i, c.key, version, diff)
			}
		}
	}
}

func TestWhatIsUnknownIsNotEmpty(t *testing.T) {
	cache, err := NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := NewKey("", "v1", "configmaps", "ns", "", "metadata.name=x")
	v := cache.View(key)
	if _, _, err := v.List(); !errors.Is(err, ErrUnknown) {
		t.Errorf("list: %v", err)
	}
	if _, _, err := v.Get("ns/x"); !errors.Is(err, ErrUnknown) {
		t.Errorf("get: %v", err)
	}
	if _, err := v.Watch(0); !errors.Is(err, ErrUnknown) {
		t.Errorf("watch: %v", err)
	}
	if _, _, ok := cache.Find(key); ok {
		t.Error("it is found")
	}
	v.Apply(&Object{"ns/x", 5, []byte(`{}`)}, false)
	v.Advance(7)
	if _, complete := v.Version(); complete {
		t.Error("events make it complete")
	}
	v.Replace(nil, 9)
	if o, version, err := v.Get("ns/x"); err != nil || o != nil || version != 9 {
		t.Errorf("known to be absent: %v, %d, %v", o, version, err)
	}
}

// What a client knows from a hub that was killed before it had written it may be gone by the time that the hub lists, which finds all as it was: the client has to list, too.
func TestWhatCameAndWentWhileNobodyLookedIsNotKept(t *testing.T) {
	cache, _ := NewCache(nil)
	key, _ := NewKey("", "v1", "pods", "", "", "")
	v := cache.View(key)
	v.Replace(nil, 100)
	waiting, err := v.Watch(105)
	if err != nil {
		t.Fatal(err)
	}
	behind, err := v.Watch(100)
	if err != nil {
		t.Fatal(err)
	}
	v.Replace(nil, 110)
	if _, err := waiting.Next(t.Context()); !errors.Is(err, ErrExpired) {
		t.Errorf("who waited was told %v", err)
	}
	if _, err := v.Watch(105); !errors.Is(err, ErrExpired) {
		t.Errorf("who comes then is told %v", err)
	}
	if _, err := behind.Next(t.Context()); err != nil {
		t.Errorf("who was where the view was is told %v", err)
	}
	for _, from := range []uint64{100, 110} {
		if _, err := v.Watch(from); err != nil {
			t.Errorf("from %d: %v", from, err)
		}
	}
	disk := memory{}
	if err := cache.Flush(disk); err != nil {
		t.Fatal(err)
	}
	if cache, err = NewCache(disk.views()); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.View(key).Watch(105); !errors.Is(err, ErrExpired) {
		t.Errorf("who comes after a start is told %v", err)
	}
}

// A client that was told of what the hub had not written yet when it was killed waits until the hub knows it, too.
func TestAWatcherThatIsAheadWaits(t *testing.T) {
	cache, _ := NewCache(nil)
	key, _ := NewKey("", "v1", "pods", "", "", "")
	v := cache.View(key)
	v.Replace(nil, 100)
	w, err := v.Watch(105)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []Event)
	go func() {
		events, err := w.Next(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- events
	}()
	for version := uint64(101); version <= 106; version++ {
		o, err := v.Parse([]byte(body(fmt.Sprintf("o%d", version), version, "a")))
		if err != nil {
			t.Fatal(err)
		}
		v.Apply(o, false)
	}
	events := <-got
	if len(events) != 1 || events[0].Version != 106 {
		t.Errorf("got %+v", events)
	}
}

func TestWhoIsFarBehindIsExpired(t *testing.T) {
	cache, _ := NewCache(nil)
	key, _ := NewKey("", "v1", "pods", "", "", "")
	v := cache.View(key)
	v.Replace(nil, 1)
	slow, err := v.Watch(1)
	if err != nil {
		t.Fatal(err)
	}
	for version := uint64(2); version < 3*remembered; version++ {
		o, err := v.Parse([]byte(body("o", version, "a")))
		if err != nil {
			t.Fatal(err)
		}
		v.Apply(o, false)
	}
	if _, err := slow.Next(t.Context()); !errors.Is(err, ErrExpired) {
		t.Errorf("got %v", err)
	}
	if _, err := v.Watch(2); !errors.Is(err, ErrExpired) {
		t.Errorf("got %v", err)
	}
	if n := len(v.events); n > remembered {
		t.Errorf("%d events are remembered", n)
	}
}

func TestAnObjectIsInMemoryOnce(t *testing.T) {
	cache, _ := NewCache(nil)
	all, _ := NewKey("", "v1", "pods", "", "", "")
	some, _ := NewKey("", "v1", "pods", "", "unit=a", "")
	first, err := cache.View(all).Parse([]byte(body("o", 7, "a")))
	if err != nil {
		t.Fatal(err)
	}
	second, err := cache.View(some).Parse([]byte(body("o", 7, "a")))
	if err != nil || first != second {
		t.Errorf("there are two, or %v", err)
	}
	third, err := cache.View(some).Parse([]byte(`{"spec":{"nodeName":"node-a"},"metadata":{"later":{"field":[1]},"labels":{"unit":"a"},"resourceVersion":"7","name":"o"}}`))
	if err != nil || first != third {
		t.Errorf("in another order it is another, or %v", err)
	}
	runtime.KeepAlive(first)
	first, second, third = nil, nil, nil
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		runtime.GC()
		cache.all.mu.Lock()
		n := len(cache.all.byID)
		cache.all.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("%d objects are kept that nobody has", n)
		}
	}
}

func TestWhatCouldNotBeWrittenIsWrittenNextTime(t *testing.T) {
	cache, _ := NewCache(nil)
	key, _ := NewKey("", "v1", "pods", "", "", "")
	other, _ := NewKey("", "v1", "pods", "ns", "", "")
	cache.View(other).Replace(nil, 1)
	v := cache.View(key)
	o, _ := v.Parse([]byte(body("o", 2, "a")))
	v.Replace([]*Object{o}, 2)
	path := filepath.Join(t.TempDir(), "cache.db")
	disk, _, _, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("the disk is full")
	for _, fails := range []error{full, nil, full, store.ErrDamaged, nil} {
		n, _ := v.Parse([]byte(body("o", v.version+1, "b")))
		v.Apply(n, false)
		if errors.Is(fails, full) {
			cache.Forget(other)
		}
		if err := cache.Flush(failing{disk, fails}); !errors.Is(err, fails) {
			t.Fatal(err)
		}
	}
	_ = disk.Close()
	_, kept, _, err := store.Open(path)
	if err != nil || len(kept) != 1 || kept[0].Name != "v1/pods" || kept[0].Version != "7 7" || string(kept[0].Objects[0].Body) != body("o", 7, "b") {
		t.Errorf("got %+v, %v", kept, err)
	}
}

// As it is when the cluster is another one, and when what was read of a damaged file is in no file: after a start what is on disk passes for all of a view.
func TestADiskThatHasNotAViewGetsAllOfIt(t *testing.T) {
	cache, key := newCache(t), keyOf(t, "")
	gone, _ := NewKey("", "v1", "pods", "gone", "", "")
	path := filepath.Join(t.TempDir(), "cache.db")
	disk, _, _, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(disk.SetCluster("one"))
	cache.View(gone).Replace(nil, 1)
	v := cache.View(key)
	v.Replace([]*Object{parsed(t, v, 1), parsed(t, v, 2)}, 2)
	must(cache.Flush(disk))
	must(disk.SetCluster("two"))
	must(disk.Apply(store.Change{Name: gone.String(), Kind: gone.Kind(), Version: "1 1", Whole: true}))
	cache.Forget(gone)
	v.Apply(parsed(t, v, 3), false)
	if err := cache.Flush(disk); !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("got %v", err)
	}
	must(cache.Flush(disk))
	must(disk.Close())
	_, kept, damage, err := store.Open(path)
	objects, _, _ := v.List()
	if err != nil || damage != nil || len(kept) != 1 || kept[0].Name != key.String() || len(kept[0].Objects) != len(objects) {
		t.Errorf("got %+v, %v, %v; want %d objects", kept, damage, err, len(objects))
	}
}

// An API server that was upgraded knows more fields, and two at a time of different versions know other ones each: nothing was set back.
func TestWhatAnotherAPIServerSeesOtherwiseIsNoChange(t *testing.T) {
	const before, after = `{"metadata":{"name":"p","resourceVersion":"1","uid":"u"},"spec":{}}`, `{"metadata":{"uid":"u","name":"p","resourceVersion":"1"},"spec":{"new":true}}`
	for name, test := range map[string]struct {
		after   string
		version uint64
		follows bool
	}{
		"it has a field more":                            {after, 12, true},
		"it has a field more, and nothing was changed":   {after, 10, true},
		"it is another one":                              {`{"metadata":{"name":"p","resourceVersion":"1","uid":"w"},"spec":{}}`, 12, false},
		"it was changed":                                 {`{"metadata":{"name":"p","resourceVersion":"2","uid":"u"},"spec":{"new":true}}`, 12, false},
		"it is another one, and it says nothing of that": {`{"metadata":{"name":"p","resourceVersion":"1","uid":"u","generation":2},"spec":{}}`, 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			cache, disk := newCache(t), memory{}
			key, _ := NewKey("", "v1", "nodes", "", "", "")
			v := cache.View(key)
			list := func(body string) []*Object {
				o, err := v.Parse([]byte(body))
				if err != nil {
					t.Fatal(err)
				}
				return []*Object{o}
			}
			v.Replace(list(before), 10)
			if err := cache.Flush(disk); err != nil {
				t.Fatal(err)
			}
			w, err := v.Watch(10)
			if err != nil {
				t.Fatal(err)
			}
			if got := v.Replace(list(test.after), test.version); got != test.follows {
				t.Fatalf("it follows: %t", got)
			}
			if err := cache.Flush(disk); err != nil {
				t.Fatal(err)
			}
			if o, at, err := v.Get("p"); err != nil || at != test.version || string(o.Body) != test.after {
				t.Errorf("it is %s at %d, %v", o.Body, at, err)
			}
			if kept := disk[key.String()]; string(kept.Objects[0].Body) != test.after {
				t.Errorf("on disk there is %s", kept.Objects[0].Body)
			}
			if !test.follows {
				return
			}
			next, _ := v.Parse([]byte(`{"metadata":{"name":"p","resourceVersion":"13","uid":"u"},"spec":{}}`))
			v.Apply(next, false)
			if events, err := w.Next(t.Context()); err != nil || len(events) != 1 || events[0].Object != next {
				t.Errorf("who watches is told %v, %v", events, err)
			}
		})
	}
}

type failing struct {
	Disk
	err error
}

func (f failing) Apply(changes ...store.Change) error {
	if f.err != nil {
		return f.err
	}
	return f.Disk.Apply(changes...)
}

func TestAWiderViewAnswersWhatCanBeDecided(t *testing.T) {
	for what, test := range map[string]struct {
		wide, narrow [3]string // namespace, labels, fields
		can          bool
	}{
		"everything has a namespace":                 {[3]string{}, [3]string{"ns", "", ""}, true},
		"a namespace has not everything":             {[3]string{"ns", "", ""}, [3]string{}, false},
		"another namespace":                          {[3]string{"ns", "", ""}, [3]string{"other", "", ""}, false},
		"a node's pods have one of them":             {[3]string{"", "", "spec.nodeName=n"}, [3]string{"ns", "", "spec.nodeName=n,metadata.name=p"}, true},
		"a node's pods are not another's":            {[3]string{"", "", "spec.nodeName=n"}, [3]string{"", "", "spec.nodeName=m"}, false},
		"a field that nobody here knows":             {[3]string{}, [3]string{"", "", "involvedObject.name=p"}, false},
		"a field that pods have not":                 {[3]string{}, [3]string{"", "", "spec.clusterIP=None"}, false},
		"kube-proxy 1.36 from 1.30's":                {[3]string{"", "!a", ""}, [3]string{"", "!a", "spec.clusterIP!=None"}, true},
		"fewer labels than were asked for":           {[3]string{"", "!a,!b", ""}, [3]string{"", "!a", ""}, false},
		"a value of a label of any value":            {[3]string{"", "vm", ""}, [3]string{"", "vm=1,a", ""}, true},
		"some of the values of a label":              {[3]string{"", "vm in (1,2,3)", ""}, [3]string{"", "vm in (1,3)", ""}, true},
		"another value than one that is left out":    {[3]string{"", "vm!=1", ""}, [3]string{"", "vm=2", ""}, true},
		"other values of a label":                    {[3]string{"", "vm in (1,2)", ""}, [3]string{"", "vm in (2,3)", ""}, false},
		"the same labels in another order, and more": {[3]string{"", "b=1,a in (x,y)", ""}, [3]string{"", "a in (y,x),c,b=1", ""}, true},
	} {
		key := func(of [3]string) Key {
			resource := "pods"
			if strings.Contains(what, "kube-proxy") {
				resource = "services"
			}
			k, err := NewKey("", "v1", resource, of[0], of[1], of[2])
			if err != nil {
				t.Fatal(err)
			}
			back, err := ParseKey(k.String())
			if err != nil || back != k {
				t.Errorf("%s is read as %s, %v", k, back, err)
			}
			return k
		}
		if _, can := Narrow(key(test.wide), key(test.narrow)); can != test.can {
			t.Errorf("%s: %v", what, can)
		}
	}
}

// Whatever selectors of two labels are: a view that is said to be wider has all that the narrower selects.
func TestWhatASelectorImpliesItSelects(t *testing.T) {
	requirements := []string{"k", "!k", "k=1", "k==2", "k!=1", "k in (1,2)", "k in (2,3)", "k notin (1,2)", "k notin (3)", "k>1", "k<3"}
	sets := []labels.Set{{}, {"l": "1"}, {"k": "1"}, {"k": "2", "l": "1"}, {"k": "3"}, {"k": "x"}, {"k": ""}}
	var selectors []labels.Selector
	for i, one := range requirements {
		for _, other := range append([]string{"l", "!l"}, requirements[i:]...) {
			s, err := labels.Parse(one + "," + other)
			if err != nil {
				t.Fatal(err)
			}
			selectors = append(selectors, s)
		}
	}
	said := 0
	for _, wide := range selectors {
		for _, narrow := range selectors {
			if !implied(wide, narrow) {
				continue
			}
			said++
			for _, set := range sets {
				if narrow.Matches(set) && !wide.Matches(set) {
					t.Errorf("%s is said to be wider than %s, and has no %v", wide, narrow, set)
				}
			}
		}
	}
	if said <= len(selectors) {
		t.Errorf("%d of %d are said to be wider than %d", said, len(selectors)*len(selectors), len(selectors))
	}
}

// An API server refuses to select them so: nothing is not what there is.
func TestWhatHasNoNamespaceIsNotSelectedByOne(t *testing.T) {
	c, err := NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := func(namespace, fields string) Key {
		k, err := NewKey("", "v1", "nodes", namespace, "", fields)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	v := c.View(key("", ""))
	o, err := v.Parse([]byte(`{"metadata":{"name":"n","resourceVersion":"1"}}`))
	if err != nil {
		t.Fatal(err)
	}
	v.Replace([]*Object{o}, 1)
	c.View(key("", "metadata.name=m")).Replace(nil, 1)
	for narrow, want := range map[Key]bool{
		key("", "metadata.name=n"): true, key("ns", ""): false, key("ns", "metadata.name=m"): false, key("", "metadata.namespace=ns"): false, key("", "metadata.namespace!=ns"): false,
	} {
		if _, _, got := c.Find(narrow); got != want {
			t.Errorf("%s: %v", narrow, got)
		}
	}
}
