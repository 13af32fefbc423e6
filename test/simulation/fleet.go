package simulation

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Options say what members there are and what they are like.
type Options struct {
	// Members is how many. Default: 1.
	Members int
	// Seed is what tokens, UIDs and faults are drawn from.
	Seed int64
	// Name of member n; the first one is 1. Default: m1, m2, …
	Name func(n int) string
	// Types that they serve. Default: BuiltIn.
	Types []Type
	// History is how many changes of each type watches can look back, or up to twice as
	// many. Default: 1000.
	History int
	// Bookmarks is the time between bookmarks of a watch. Default: one minute.
	Bookmarks time.Duration
	// Now is the time in objects. Default: the machine's.
	Now func() time.Time
	// Admit may change what is written. May be nil.
	Admit Admission
	// ManagedFields has members keep managedFields, refuse conflicts, and apply as API servers
	// do, by the schemas of the built-in types. It costs time and memory.
	ManagedFields bool
	// OnChange is told of every change, in the order of the member's versions. It must be
	// quick, and not call the member. May be nil.
	OnChange func(Event)
}

func (o *Options) setDefaults() {
	if o.Members == 0 {
		o.Members = 1
	}
	if o.Name == nil {
		o.Name = func(n int) string { return fmt.Sprintf("m%d", n) }
	}
	if o.Types == nil {
		o.Types = BuiltIn()
	}
	if o.History == 0 {
		o.History = 1000
	}
	if o.Bookmarks == 0 {
		o.Bookmarks = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Fleet is members that listen on loopback.
type Fleet struct {
	options Options
	members []*Member
	wg      sync.WaitGroup
}

// Start starts members. The process needs two file descriptors for each, and more for
// connections.
func Start(options Options) (*Fleet, error) {
	options.setDefaults()
	f := &Fleet{options: options}
	return f, f.Grow(options.Members)
}

// Grow starts n more members. It is not for concurrent use with other methods of the fleet.
func (f *Fleet) Grow(n int) error {
	for range n {
		number := len(f.members) + 1
		m := NewMember(f.options.Name(number), number, f.options)
		if err := m.listen(&f.wg); err != nil {
			return errors.Join(fmt.Errorf("start member %s: %w", m.name, err), f.Close())
		}
		f.members = append(f.members, m)
	}
	return nil
}

// Members in the order of their numbers.
func (f *Fleet) Members() []*Member { return f.members }

// Member returns a member by its name, nil if there is none.
func (f *Fleet) Member(name string) *Member {
	for _, m := range f.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// Close ends all members, their connections included.
func (f *Fleet) Close() error {
	var errs []error
	for _, m := range f.members {
		errs = append(errs, m.server.close())
	}
	f.wg.Wait()
	return errors.Join(errs...)
}
