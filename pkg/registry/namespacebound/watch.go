package namespacebound

import (
	"sync"

	"k8s.io/apimachinery/pkg/watch"
)

// filtered is a watch that leaves events out. Unlike watch.Filter of the library it ends when
// it is stopped, whether somebody still reads it or not.
type filtered struct {
	inner  watch.Interface
	keep   func(watch.Event) (watch.Event, bool)
	result chan watch.Event
	stop   func() // may be called again
	done   chan struct{}
}

func newFiltered(inner watch.Interface, keep func(watch.Event) (watch.Event, bool)) watch.Interface {
	f := &filtered{inner: inner, keep: keep, result: make(chan watch.Event), done: make(chan struct{})}
	f.stop = sync.OnceFunc(func() {
		close(f.done)
		inner.Stop()
	})
	go f.run() // ends with the inner watch, which stop ends
	return f
}

// ResultChan implements watch.Interface.
func (f *filtered) ResultChan() <-chan watch.Event { return f.result }

// Stop implements watch.Interface.
func (f *filtered) Stop() { f.stop() }

func (f *filtered) run() {
	defer close(f.result)
	for event := range f.inner.ResultChan() {
		event, kept := f.keep(event)
		if !kept {
			continue
		}
		select {
		case f.result <- event:
		case <-f.done:
			return
		}
		if event.Type == watch.Error {
			f.stop()
			return
		}
	}
}
