package propagation

import (
	"context"
	"sync"
	"time"
)

// targetKey names one target of one object in one place: see placeOf.
type targetKey struct {
	object objectKey
	place  string
}

// executor acts in one member, with at most targetWorkers goroutines, and none while it has
// nothing to do: hundreds of members are idle.
type executor struct {
	mu      sync.Mutex
	queue   *fair[targetKey] // guarded by mu, but for done
	workers int              // guarded by mu
	ended   bool             // guarded by mu
}

func newExecutor() *executor {
	return &executor{queue: newFair(mostTargets, func(k targetKey) string { return k.object.namespace })}
}

// add puts a target in the queue. It reports whether another worker is to be started, and
// counts that.
func (x *executor) add(key targetKey) (start bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.queue.Push(key)
	if x.workers == targetWorkers || x.queue.Len() == 0 { // those who work go on with it
		return false
	}
	x.workers++
	return true
}

// next returns what a worker is to do; false ends it.
func (x *executor) next() (targetKey, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended || x.queue.Len() == 0 {
		x.workers--
		return targetKey{}, false
	}
	return x.queue.Pop(), true
}

func (x *executor) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
}

// dispatch puts a job that is queued in the queue of its member's executor. A member that is
// gone has none: the job is lost then, and its object looked at again.
func (e *Engine) dispatch(member string, key targetKey) {
	_, there := e.Members.Get(member)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return
	}
	x := e.executors[member]
	switch {
	case !there && x == nil:
		e.loseJob(key)
		return
	case x == nil:
		x = newExecutor()
		e.executors[member] = x
	}
	if x.add(key) {
		ctx := e.runCtx
		// Ends when the queue is empty, or with the executor.
		e.wg.Go(func() { e.execute(ctx, x) })
	}
}

// loseJob has an object decided anew whose job is in no queue. e.mu is held.
func (e *Engine) loseJob(key targetKey) {
	if m := e.memories[key.object]; m != nil {
		m.lose(key.place)
	}
	e.objects.AddAfter(key.object, gather)
}

func (e *Engine) execute(ctx context.Context, x *executor) {
	for {
		key, ok := x.next()
		if !ok || ctx.Err() != nil {
			return
		}
		e.act(ctx, key)
		x.queue.done(key)
	}
}

// dispatchAfter wakes a job that waits.
func (e *Engine) dispatchAfter(m *memory, key targetKey, turn int, wait time.Duration) {
	time.AfterFunc(wait, func() {
		if member, enqueue := m.wake(key.place, turn); enqueue {
			e.dispatch(member, key)
		}
	})
}

// dropExecutor ends the executor of a member that is gone. What it had queued is decided anew.
func (e *Engine) dropExecutor(member string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.paces, member)
	delete(e.releases, member)
	x := e.executors[member]
	if x == nil {
		return
	}
	delete(e.executors, member)
	x.end()
	for key := range e.holders[member] {
		if m := e.memories[key]; m != nil {
			m.loseMember(member)
			e.objects.Add(key)
		}
	}
}
