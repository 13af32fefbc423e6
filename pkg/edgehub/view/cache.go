package view

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/store"
)

// Disk keeps views: *store.Store does.
type Disk interface {
	Apply(changes ...store.Change) error
}

// Cache has all views.
type Cache struct {
	all objects

	mu    sync.Mutex
	views map[Key]*View  // guarded by mu
	gone  []store.Change // of views that were forgotten; guarded by mu

	// flushing is held by whoever writes to disk.
	flushing sync.Mutex
}

// NewCache returns a cache with what a disk had. What of it cannot be read is said, and is unknown.
func NewCache(kept []store.View) (*Cache, error) {
	c := &Cache{views: map[Key]*View{}}
	var errs []error
	for i := range kept {
		if err := c.load(&kept[i]); err != nil {
			errs = append(errs, fmt.Errorf("the view %s: %w", kept[i].Name, err))
			c.gone = append(c.gone, store.Change{Name: kept[i].Name, Forget: true})
		}
	}
	return c, errors.Join(errs...)
}

// load adds a view that a disk had.
func (c *Cache) load(kept *store.View) error {
	key, err := ParseKey(kept.Name)
	if err != nil {
		return err
	}
	v := newView(key, &c.all)
	if v.version, v.last, v.kind, err = parsePosition(kept.Version); err != nil {
		return err
	}
	v.since = v.last
	v.complete = true
	for i := range kept.Objects {
		o, err := v.Parse(kept.Objects[i].Body)
		if err != nil {
			return err
		}
		v.set(o.Name, o)
	}
	c.views[key] = v
	return nil
}

// View returns one, which is unknown if nobody has asked for it before.
func (c *Cache) View(key Key) *View {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.views[key]
	if v == nil {
		v = newView(key, &c.all)
		c.views[key] = v
	}
	return v
}

// Find returns a complete view that has all of what a key selects, and what of it that is. That of the key itself is best, and then the smallest; false if there
// is none.
func (c *Cache) Find(key Key) (*View, *Filter, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.views[key]; v != nil {
		if _, complete := v.Version(); complete {
			return v, everything(), true
		}
	}
	var (
		found  *View
		filter *Filter
		size   int
	)
	if key.Namespaced() && c.global(&key) {
		return nil, nil, false
	}
	for of, v := range c.views {
		if !mayBeWider(&of, &key) {
			continue
		}
		if _, complete := v.Version(); !complete {
			continue
		}
		f, ok := Narrow(of, key)
		if !ok {
			continue
		}
		if n := v.Len(); found == nil || n < size || n == size && of.String() < found.Key.String() {
			found, filter, size = v, f, n
		}
	}
	return found, filter, found != nil
}

// sameKind reports whether two keys are about objects of one kind. It is asked for each view, each time that somebody waits for another one.
func sameKind(a, b *Key) bool {
	return a.Resource == b.Resource && a.Group == b.Group && a.Version == b.Version
}

// mayBeWider reports whether it takes a closer look to know whether a key has all that another selects: a node has hundreds of views that have one object each, by its name.
func mayBeWider(wide, narrow *Key) bool {
	if !sameKind(wide, narrow) || wide.Owner != narrow.Owner || wide.Namespace != "" && wide.Namespace != narrow.Namespace {
		return false
	}
	return wide.Fields == "" || strings.Contains(wide.Fields, ",") || strings.Contains(narrow.Fields, wide.Fields)
}

// IsGlobal reports whether a key selects by namespace what has none, as far as there is any.
func (c *Cache) IsGlobal(key Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return key.Namespaced() && c.global(&key)
}

// global reports whether objects of the kind of a key have no namespace, as far as there are any: upstream refuses to select them by one. mu must be held.
func (c *Cache) global(key *Key) bool {
	for of, v := range c.views {
		if sameKind(&of, key) && v.global() {
			return true
		}
	}
	return false
}

// Views returns all, by key.
func (c *Cache) Views() []*View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sorted()
}

// sorted are all views, by key. mu must be held.
func (c *Cache) sorted() []*View {
	return slices.SortedFunc(maps.Values(c.views), func(a, b *View) int { return strings.Compare(a.Key.String(), b.Key.String()) })
}

// Forget has a view be one that nobody has asked for. Who watches it has to list, and whoever still fills it does so in vain.
func (c *Cache) Forget(key Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.views[key]; v != nil {
		v.forget()
		delete(c.views, key)
		c.gone = append(c.gone, store.Change{Name: key.String(), Forget: true})
	}
}

// Flush writes to disk what has changed since it was written last, of all views together. What could not be written is written the next time.
func (c *Cache) Flush(disk Disk) error { return c.flush(disk, (*View).change) }

// FlushDue is Flush, of what should not wait: it is called each second, for years, and disks wear out. A list is written at once, and so are changes, unless a view has so many of them that it has
// used up its credit. How far a view has come without them can wait. What waits is that of a whole view: what is on disk is complete, and older.
func (c *Cache) FlushDue(disk Disk, now time.Time) error {
	return c.flush(disk, func(v *View) (store.Change, bool) { return v.due(now) })
}

// flush writes what is taken of views.
func (c *Cache) flush(disk Disk, take func(*View) (store.Change, bool)) error {
	c.flushing.Lock()
	defer c.flushing.Unlock()
	c.mu.Lock()
	changes, views := c.gone, slices.Collect(maps.Values(c.views)) // together: what is forgotten is so before the view that is there now
	c.gone = nil
	c.mu.Unlock()
	forgotten := len(changes)
	var changed []*View
	for _, v := range views {
		if change, ok := take(v); ok {
			changed, changes = append(changed, v), append(changes, change)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	err := disk.Apply(changes...)
	if err == nil {
		return nil
	}
	for i, v := range changed {
		v.unwritten(&changes[forgotten+i])
	}
	c.mu.Lock()
	c.gone = append(changes[:forgotten:forgotten], c.gone...)
	c.mu.Unlock()
	if errors.Is(err, store.ErrDamaged) { // what is on disk of any view is not known
		c.Rewrite()
	}
	return err
}

// Rewrite has everything written the next time: it may be on no disk.
func (c *Cache) Rewrite() {
	for _, v := range c.Views() {
		v.rewrite()
	}
}

// forget has it be unknown from now on, and its watchers be told.
func (v *View) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.complete, v.forgotten = false, true
	v.expired++
	v.move()
}

func (v *View) rewrite() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.whole = true
}

const (
	// earns is how many bytes of objects a view may write in a second, on average, and credit how many at once: 350 MB a day for each, while a node's own pods and settings do not come near.
	earns, credit = 4 << 10, 1 << 20
	// latest is how long changes wait at most, and how long it waits to be written how far a view has come, if that is all: API servers tell each of hundreds of views so each minute.
	latest = 30 * time.Minute
)

// Press has how far the view has come be written the next time, if that is all there is to write: upstream says nothing more, and who has come further than a hub that is started anew would be told nothing by it.
func (v *View) Press() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pressing = v.pressing || v.stale && len(v.dirty) == 0
}

// due takes what has to be written, if it is time.
func (v *View) due(now time.Time) (store.Change, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	since := now.Sub(v.written)
	left := min(credit, v.credit+int64(earns*since.Seconds()))
	switch {
	case v.whole, v.pressing, len(v.dirty) > 0 && left > 0, since >= latest:
	default:
		return store.Change{}, false
	}
	isList := v.whole || v.pressing
	c, ok := v.take()
	if !ok {
		return c, false
	}
	if v.written, v.credit = now, left; !isList {
		for i := range c.Put {
			v.credit -= int64(len(c.Put[i].Body))
		}
	}
	return c, true
}

// change takes what has to be written; false if there is nothing.
func (v *View) change() (store.Change, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.take()
}

// take takes what has to be written; false if there is nothing. mu must be held.
func (v *View) take() (store.Change, bool) {
	if !v.complete || !v.whole && !v.stale && len(v.dirty) == 0 {
		return store.Change{}, false
	}
	c := store.Change{Name: v.Key.String(), Kind: v.Key.Kind(), Version: position(v.version, v.last, v.kind), Whole: v.whole}
	add := func(o *Object) {
		c.Put = append(c.Put, store.Object{Name: o.Name, Version: strconv.FormatUint(o.Version, 10), Body: o.Body})
	}
	if v.whole {
		for _, o := range v.objects {
			add(o)
		}
	} else {
		for name := range v.dirty {
			if o := v.objects[name]; o != nil {
				add(o)
			} else {
				c.Delete = append(c.Delete, name)
			}
		}
	}
	v.whole, v.stale, v.pressing, v.dirty = false, false, false, map[string]bool{}
	return c, true
}

// unwritten has a change written the next time, with what has become of it.
func (v *View) unwritten(c *store.Change) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stale = true
	v.whole = v.whole || c.Whole
	v.written = time.Time{} // at once, when it can be
	for i := range c.Put {
		v.dirty[c.Put[i].Name] = true
	}
	for _, name := range c.Delete {
		v.dirty[name] = true
	}
}

// position is what a disk has as the version of a view: how far it has come, and since when nothing has happened, which is where watchers may start although
// its events are forgotten; and what its objects are.
func position(version, last uint64, kind string) string {
	return strings.TrimSpace(fmt.Sprintf("%d %d %s", version, last, kind))
}

func parsePosition(text string) (version, last uint64, kind string, err error) {
	parts := append(strings.Split(text, " "), "", "")
	version, err = strconv.ParseUint(parts[0], 10, 64)
	if err == nil {
		last, err = strconv.ParseUint(parts[1], 10, 64)
	}
	if err != nil || last > version {
		return 0, 0, "", fmt.Errorf("its version is %q", text)
	}
	return version, last, parts[2], nil
}
