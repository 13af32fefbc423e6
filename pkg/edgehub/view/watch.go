package view

import (
	"context"
	"maps"
	"slices"
)

// Watcher follows a view. It is used by one goroutine at a time.
type Watcher struct {
	view *View
	// next is how many events there were before the one that comes next. expired and lists are what the view's were when it was looked last.
	next, expired, lists int
	// version is what the watcher has come to.
	version uint64
	// first comes before all events.
	first []Event
}

// Watch returns a watcher of what comes behind a resourceVersion. One ahead of the view's is waited for. Errors are ErrUnknown and ErrExpired.
func (v *View) Watch(from uint64) (*Watcher, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case !v.complete:
		return nil, ErrUnknown
	case from < v.since || v.misses(from, 0):
		return nil, ErrExpired
	}
	w := &Watcher{view: v, next: v.first + len(v.events), expired: v.expired, lists: v.lists, version: from}
	if v.lost && from == v.version {
		w.first = v.seenAnew()
		return w, nil
	}
	for i, e := range slices.Backward(v.events) {
		if e.gap.has(from) {
			return nil, ErrExpired
		}
		if e.Version > from || e.isAgain() && e.Version == from {
			w.next = v.first + i
		}
	}
	return w, nil
}

// seenAnew are events that have whoever is at the view's version come to what is seen otherwise at it. mu must be held.
func (v *View) seenAnew() (events []Event) {
	for _, name := range slices.Sorted(maps.Keys(v.anew)) {
		o := v.objects[name]
		switch twice := v.anew[name]; {
		case o == nil: // it is gone by an event that comes behind
		case twice:
			events = append(events, Event{Type: Deleted, Object: o, Before: o, Version: v.version, anew: true}, Event{Type: Added, Object: o, Version: v.version, anew: true})
		default:
			events = append(events, Event{Type: Modified, Object: o, Before: o, Version: v.version, anew: true})
		}
	}
	return events
}

// Next returns the events that have come, at least one, or a Bookmark if the view has only come further. It waits until there is something, or ctx
// ends. Errors are ErrExpired and that of ctx.
func (w *Watcher) Next(ctx context.Context) ([]Event, error) {
	for {
		events, moved, err := w.now()
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-moved:
		}
	}
}

// Version is what the watcher has come to.
func (w *Watcher) Version() uint64 { return w.version }

// now returns what has come, and what is closed when there is more.
func (w *Watcher) now() (events []Event, moved <-chan struct{}, err error) {
	v := w.view
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.expired != w.expired || w.next < v.first {
		return nil, nil, ErrExpired
	}
	if v.lists != w.lists && (w.version > v.listed || v.misses(w.version, w.lists)) { // of an API server that was set back since, which a hub that was killed did not see
		return nil, nil, ErrExpired
	}
	w.lists = v.lists
	if events = w.first; events != nil {
		w.first = nil
		return events, v.moved, nil
	}
	began := w.version
	for _, e := range v.events[w.next-v.first:] {
		if e.gap.has(began) {
			return nil, nil, ErrExpired
		}
		if e.Version > w.version || e.isAgain() && e.Version == w.version { // else the watcher was ahead
			events = append(events, e)
			w.version = e.Version
		}
	}
	w.next = v.first + len(v.events)
	if len(events) == 0 && v.version > w.version {
		events = []Event{{Type: Bookmark, Version: v.version}}
		w.version = v.version
	}
	return events, v.moved, nil
}
