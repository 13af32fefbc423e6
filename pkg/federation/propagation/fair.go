package propagation

import (
	"slices"

	"k8s.io/client-go/util/workqueue"
)

// fair is a queue in which namespaces take turns: one with a million items delays the next
// item of another by one. It holds what is pushed, twice if it is pushed twice. It is not
// safe for concurrent use.
type fair[T any] struct {
	group  func(T) string
	groups map[string][]T
	// turns are the groups with items, the next one first.
	turns []string
	items int
}

func newFair[T any](group func(T) string) *fair[T] {
	return &fair[T]{group: group, groups: map[string][]T{}}
}

var _ workqueue.Queue[objectKey] = &fair[objectKey]{}

// Touch is called for an item that is in the queue already: it keeps its place.
func (f *fair[T]) Touch(T) {}

// Push puts an item at the end of its group.
func (f *fair[T]) Push(item T) {
	group := f.group(item)
	if len(f.groups[group]) == 0 {
		f.turns = append(f.turns, group)
	}
	f.groups[group] = append(f.groups[group], item)
	f.items++
}

// Len returns how many items there are.
func (f *fair[T]) Len() int { return f.items }

// Pop takes the first item of the group whose turn it is. There must be one.
func (f *fair[T]) Pop() T {
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
		f.turns = append(f.turns, group)
	}
	f.items--
	return item
}
