package view

import (
	"bytes"
	"iter"
	"maps"
	"slices"
)

// Lens is how objects of a Derived are seen: by what it knows of all of them, and of other things.
type Lens interface {
	// Put is told what an object is now, and Remove that it is gone.
	Put(o *Object)
	Remove(name string)
	// See returns how an object is seen; its Body, if that is so.
	See(o *Object) []byte
}

// Derived has a View of what another one, its source, has, each object as a Lens has it seen. It is in memory alone.
//
// resourceVersions are those of the source, and never ahead of it. An object that is seen otherwise although upstream has not changed it gets that which the source has come to: clients take one with the
// version that they know for known. If it has that already, it is DELETED, and ADDED; and MODIFIED once more when there is a later one, for those who have listed in between. Who watches from
// a resourceVersion is told again of what was seen otherwise at it.
//
// Somebody may come from a hub that was before, and had come further than what it has written. He is not told of what is seen otherwise before the view is where he is: so that is shown once more when the view has come
// to what upstream had later. What is seen otherwise by what the hub has on its disk than it was when it was shown last, nobody knows: it is told to those who are at the version at which it begins.
//
// It is used by one goroutine at a time, its View by any number.
type Derived struct {
	View *View

	source *View
	// from are the source's objects, as far as it has got.
	from map[string]*Object
	// next, expired are where it has got in the source.
	next, expired int
	// doubt are objects that somebody may know otherwise by the version that they have, and young those that somebody may who comes from a hub that was before; nil once there is nobody.
	doubt, young map[string]bool
}

// Derive returns what has not been filled yet.
func Derive(source *View) *Derived {
	v := newView(source.Key, source.all)
	v.derived, v.anew = true, map[string]bool{}
	return &Derived{View: v, source: source, from: map[string]*Object{}, expired: -1, doubt: map[string]bool{}, young: map[string]bool{}}
}

// Has returns what the source had of an object when Sync was called last; nil for nothing.
func (d *Derived) Has(name string) *Object { return d.from[name] }

// All are what the source had when Sync was called last.
func (d *Derived) All() iter.Seq[*Object] { return maps.Values(d.from) }

// End has it be unknown from now on, and its watchers be told.
func (d *Derived) End(lens Lens) {
	for name := range d.from {
		delete(d.from, name)
		lens.Remove(name)
	}
	d.View.forget()
}

// glance is what a view has come to since somebody looked last.
type glance struct {
	events []Event
	// objects are all, if the events do not tell; else nil.
	objects map[string]*Object

	kind                 string
	version, listed      uint64
	sure                 uint64
	unseen               []unseen
	next, expired, lists int
	moved                <-chan struct{}
}

// look returns what has come since. The error is ErrUnknown.
func (v *View) look(next, expired int) (*glance, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.complete {
		return nil, ErrUnknown
	}
	g := &glance{
		kind: v.kind, version: v.version, listed: v.listed, sure: v.sure, unseen: slices.Clone(v.unseen), next: v.first + len(v.events), expired: v.expired, lists: v.lists, moved: v.moved,
	}
	if v.expired != expired || next < v.first {
		g.objects = maps.Clone(v.objects)
	} else {
		g.events = append(g.events, v.events[next-v.first:]...)
	}
	return g, nil
}

// Sync has the view come to what the source has. It returns what is closed when there is more. The error is ErrUnknown, if the source was forgotten.
func (d *Derived) Sync(lens Lens) (moved <-chan struct{}, err error) {
	g, err := d.source.look(d.next, d.expired)
	if err != nil {
		return nil, err
	}
	d.tell(lens, g)
	d.next, d.expired = g.next, g.expired
	v := d.View
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.version
	v.kind, v.lists, v.listed, v.sure = g.kind, g.lists, g.listed, g.sure
	if g.objects != nil {
		d.reset(lens, g.version)
	} else {
		v.unseen = g.unseen
		for i := range g.events {
			d.happen(lens, g.events[i])
		}
		v.advance(g.version)
		d.age()
		d.settle()
	}
	if len(g.events) > 0 || v.version != before || g.objects != nil {
		v.move()
	}
	return g.moved, nil
}

// tell has the lens know what there is.
func (d *Derived) tell(lens Lens, g *glance) {
	if g.objects != nil {
		before := d.from
		d.from = g.objects
		for name := range before {
			if d.from[name] == nil {
				lens.Remove(name)
			}
		}
		for name, o := range d.from {
			if before[name] != o {
				lens.Put(o)
			}
		}
		return
	}
	for i := range g.events {
		if o := g.events[i].Object; g.events[i].Type == Deleted {
			delete(d.from, o.Name)
			lens.Remove(o.Name)
		} else {
			d.from[o.Name] = o
			lens.Put(o)
		}
	}
}

// reset has the view be what there is: how it came to be so is not known. View.mu must be held.
func (d *Derived) reset(lens Lens, version uint64) {
	v := d.View
	clear(v.anew)
	var altered []string
	now := make(map[string]*Object, len(d.from))
	for name, source := range d.from {
		o := seen(lens, source)
		if o != source {
			o = o.atLeast(version)
			altered = append(altered, name)
		}
		now[name] = o
	}
	if v.complete {
		v.expired++
	}
	v.complete, v.lost = true, false
	v.reset(now, version)
	slices.Sort(altered)
	for _, name := range altered {
		d.doubt[name] = true
		d.suspect(name)
		d.anew(Modified, now[name])
	}
	d.age()
}

// anew records what becomes of an object without a change upstream. View.mu must be held.
func (d *Derived) anew(kind Type, o *Object) {
	v := d.View
	e := Event{Type: kind, Object: o, Version: v.version, anew: true}
	if kind != Added {
		e.Before = o // its labels are the same, and what it was is not kept for that
	}
	v.anew[o.Name] = v.anew[o.Name] || kind == Added
	v.record(e)
}

// seen is an object as a lens has it.
func seen(lens Lens, source *Object) *Object {
	body := lens.See(source)
	if len(body) == len(source.Body) && (len(body) == 0 || &body[0] == &source.Body[0]) {
		return source
	}
	return &Object{source.Name, source.Version, body}
}

// atLeast is an object with a resourceVersion, if that is later than its own.
func (o *Object) atLeast(version uint64) *Object {
	if version <= o.Version {
		return o
	}
	if later, err := o.at(version); err == nil { // it was read once: it does not fail
		return later
	}
	return o
}

// happen has an event of the source happen. View.mu must be held.
func (d *Derived) happen(lens Lens, e Event) {
	v := d.View
	e.Before = v.objects[e.Object.Name]
	delete(d.doubt, e.Object.Name)
	if e.Type == Deleted {
		if e.Before == nil {
			return
		}
		end, err := e.Before.at(e.Version)
		if err != nil {
			end = e.Object // it was read once: this does not happen
		}
		e.Object = end
	} else {
		e.Object = seen(lens, e.Object)
	}
	d.suspect(e.Object.Name)
	v.record(e)
	v.advance(e.Version)
}

// suspect notes that somebody who comes from a hub that was before may know an object otherwise, if there may be one. View.mu must be held.
func (d *Derived) suspect(name string) {
	if d.young != nil {
		d.young[name] = true
	}
}

// age has nobody be left who comes from a hub that was before, once the view has come further than any. View.mu must be held.
func (d *Derived) age() {
	if v := d.View; d.young != nil && v.sure > 0 && v.version > v.sure {
		maps.Copy(d.doubt, d.young)
		d.young = nil
	}
}

// settle has what is in doubt be seen with another version, if there is one. View.mu must be held.
func (d *Derived) settle() {
	for _, name := range slices.Sorted(maps.Keys(d.doubt)) {
		switch o := d.View.objects[name]; {
		case o == nil:
			delete(d.doubt, name)
		case o.Version < d.View.version:
			delete(d.doubt, name)
			d.anew(Modified, o.atLeast(d.View.version))
		}
	}
}

// Again has objects be seen as the lens has them now. What is seen as before is not touched, and what is not there neither.
func (d *Derived) Again(lens Lens, names []string) {
	v := d.View
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.first + len(v.events)
	for _, name := range names {
		d.see(lens, name)
	}
	if v.first+len(v.events) != before {
		v.move()
	}
}

// see has an object be seen as the lens has it now. View.mu must be held.
func (d *Derived) see(lens Lens, name string) {
	v := d.View
	source, before := d.from[name], v.objects[name]
	if source == nil || before == nil { // all of one has the other
		return
	}
	o := seen(lens, source).atLeast(before.Version)
	if bytes.Equal(o.Body, before.Body) {
		return
	}
	d.suspect(name)
	if before.Version < v.version {
		d.anew(Modified, o.atLeast(v.version))
		return
	}
	d.doubt[name] = true
	d.anew(Deleted, before)
	d.anew(Added, o)
}
