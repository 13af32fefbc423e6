package view

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// remembered is how many events a View keeps for watchers.
const remembered = 1024

var (
	// ErrUnknown: the view was never complete. What is in it is not known, which is not the same as that there is nothing.
	ErrUnknown = errors.New("it has not been read from the API server yet")
	// ErrExpired: what came behind the watcher's resourceVersion is not remembered. He has to list.
	ErrExpired = errors.New("the resourceVersion is too old")
)

// Type is that of an Event.
type Type string

// Types of events, as Kubernetes has them.
const (
	Added    Type = "ADDED"
	Modified Type = "MODIFIED"
	Deleted  Type = "DELETED"
	// Bookmark has no Object: everything up to its Version has been seen.
	Bookmark Type = "BOOKMARK"
)

// Event is what has become of an object.
type Event struct {
	Type Type
	// Object is what it is now, and of Deleted what it was last, with the resourceVersion of its end.
	Object *Object
	// Before is what it was; nil of Added.
	Before *Object
	// Version is the resourceVersion that a watcher has come to with it.
	Version uint64
	// gap is not zero if it was found by a list, and upstream's own events were missed.
	gap gap
	// anew: upstream has not changed the object, which is seen otherwise since.
	anew bool
}

// gap is what lies between the resourceVersion of a view and that of a list: what a list has otherwise is known, and not when it came to be so. Who
// stands before it is told all of it; who stands within it, as he was told by a hub that has forgotten, cannot be told what is new to him.
type gap struct{ from, to uint64 }

func (g gap) has(version uint64) bool { return g.from < version && version < g.to }

// missed reports whether the resourceVersion of an end is not known. It is told with that before the gap.
func (e *Event) missed() bool { return e.gap != gap{} && e.Type == Deleted }

// unseen is a gap, and how many lists there were with its own.
type unseen struct {
	gap
	lists int
}

// maxUnseen is how many are remembered. Who comes from before others has to list.
const maxUnseen = 16

// isAgain reports whether it is told to who begins at its version, too: he may have been told of that without it.
func (e *Event) isAgain() bool { return e.anew || e.missed() }

// behind returns when an event has certainly happened.
func (e *Event) behind() uint64 { return max(e.Version, e.gap.to) }

// View is one copy.
type View struct {
	// Key says of what.
	Key Key

	all *objects

	mu sync.Mutex
	// What follows is guarded by mu.

	complete bool
	// kind is what upstream calls its objects, such as ConfigMap.
	kind    string
	version uint64
	objects map[string]*Object
	// bytes is how much they have.
	bytes int64
	// events are the last ones, all of those after since; first is how many there were before them.
	events []Event
	first  int
	since  uint64
	// last is when the last event had certainly happened: who has come so far has missed nothing since.
	last uint64
	// forgotten: it is nobody's any more, and stays unknown.
	forgotten bool
	// expired counts how often all watchers were, and lists how often there was a list, of which listed was the last one's version.
	expired, lists int
	listed         uint64
	// unseen are gaps of lists that had nothing otherwise: what came and went in them, nobody knows.
	unseen []unseen
	// moved is closed and replaced when something changes.
	moved chan struct{}
	// back: upstream was seen behind the view, so that no list comes after what is in it.
	back bool
	// sure is a resourceVersion that upstream had once there was this view: nobody was told of a later one before. 0 is none.
	sure uint64
	// derived: it is of a Derived, and on no disk. What it has come to without a change upstream is in anew, by name, until it has another version: true if it was
	// seen otherwise with the same version before. lost are events of that which it does not remember.
	derived bool
	anew    map[string]bool
	lost    bool
	// dirty is what has to be written to disk: names that have changed, or everything.
	dirty map[string]bool
	whole bool
	// stale: the version alone has changed.
	stale bool
	// pressing: a list was taken, which is to be on disk before anything else is, or there will be nothing more to write.
	pressing bool
	// written is when something was written to disk last, and credit how many bytes there were left to write then: see FlushDue.
	written time.Time
	credit  int64
}

func newView(key Key, all *objects) *View {
	return &View{Key: key, all: all, objects: map[string]*Object{}, moved: make(chan struct{}), dirty: map[string]bool{}}
}

// Version returns the resourceVersion that the view has come to; false if it is unknown.
func (v *View) Version() (version uint64, complete bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.version, v.complete
}

// Await waits until the view is complete. The error is that of ctx, or ErrUnknown if it was forgotten and never will be.
func (v *View) Await(ctx context.Context) error {
	for {
		v.mu.Lock()
		complete, forgotten, moved := v.complete, v.forgotten, v.moved
		v.mu.Unlock()
		switch {
		case forgotten:
			return ErrUnknown
		case complete:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-moved:
		}
	}
}

// Expire has all who watch list: another view has what they read.
func (v *View) Expire() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expired++
	v.move()
}

// ObjectKind is what upstream calls the objects, such as ConfigMap; empty if it has not been said.
func (v *View) ObjectKind() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.kind
}

// SetObjectKind says what upstream calls the objects: of none that cannot be seen.
func (v *View) SetObjectKind(kind string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.kind != kind {
		v.kind, v.stale = kind, true
	}
}

// Len is how many objects it has.
func (v *View) Len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.objects)
}

// Parse reads an object of the view's kind and namespace.
func (v *View) Parse(body []byte) (*Object, error) {
	return v.all.parse(v.Key.Kind(), v.Key.Namespace, body)
}

// global reports whether there are objects without a namespace.
func (v *View) global() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name := range v.objects {
		return !strings.Contains(name, "/")
	}
	return false
}

// List returns all objects, by name, and the resourceVersion at which it was so. The error is ErrUnknown.
func (v *View) List() ([]*Object, uint64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.complete {
		return nil, 0, ErrUnknown
	}
	return sorted(v.objects), v.version, nil
}

func sorted(objects map[string]*Object) []*Object {
	return slices.SortedFunc(maps.Values(objects), func(a, b *Object) int { return strings.Compare(a.Name, b.Name) })
}

// Get returns one object; nil if it is known that there is none. The error is ErrUnknown.
func (v *View) Get(name string) (*Object, uint64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.complete {
		return nil, 0, ErrUnknown
	}
	return v.objects[name], v.version, nil
}

// Replace has the view be what a list has that upstream made at a resourceVersion, which was the last one then: who has heard of a later one
// has to list. It reports whether the list comes after what the view had; if not, the API server was set back.
//
// The cache is to be flushed before the view is fed again: if the API server was set back, which not every list shows, what a disk has is of what is not any more, and
// a hub that was killed would go on from there.
func (v *View) Replace(list []*Object, version uint64) (follows bool) {
	now := make(map[string]*Object, len(list))
	for _, o := range list {
		now[o.Name] = o
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.move()
	v.lists++
	v.listed, v.pressing = version, true
	v.ensure(version)
	if v.forgotten {
		return true
	}
	if !v.complete {
		v.complete = true
		v.reset(now, version)
		return true
	}
	if !v.back && v.differ(now, version) {
		return true
	}
	v.reset(now, version)
	v.expired++
	return false
}

// SetBack notes that upstream was seen behind the view, as it was set back: it may have come further than the view when it is listed, by another way.
func (v *View) SetBack() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.back = true
}

// reset has nobody know how the view came to be what it is. mu must be held.
func (v *View) reset(now map[string]*Object, version uint64) {
	v.objects, v.version, v.since, v.last, v.whole, v.back = now, version, version, version, true, false
	v.bytes = 0
	for _, o := range now {
		v.bytes += int64(len(o.Body))
	}
	v.first += len(v.events)
	v.events, v.unseen = nil, nil
}

// differ makes events of what a list has otherwise, unless the list cannot come after the view. What is not there any more comes first, and then what has changed, in
// the order of resourceVersions. What nobody has changed, and the API server sees otherwise, is taken, and nobody is told: no watch of an API server tells of it either. mu must be held.
func (v *View) differ(now map[string]*Object, version uint64) bool {
	if version < v.version {
		return false
	}
	var (
		events []Event
		again  []*Object
	)
	missed := gap{v.version, version}
	for name, o := range now {
		before := v.objects[name]
		switch {
		case before == o:
			continue
		case before != nil && before.isSeenAgain(o):
			again = append(again, o)
			continue
		case o.Version <= v.version || version == v.version:
			return false
		}
		e := Event{Type: Modified, Object: o, Before: before, Version: o.Version, gap: missed}
		if before == nil {
			e.Type = Added
		}
		events = append(events, e)
	}
	for name, before := range v.objects {
		if now[name] != nil {
			continue
		}
		if version == v.version {
			return false
		}
		end, err := before.at(v.version)
		if err != nil {
			return false // it was read once: this does not happen
		}
		events = append(events, Event{Type: Deleted, Object: end, Before: before, Version: v.version, gap: missed})
	}
	slices.SortFunc(events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), strings.Compare(a.Object.Name, b.Object.Name))
	})
	for _, o := range again {
		v.set(o.Name, o)
		v.dirty[o.Name] = true
	}
	for _, e := range events {
		v.record(e)
	}
	if len(events) == 0 && version > v.version {
		v.miss(missed)
	}
	v.advance(version)
	return true
}

// miss notes a gap that has no events. mu must be held.
func (v *View) miss(g gap) {
	v.last = max(v.last, g.to)
	if v.unseen = append(v.unseen, unseen{g, v.lists}); len(v.unseen) > maxUnseen {
		v.since = max(v.since, v.unseen[0].to)
		v.unseen = slices.Clone(v.unseen[1:])
	}
}

// misses reports whether a version is within a gap that came after some lists. mu must be held.
func (v *View) misses(version uint64, lists int) bool {
	return slices.ContainsFunc(v.unseen, func(u unseen) bool { return u.lists > lists && u.has(version) })
}

// Apply has an event of upstream happen: an object that is there now, or was until now. What is older than the view has happened.
func (v *View) Apply(o *Object, gone bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.complete || o.Version <= v.version {
		return
	}
	before := v.objects[o.Name]
	switch {
	case gone && before == nil:
	case gone:
		v.record(Event{Type: Deleted, Object: o, Before: before, Version: o.Version})
	case before == nil:
		v.record(Event{Type: Added, Object: o, Version: o.Version})
	default:
		v.record(Event{Type: Modified, Object: o, Before: before, Version: o.Version})
	}
	v.advance(o.Version)
	v.move()
}

// Advance notes that upstream has come to a resourceVersion without an event.
func (v *View) Advance(version uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ensure(version)
	if v.complete && version > v.version {
		v.advance(version)
		v.move()
	}
}

// ensure notes what upstream has come to. mu must be held.
func (v *View) ensure(version uint64) {
	if v.sure == 0 {
		v.sure = version
	}
}

// set has an object be there, or not if it is nil. mu must be held.
func (v *View) set(name string, o *Object) {
	if before := v.objects[name]; before != nil {
		v.bytes -= int64(len(before.Body))
	}
	if o == nil {
		delete(v.objects, name)
		return
	}
	v.bytes += int64(len(o.Body))
	v.objects[name] = o
}

// record has an event happen. mu must be held.
func (v *View) record(e Event) {
	if e.Type == Deleted {
		v.set(e.Object.Name, nil)
	} else {
		v.set(e.Object.Name, e.Object)
	}
	if !v.derived {
		v.dirty[e.Object.Name] = true
	}
	v.last = max(v.last, e.behind())
	v.events = append(v.events, e)
	if most := remembered + len(v.anew); len(v.events) > most {
		v.drop(len(v.events) - most + remembered/4)
	}
}

// drop has the first events not be remembered any more. mu must be held.
func (v *View) drop(n int) {
	for _, e := range v.events[:n] {
		switch {
		case e.anew && e.Version == v.version:
			v.lost = true
		case e.anew:
			v.since = max(v.since, e.Version+1)
		default:
			v.since = max(v.since, e.behind())
		}
	}
	v.first += n
	v.events = slices.Clone(v.events[n:])
}

// advance notes the version. mu must be held.
func (v *View) advance(version uint64) {
	v.stale = true
	if version <= v.version {
		return
	}
	if v.lost {
		v.since = max(v.since, v.version+1)
	}
	v.version, v.lost = version, false
	clear(v.anew)
}

// move wakes watchers. mu must be held.
func (v *View) move() {
	close(v.moved)
	v.moved = make(chan struct{})
}
