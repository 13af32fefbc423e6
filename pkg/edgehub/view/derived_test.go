package view

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stained is a lens that has objects of some units be seen with a stain, which may depend on how many others there are.
type stained struct {
	stains map[string]int    // by unit; 0 is none, and odd ones depend on others
	units  map[string]string // of objects
	again  []string
}

func unitIn(body string) string {
	_, after, _ := strings.Cut(body, `"unit":"`)
	unit, _, _ := strings.Cut(after, `"`)
	return unit
}

func (l *stained) Put(o *Object) {
	l.units[o.Name] = unitIn(string(o.Body))
	l.again = slices.AppendSeq(l.again, maps.Keys(l.units))
}

func (l *stained) Remove(name string) {
	delete(l.units, name)
	l.again = slices.AppendSeq(l.again, maps.Keys(l.units))
}

func (l *stained) See(o *Object) []byte {
	stain := l.stains[unitIn(string(o.Body))]
	if stain%2 == 1 && len(l.units)%3 == 0 {
		stain += 10
	}
	if stain == 0 {
		return o.Body
	}
	return []byte(strings.Replace(string(o.Body), `"spec"`, fmt.Sprintf(`"stain":%d,"spec"`, stain), 1))
}

// informer is a reflector, and who is told by it: of what has the resourceVersion that he knows he is not.
type informer struct {
	t       *testing.T
	derived *Derived
	watcher *Watcher
	version uint64
	// store is what it has, and told what those who use it know; nil if it has to list.
	store, told map[string]*Object
	// old: he comes from a hub that was before.
	old bool
}

func (i *informer) set(o *Object) {
	if before := i.told[o.Name]; before == nil || before.Version != o.Version {
		i.told[o.Name] = o
	}
	i.store[o.Name] = o
}

// sync reads all there is.
func (i *informer) sync() {
	i.t.Helper()
	v := i.derived.View
	for {
		if i.watcher == nil && i.store != nil {
			w, err := v.Watch(i.version)
			if err != nil {
				i.store = nil
				continue
			}
			i.watcher = w
		}
		if i.watcher == nil {
			i.list()
			continue
		}
		done, cancel := context.WithCancel(context.Background())
		cancel()
		events, err := i.watcher.Next(done)
		switch {
		case errors.Is(err, ErrExpired):
			i.watcher, i.store = nil, nil
			continue
		case err != nil:
			return
		}
		for _, e := range events {
			i.take(e)
		}
	}
}

func (i *informer) list() {
	i.t.Helper()
	all, version, err := i.derived.View.List()
	if err != nil {
		i.t.Fatal(err)
	}
	i.store, i.version, i.old = map[string]*Object{}, version, false
	if i.told == nil {
		i.told = map[string]*Object{}
	}
	for _, o := range all {
		i.set(o)
	}
	maps.DeleteFunc(i.told, func(name string, _ *Object) bool { return i.store[name] == nil })
}

func (i *informer) take(e Event) {
	i.t.Helper()
	if e.Version < i.version {
		i.t.Fatalf("%s of %d after %d", e.Type, e.Version, i.version)
	}
	i.version = e.Version
	if at, _ := i.derived.View.Version(); e.Version > at {
		i.t.Fatalf("an event of %d is ahead of the view, which is at %d", e.Version, at)
	}
	switch e.Type {
	case Bookmark:
	case Deleted:
		delete(i.store, e.Object.Name)
		delete(i.told, e.Object.Name)
	default:
		if e.Object.Version > e.Version {
			i.t.Fatalf("an event of %d has an object of %d", e.Version, e.Object.Version)
		}
		i.set(e.Object)
	}
}

// plain are bodies without their resourceVersions.
func plain(objects map[string]*Object) map[string]string {
	out := map[string]string{}
	for name, o := range objects {
		before, after, _ := strings.Cut(string(o.Body), `"resourceVersion":"`)
		_, after, _ = strings.Cut(after, `"`)
		out[name] = before + after
	}
	return out
}

// derivation is a hub with one view that is seen through a lens, an API server, and clients.
type derivation struct {
	t        *testing.T
	random   *rand.Rand
	upstream *upstream
	fed      int // events that the source has
	key      Key
	cache    *Cache
	derived  *Derived
	lens     *stained
	clients  []*informer
}

func (d *derivation) source() *View { return d.cache.View(d.key) }

func (d *derivation) list() {
	var list []*Object
	for _, text := range d.upstream.state {
		o, err := d.source().Parse([]byte(text))
		if err != nil {
			d.t.Fatal(err)
		}
		list = append(list, o)
	}
	d.source().Replace(list, d.upstream.version)
	d.fed = len(d.upstream.events)
}

func (d *derivation) feed() {
	for _, e := range d.upstream.events[d.fed:] {
		o, err := d.source().Parse([]byte(e.body))
		if err != nil {
			d.t.Fatal(err)
		}
		d.source().Apply(o, e.gone)
	}
	d.fed = len(d.upstream.events)
}

// sync has the view be what the source is.
func (d *derivation) sync() {
	d.t.Helper()
	if _, err := d.derived.Sync(d.lens); err != nil {
		d.t.Fatal(err)
	}
	again := d.lens.again
	d.lens.again = nil
	d.derived.Again(d.lens, again)
}

// stain has objects of a unit be seen otherwise.
func (d *derivation) stain() {
	unit := string(rune('a' + d.random.IntN(3)))
	d.lens.stains[unit] = d.random.IntN(4)
	d.derived.Again(d.lens, slices.Collect(maps.Keys(d.lens.units)))
}

// restart has the hub begin anew with what it had on its disk. Who was away meanwhile has seen all before, as he is away for a moment only: else what was changed then, and changed nothing upstream, is not
// known to have been.
func (d *derivation) restart(disk memory) {
	before := d.derived
	at, _ := before.View.Version()
	var err error
	if d.cache, err = NewCache(disk.views()); err != nil {
		d.t.Fatal(err)
	}
	version, _ := d.source().Version()
	for d.fed = 0; d.fed < len(d.upstream.events) && d.upstream.events[d.fed].version <= version; d.fed++ {
	}
	d.derived, d.lens = Derive(d.source()), &stained{d.lens.stains, map[string]string{}, nil}
	for _, c := range d.clients {
		if c.version > at || c.old && len(before.young) > 0 {
			c.store, c.told = nil, nil
		}
		c.derived, c.watcher, c.old = d.derived, nil, true
	}
	d.sync()
}

// compare holds what clients have against what is to be seen.
func (d *derivation) compare(what string) {
	d.t.Helper()
	want := map[string]*Object{}
	for name, o := range d.derived.from {
		want[name] = &Object{name, o.Version, d.lens.See(o)}
	}
	all, at, _ := d.derived.View.List()
	has := map[string]*Object{}
	for _, o := range all {
		has[o.Name] = o
	}
	if diff := cmp.Diff(plain(want), plain(has)); diff != "" {
		d.t.Fatalf("after %s, at %d, the view (-want +got):\n%s", what, at, diff)
	}
	for n, c := range d.clients {
		if c.watcher == nil && c.store != nil && c.version > at {
			continue // it waits
		}
		c.sync()
		if c.version > at {
			continue
		}
		again := maps.Clone(d.derived.doubt) // these are shown once more, as they may be known
		maps.Copy(again, d.derived.young)
		for name := range again {
			if delete(c.told, name); c.old && has[name] != nil {
				c.store[name] = has[name]
			} else if c.old {
				delete(c.store, name)
			}
		}
		if diff := cmp.Diff(plain(want), plain(c.store)); diff != "" {
			d.t.Fatalf("after %s, at %d, client %d (-want +got):\n%s", what, at, n, diff)
		}
		for name, o := range c.told {
			if got := c.store[name]; got == nil || plain(map[string]*Object{"": got})[""] != plain(map[string]*Object{"": o})[""] {
				d.t.Fatalf("after %s, at %d, those who use client %d believe that %s is\n%s\nand not %+v, of %+v", what, at, n, name, o.Body, got, d.derived.from[name])
			}
		}
	}
}

// Whatever happens upstream and to the lens, whoever comes and goes: clients who have read all see what the lens has of what the source has, and so do those who are told only of objects with another
// resourceVersion than they know.
func TestWhoHasReadAllSeesWhatTheLensShows(t *testing.T) {
	start := rand.Uint64()
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if start, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KOINON_SEED=%d", start)
	histories := 12
	if os.Getenv("KOINON_LONG") != "" {
		histories = 5000
	}
	for run := range histories {
		seenThroughALens(t, rand.New(rand.NewPCG(start, uint64(run))))
	}
}

func seenThroughALens(t *testing.T, random *rand.Rand) {
	d := &derivation{
		t: t, random: random, upstream: &upstream{version: 1, state: map[string]string{}}, key: Key{Version: "v1", Resource: "pods"},
		cache: newCache(t), lens: &stained{map[string]int{}, map[string]string{}, nil},
	}
	disk := memory{}
	flush := func() {
		if err := d.cache.Flush(disk); err != nil {
			t.Fatal(err)
		}
	}
	d.list()
	flush()
	d.derived = Derive(d.source())
	for range 6 {
		d.clients = append(d.clients, &informer{t: t, derived: d.derived})
	}
	d.sync()
	for step := range 120 {
		what := ""
		switch random.IntN(12) {
		case 0, 1:
			what = "events"
			for range 1 + random.IntN(4) {
				d.upstream.change(random)
			}
			d.feed()
			if random.IntN(2) == 0 {
				d.upstream.version++
				d.source().Advance(d.upstream.version)
			}
		case 2:
			what = "a bookmark"
			d.feed()
			d.upstream.version++
			d.source().Advance(d.upstream.version)
		case 3, 4, 5:
			what = "another stain"
			d.stain()
		case 6:
			what = "a list"
			for range random.IntN(5) {
				d.upstream.change(random)
			}
			d.list()
			flush()
		case 7:
			what = "some go"
			for _, c := range d.clients {
				if random.IntN(2) == 0 {
					c.watcher = nil
				}
			}
			for range random.IntN(3) {
				d.stain()
			}
		case 8:
			what = "some list"
			for _, c := range d.clients {
				if random.IntN(3) == 0 {
					c.watcher, c.store = nil, nil
				}
			}
		case 9:
			what = "some are new"
			d.clients[random.IntN(len(d.clients))] = &informer{t: t, derived: d.derived}
		case 10:
			what = "a flush"
			flush()
		case 11:
			switch random.IntN(6) {
			case 0:
				what = "the API server is set back"
				d.sync()
				d.compare(what)
				d.upstream.setBack(random)
				d.list()
				flush()
				at, _ := d.source().Version()
				for _, c := range d.clients { // who watched nothing just then is as badly off as with the API server
					c.told = map[string]*Object{}
					if c.watcher == nil && c.version >= at {
						c.store = nil
					}
				}
			case 1, 2:
				what = "a restart"
				d.sync()
				d.compare(what)
				d.restart(disk)
			case 3:
				what = "many stains"
				for range 150 {
					d.stain()
				}
			}
		}
		if random.IntN(3) > 0 || what == "the API server is set back" || what == "a list" {
			d.sync()
		}
		d.compare(fmt.Sprintf("%s, step %d", what, step))
	}
}

// More is seen otherwise at one resourceVersion than a view remembers events: who has read until then and comes back is told of all of it, and who has just listed does not have to list again.
func TestMoreThanIsRememberedIsToldToWhoComesBack(t *testing.T) {
	cache := newCache(t)
	source := cache.View(Key{Version: "v1", Resource: "pods"})
	var list []*Object
	for i := range 300 {
		o, err := source.Parse([]byte(body(fmt.Sprintf("o%d", i), uint64(i+1), "a")))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
	source.Replace(list, 500)
	lens := &stained{map[string]int{}, map[string]string{}, nil}
	d := Derive(source)
	if _, err := d.Sync(lens); err != nil {
		t.Fatal(err)
	}
	away := &informer{t: t, derived: d}
	away.sync()
	away.watcher = nil
	for stain := range 6 {
		lens.stains["a"] = 2 * (stain + 1)
		d.Again(lens, slices.Collect(maps.Keys(lens.units)))
	}
	away.sync()
	for name, o := range away.told {
		if o.Version != 500 || !strings.Contains(string(o.Body), `"stain":12`) {
			t.Fatalf("%s is %s", name, o.Body)
		}
	}
	_, version, err := d.View.List()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.View.Watch(version); err != nil {
		t.Errorf("who has just listed is told %v", err)
	}
}

func TestAnObjectWithAnotherResourceVersionIsTheSameOtherwise(t *testing.T) {
	v := newCache(t).View(keyOf(t, ""))
	for name, text := range map[string]string{
		"written as API servers do":       `{"kind":"X","metadata":{"name":"a","namespace":"ns","resourceVersion":"1","labels":{"b":"<&>"}},"spec":{"metadata":{"resourceVersion":"1"}}}`,
		"with spaces, and in any order":   "{ \"spec\" : { \"a\": [1.50 , {}] },\n \"metadata\" : { \"resourceVersion\"\t: \"1\" , \"namespace\":\"ns\", \"name\":\"a\" } }",
		"with a field that looks like it": `{"Metadata":{"resourceVersion":"1"},"metadata":{"ResourceVersion":"1","name":"a","namespace":"ns","resourceVersion":"1"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			o, err := v.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			later, err := o.at(2345)
			if err != nil {
				t.Fatal(err)
			}
			again, err := v.Parse(later.Body)
			if err != nil || again.Version != 2345 || later.Version != 2345 {
				t.Fatalf("%s: %v", later.Body, err)
			}
			back, err := later.at(1)
			if err != nil || string(back.Body) != text {
				t.Errorf("there and back it is %s, %v", back.Body, err)
			}
		})
	}
}
