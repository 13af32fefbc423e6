package propagation

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// scope is the objects whose targets may have changed: all that are placed in whole clusters,
// or those of a namespace, which is empty for those of none.
type scope struct {
	clusters  bool
	namespace string
}

// gap is how long changes of the scope are gathered: a thousand cells, or clusters, that come
// are a few changes.
func (s scope) gap() time.Duration {
	if s.clusters {
		return gatherClusters
	}
	return gatherNamespace
}

func newScopeQueue() workqueue.TypedRateLimitingInterface[scope] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(newSpaced(scope.gap),
		workqueue.TypedRateLimitingQueueConfig[scope]{Name: "federated-scopes"})
}

// syncScope has the objects of a scope looked at again.
func (e *Engine) syncScope(_ context.Context, s scope) error {
	for _, k := range e.runningKinds() {
		if s.clusters {
			k.enqueueOf(e, v1beta2.TopologyCluster)
		} else {
			k.enqueueNamespace(e, s.namespace)
		}
	}
	return nil
}

// spaced lets an item through at once, and then none of that name until its gap is over.
type spaced[T comparable] struct {
	gap func(T) time.Duration
	now func() time.Time

	mu    sync.Mutex
	next  map[T]time.Time // when the item may go again; guarded by mu, and so is swept
	swept time.Time
}

var _ workqueue.TypedRateLimiter[scope] = &spaced[scope]{}

func newSpaced[T comparable](gap func(T) time.Duration) *spaced[T] {
	return &spaced[T]{gap: gap, now: time.Now, next: map[T]time.Time{}}
}

// sweepEvery is how often items are forgotten whose gap is over.
const sweepEvery = 10 * time.Second

// When returns how long the item waits. Those that wait already are one.
func (s *spaced[T]) When(item T) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.swept) > sweepEvery {
		s.swept = now
		for other, next := range s.next {
			if !next.After(now) {
				delete(s.next, other)
			}
		}
	}
	if next := s.next[item]; next.After(now) {
		return next.Sub(now)
	}
	s.next[item] = now.Add(s.gap(item))
	return 0
}

// Forget does nothing: what went well has a gap too.
func (s *spaced[T]) Forget(T) {}

// NumRequeues is always 0: nothing fails here.
func (s *spaced[T]) NumRequeues(T) int { return 0 }
