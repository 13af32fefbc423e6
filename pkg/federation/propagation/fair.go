package propagation

import (
	"slices"
	"sync"

	"k8s.io/client-go/util/workqueue"
)

// fair is a queue in which namespaces take turns, and in which one namespace has no more than a
// number of items in work at a time: one with a million items delays the next item of another by
// one, and one whose items take for ever leaves workers to the others. It holds what is pushed,
// twice if it is pushed twice. Whoever pops an item says when it is done. It may be used
// concurrently.
//
// What is over the limit comes to the front by a done, whoever calls that has to look for more
// then: nobody else is told.
type fair[T any] struct {
	group func(T) string
	// limit of items of one group that are in work.
	limit int

	mu     sync.Mutex // guards what follows
	groups map[string][]T
	// turns are the groups with items that are below the limit, the next one first.
	turns []string
	// working counts items in work, by group.
	working map[string]int
	items   int
}

func newFair[T any](limit int, group func(T) string) *fair[T] {
	return &fair[T]{group: group, limit: limit, groups: map[string][]T{}, working: map[string]int{}}
}

var _ workqueue.Queue[objectKey] = &fair[objectKey]{}

// Touch is called for an item that is in the queue already: it keeps its place.
func (f *fair[T]) Touch(T) {}

// Push puts an item at the end of its group.
func (f *fair[T]) Push(item T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	group := f.group(item)
	f.groups[group] = append(f.groups[group], item)
	f.items++
	if len(f.groups[group]) == 1 && f.working[group] < f.limit {
		f.turns = append(f.turns, group)
	}
}

// Len returns how many items there are; 0 if none of them can be popped now.
func (f *fair[T]) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.turns) == 0 {
		return 0
	}
	return f.items
}

// Pop takes the first item of the group whose turn it is. Len must have said that there is one.
func (f *fair[T]) Pop() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	group := f.turns[0]
	f.turns = slices.Delete(f.turns, 0, 1)
	items := f.groups[group]
	item := items[0]
	var none T
	items[0] = none // the array may live on for long
	if items = items[1:]; len(items) == 0 {
		delete(f.groups, group)
	} else {
		f.groups[group] = items
	}
	f.items--
	if f.working[group]++; len(items) > 0 && f.working[group] < f.limit {
		f.turns = append(f.turns, group)
	}
	return item
}

// done says that an item that was popped is not in work any more.
func (f *fair[T]) done(item T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	group := f.group(item)
	waits := f.working[group] == f.limit && len(f.groups[group]) > 0
	if f.working[group]--; f.working[group] == 0 {
		delete(f.working, group)
	}
	if waits {
		f.turns = append(f.turns, group)
	}
}

// objectQueue tells its turns when an object is done.
type objectQueue struct {
	workqueue.TypedRateLimitingInterface[objectKey]
	turns *fair[objectKey]
}

// Done implements workqueue.TypedInterface. Its caller gets the next object itself: see fair.
func (q *objectQueue) Done(key objectKey) {
	q.turns.done(key)
	q.TypedRateLimitingInterface.Done(key)
}
