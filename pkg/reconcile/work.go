package reconcile

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// firstTold is the failure of an item in a row that is logged first. Races with other writers, and caches that are
// behind, cure themselves before that.
const firstTold = 4

// oftenTold is how many failures there are at most between two that are logged. Where an item is tried once a minute in the
// end, that is an hour: what lasts is in every log of a few hours.
const oftenTold = 64

// ErrNotYet is wrapped by errors that say that something is but a matter of time, as where a cache has not
// filled. They are never logged.
var ErrNotYet = errors.New("not yet")

// NewQueue makes a queue that holds each item once, so that its bound is the number of those that there are. One
// that has failed waits for minRetry, and then longer and longer, up to maxRetry. The name is that in metrics.
func NewQueue[T comparable](name string, minRetry, maxRetry time.Duration) workqueue.TypedRateLimitingInterface[T] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[T](minRetry, maxRetry),
		workqueue.TypedRateLimitingQueueConfig[T]{Name: name})
}

// Work is what is done with the items of a queue. None is worked on twice at once.
type Work[T comparable] struct {
	Queue workqueue.TypedRateLimitingInterface[T]
	// Do puts right what an item stands for. For another look although nothing has failed, it adds the item to
	// the queue.
	Do func(ctx context.Context, item T) error
	// Timeout bounds one call of Do; 0: it bounds itself.
	Timeout time.Duration
	// Failed is the message of the log when an item fails for the fourth time in a row, the eighth, the sixteenth, the
	// thirty-second, and each sixty-fourth.
	Failed string
}

// Run has workers work until ctx ends, and returns when all of them have ended. What is in the queue then is left.
func (w Work[T]) Run(ctx context.Context, workers int) {
	var working sync.WaitGroup
	for range workers {
		working.Go(func() { // ends when the queue is shut down
			for w.Next(ctx) {
			}
		})
	}
	<-ctx.Done()
	w.Queue.ShutDown()
	working.Wait()
}

// Next works on the next item, which it waits for. It returns false when there is nothing more to do: ctx has
// ended, or the queue is shut down.
func (w Work[T]) Next(ctx context.Context) bool {
	item, shutdown := w.Queue.Get()
	if shutdown {
		return false
	}
	defer w.Queue.Done(item)
	if ctx.Err() != nil {
		return false
	}
	err := w.try(ctx, item)
	switch {
	case err == nil:
		w.Queue.Forget(item)
	case ctx.Err() != nil: // nobody's failure
	default:
		if isTold(w.Queue.NumRequeues(item)+1) && !errors.Is(err, ErrNotYet) {
			klog.FromContext(ctx).Error(err, w.Failed, "item", item)
		}
		w.Queue.AddRateLimited(item)
	}
	return true
}

func isTold(failures int) bool {
	return failures >= firstTold && failures&(failures-1) == 0 || failures%oftenTold == 0
}

func (w Work[T]) try(ctx context.Context, item T) error {
	if w.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.Timeout)
		defer cancel()
	}
	return w.Do(ctx, item)
}
