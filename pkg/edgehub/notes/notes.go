package notes

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/koinon-io/koinon/pkg/edgehub/store"
)

// Disk is what a Book is kept on: *store.Store is one.
type Disk interface {
	Apply(changes ...store.Change) error
}

// Book has shelves.
type Book struct {
	disk Disk

	// flushing is held by whoever writes to disk.
	flushing sync.Mutex

	mu sync.Mutex
	// What follows is guarded by mu.

	kept    map[string]store.View // what the disk had, of shelves that nobody has asked for yet
	lost    bool                  // the disk has nothing of that any more
	shelves []flusher
	next    uint64 // the version of what is put next: later is greater
}

// flusher is a shelf of any type.
type flusher interface {
	// change is what has become of it since it was called last; false for nothing.
	change() (store.Change, bool)
	// unwritten has that written the next time, and all of it if the disk has nothing any more.
	unwritten(c *store.Change, all bool)
	// clear has nothing on it.
	clear()
}

// NewBook returns a book with what a disk had.
func NewBook(disk Disk, kept []store.View) *Book {
	b := &Book{disk: disk, kept: map[string]store.View{}, next: 1}
	for i := range kept {
		b.kept[kept[i].Name] = kept[i]
		for j := range kept[i].Objects {
			if at, err := strconv.ParseUint(kept[i].Objects[j].Version, 10, 64); err == nil {
				b.next = max(b.next, at+1)
			}
		}
	}
	return b
}

// Flush has everything that was put be on the disk when it returns nil.
func (b *Book) Flush() error {
	b.flushing.Lock()
	defer b.flushing.Unlock()
	b.mu.Lock()
	shelves := slices.Clone(b.shelves)
	b.mu.Unlock()
	var (
		changes []store.Change
		changed []flusher
	)
	for _, s := range shelves {
		if c, ok := s.change(); ok {
			changes, changed = append(changes, c), append(changed, s)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	err := b.disk.Apply(changes...)
	switch {
	case errors.Is(err, store.ErrDamaged): // what is on disk of any shelf is not known
		b.Rewrite()
	case err != nil:
		for i, s := range changed {
			s.unwritten(&changes[i], false)
		}
	}
	return err
}

// Rewrite has everything written the next time: it may be on no disk.
func (b *Book) Rewrite() {
	b.mu.Lock()
	b.lost = true
	shelves := slices.Clone(b.shelves)
	b.mu.Unlock()
	for _, s := range shelves {
		s.unwritten(&store.Change{}, true)
	}
}

// Clear has nothing on any shelf: it is of another cluster.
func (b *Book) Clear() {
	b.mu.Lock()
	shelves := slices.Clone(b.shelves)
	b.mu.Unlock()
	for _, s := range shelves {
		s.clear()
	}
}

// Shelf has values of a type, by name. Nobody changes a value that is on one.
type Shelf[T any] struct {
	book  *Book
	name  string
	limit int

	mu sync.Mutex
	// What follows is guarded by mu.

	all   map[string]kept[T]
	dirty map[string]bool
	whole bool
	order []put // what was put, first to last; with what was put again or is gone since
	// owned is how many values an owner has, if owner is not nil, and each how many he may have.
	owner func(name string, value T) string
	each  int
	owned map[string]int
}

// kept is a value, and when it was put.
type kept[T any] struct {
	value T
	at    uint64
}

// put is when a name was put.
type put struct {
	name string
	at   uint64
}

// NewShelf returns the shelf of a name, with what the disk had of it, and at most limit values. What of it cannot be read is gone, and the error says so: the
// shelf can be used all the same. A book has a shelf of a name once.
func NewShelf[T any](b *Book, name string, limit int) (*Shelf[T], error) {
	s := &Shelf[T]{book: b, name: name, limit: limit, all: map[string]kept[T]{}, dirty: map[string]bool{}}
	b.mu.Lock()
	defer b.mu.Unlock()
	view, known := b.kept[name]
	delete(b.kept, name)
	s.whole = !known || b.lost
	b.shelves = append(b.shelves, s)
	var errs []error
	for i := range view.Objects {
		if err := s.load(&view.Objects[i]); err != nil {
			errs = append(errs, fmt.Errorf("%s of the %s that are kept: %w", view.Objects[i].Name, name, err))
			s.dirty[view.Objects[i].Name] = true
		}
	}
	slices.SortFunc(s.order, func(a, b put) int { return int(int64(a.at - b.at)) })
	s.trim()
	return s, errors.Join(errs...)
}

// Bound has nobody own more than some of the values: of more, his own oldest go, and nobody else's. What an owner with an empty name has is bounded by the shelf alone.
// Of a full shelf the oldest goes of those who have most, and nothing of an owner with an empty name as long as there is anything else. It is called before anything is put.
func (s *Shelf[T]) Bound(owner func(name string, value T) string, each int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner, s.each, s.owned = owner, each, map[string]int{}
	for name, k := range s.all {
		s.owned[owner(name, k.value)]++
	}
}

func (s *Shelf[T]) load(o *store.Object) error {
	at, err := strconv.ParseUint(o.Version, 10, 64)
	if err != nil {
		return err
	}
	var value T
	if err := json.Unmarshal(o.Body, &value); err != nil {
		return err
	}
	s.all[o.Name] = kept[T]{value, at}
	s.order = append(s.order, put{o.Name, at})
	return nil
}

// Get returns a value.
func (s *Shelf[T]) Get(name string) (value T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.all[name]
	return k.value, ok
}

// Put has a name have a value, in place of the one that it had.
func (s *Shelf[T]) Put(name string, value T) {
	at := s.book.number()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(name)
	s.all[name] = kept[T]{value, at}
	s.dirty[name] = true
	s.order = append(s.order, put{name, at})
	if s.owner != nil {
		of := s.owner(name, value)
		s.owned[of]++
		s.trimOf(of)
	}
	s.trim()
}

// Delete has a name have none.
func (s *Shelf[T]) Delete(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(name)
}

// remove has a name have none. mu must be held.
func (s *Shelf[T]) remove(name string) {
	k, ok := s.all[name]
	if !ok {
		return
	}
	delete(s.all, name)
	s.dirty[name] = true
	if s.owner == nil {
		return
	}
	of := s.owner(name, k.value)
	if s.owned[of]--; s.owned[of] == 0 {
		delete(s.owned, of)
	}
}

// trimOf has what an owner has too much go, and an eighth of the rest: what he has is looked for among what all have, which is not to be each time. mu must be held.
func (s *Shelf[T]) trimOf(of string) {
	if of == "" || s.owned[of] <= s.each {
		return
	}
	for _, p := range s.order {
		if s.owned[of] <= s.each-s.each/8 {
			return
		}
		if k, ok := s.all[p.name]; ok && k.at == p.at && s.owner(p.name, k.value) == of {
			s.remove(p.name)
		}
	}
}

// trimMost makes room for a sixteenth more, of a full shelf: nobody keeps more than those who lose nothing. mu must be held.
func (s *Shelf[T]) trimMost() {
	room := s.limit - s.limit/16
	left := func(each int) (all int) { // if nobody had more than each
		for of, n := range s.owned {
			if of != "" {
				n = min(n, each)
			}
			all += n
		}
		return all
	}
	each := sort.Search(s.limit, func(n int) bool { return left(n+1) > room })
	for _, p := range s.order {
		if len(s.all) <= room {
			return
		}
		if k, ok := s.all[p.name]; ok && k.at == p.at {
			if of := s.owner(p.name, k.value); of != "" && s.owned[of] > each {
				s.remove(p.name)
			}
		}
	}
}

// Len is how many there are.
func (s *Shelf[T]) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// Entry is a value with its name.
type Entry[T any] struct {
	Name  string
	Value T
}

// All returns all values, what was put first first.
func (s *Shelf[T]) All() []Entry[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := make([]Entry[T], 0, len(s.all))
	for _, p := range s.order {
		if k, ok := s.all[p.name]; ok && k.at == p.at {
			entries = append(entries, Entry[T]{p.name, k.value})
		}
	}
	return entries
}

// number is the next version.
func (b *Book) number() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	return b.next - 1
}

// trim has what is too much go, and what the order has in vain. mu must be held.
func (s *Shelf[T]) trim() {
	if len(s.all) > s.limit && s.owner != nil {
		s.trimMost()
	}
	for len(s.all) > s.limit {
		p := s.order[0]
		s.order = s.order[1:]
		if k, ok := s.all[p.name]; ok && k.at == p.at {
			s.remove(p.name)
		}
	}
	if len(s.order) > 2*len(s.all)+16 {
		s.order = slices.DeleteFunc(s.order, func(p put) bool { return s.all[p.name].at != p.at })
	}
}

func (s *Shelf[T]) change() (store.Change, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.whole && len(s.dirty) == 0 {
		return store.Change{}, false
	}
	c := store.Change{Name: s.name, Kind: s.name, Version: "1", Whole: s.whole}
	if s.whole {
		for name := range s.all {
			s.dirty[name] = true
		}
	}
	for name := range s.dirty {
		k, ok := s.all[name]
		body, err := json.Marshal(k.value) // of plain structs: never fails
		switch {
		case ok && err == nil:
			c.Put = append(c.Put, store.Object{Name: name, Version: strconv.FormatUint(k.at, 10), Body: body})
		case !s.whole:
			c.Delete = append(c.Delete, name)
		}
	}
	slices.SortFunc(c.Put, func(a, b store.Object) int { return strings.Compare(a.Name, b.Name) })
	s.whole, s.dirty = false, map[string]bool{}
	return c, true
}

func (s *Shelf[T]) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all, s.order, s.dirty, s.whole = map[string]kept[T]{}, nil, map[string]bool{}, true
	clear(s.owned)
}

func (s *Shelf[T]) unwritten(c *store.Change, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole = s.whole || all || c.Whole
	for i := range c.Put {
		s.dirty[c.Put[i].Name] = true
	}
	for _, name := range c.Delete {
		s.dirty[name] = true
	}
}
