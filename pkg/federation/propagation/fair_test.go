package propagation

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOneNamespaceLeavesWorkersToOthers(t *testing.T) {
	queue := newFair(2, func(k objectKey) string { return k.namespace })
	pop := func() string {
		if queue.Len() == 0 {
			return "nothing"
		}
		k := queue.Pop()
		return k.namespace + "/" + k.name
	}
	for i := range 4 {
		queue.Push(objectKey{namespace: "rival", name: fmt.Sprint(i)})
	}
	got := []string{pop(), pop(), pop()}
	queue.Push(objectKey{namespace: "shop", name: "0"})
	got = append(got, pop(), pop())
	queue.done(objectKey{namespace: "rival", name: "0"})
	got = append(got, pop(), pop())
	queue.done(objectKey{namespace: "rival", name: "1"})
	queue.done(objectKey{namespace: "rival", name: "2"})
	queue.done(objectKey{namespace: "shop", name: "0"})
	got = append(got, pop(), pop())
	want := []string{"rival/0", "rival/1", "nothing", "shop/0", "nothing", "rival/2", "nothing", "rival/3", "nothing"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	queue.done(objectKey{namespace: "rival", name: "3"})
	if len(queue.working)+len(queue.groups)+len(queue.turns)+queue.items != 0 {
		t.Errorf("something is left of an empty queue: %+v", queue)
	}
}

// Objects of one namespace that take for ever leave workers to the others: here nobody is ever done
// but the last.
func TestObjectsOfOneNamespaceDoNotTakeAllWorkers(t *testing.T) {
	queue := newObjectQueue()
	defer queue.ShutDown()
	for i := range 2 * objectWorkers {
		queue.Add(objectKey{"configmaps", "rival", fmt.Sprint(i)})
	}
	var inWork []objectKey
	for range mostObjects {
		key, _ := queue.Get()
		inWork = append(inWork, key)
	}
	queue.Add(objectKey{"configmaps", "shop", "settings"})
	if key, _ := queue.Get(); key.namespace != "shop" {
		t.Errorf("got %v, want that of the other namespace", key)
	}
	queue.Done(inWork[0])
	if key, _ := queue.Get(); key.namespace != "rival" {
		t.Errorf("got %v, want the next one of the first namespace", key)
	}
}
