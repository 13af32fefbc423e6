package computed

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/storage"

	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/objectstore"
)

const (
	// startTimeout bounds what the store is asked before a watch begins.
	startTimeout = 10 * time.Second
	// idle is how long the store is followed after the last watch: clients come back.
	idle = time.Minute
)

// follows has one follower of the store, while there are watches.
type follows[T objectstore.Object] struct {
	rest *REST[T]

	mu sync.Mutex // guards what follows
	// noted are the kinds that objects were computed of last; known says that there is such a time.
	noted []federated.Kind
	known bool
	// floor is where other kinds were noted: what was listed before is not continued from there.
	floor int64
	// follower is nil, or has ended, if nobody watches.
	follower *follower[T]
	closed   bool
	running  sync.WaitGroup
}

// note returns the kinds that objects are computed of now. If they are others than last time, what
// clients have is of the others, and so watches end: there is no event for a kind that comes or goes.
func (f *follows[T]) note(ctx context.Context) ([]federated.Kind, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.noteLocked(ctx)
}

func (f *follows[T]) noteLocked(ctx context.Context) ([]federated.Kind, error) {
	kinds := f.rest.kinds(ctx)
	if f.rest.view.Log == nil || f.known && slices.Equal(kinds, f.noted) {
		return kinds, nil
	}
	if f.known {
		ctx, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		revision, err := f.rest.view.Log.Revision(ctx)
		if err != nil {
			return nil, unanswered(err)
		}
		f.floor = revision
		if f.follower != nil {
			f.follower.end(errOtherKinds)
		}
	}
	f.noted, f.known = kinds, true
	return kinds, nil
}

var errOtherKinds = apierrors.NewResourceExpired("other kinds of federated objects are served now: list again")

// join returns a follower that has everything after a revision. The caller must leave it.
func (f *follows[T]) join(ctx context.Context, after int64) (*follower[T], error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	f.mu.Lock()
	defer f.mu.Unlock()
	kinds, err := f.noteLocked(ctx)
	if err != nil {
		return nil, err
	}
	if f.closed {
		return nil, apierrors.NewServiceUnavailable("the server is shutting down")
	}
	if after < f.floor {
		return nil, tooOld(after, f.floor)
	}
	followed := f.follower != nil && !f.follower.hasEnded()
	if !followed || after > f.follower.upTo() { // or a watch would wait until the store is as far
		if err := f.rest.view.isThere(ctx, after); err != nil {
			return nil, err
		}
	}
	if !followed {
		if f.follower, err = f.start(ctx, kinds, after); err != nil {
			return nil, err
		}
	}
	if oldest := f.follower.join(); after < oldest {
		f.follower.leave()
		return nil, tooOld(after, oldest)
	}
	return f.follower, nil
}

// start begins to follow the store after a revision.
func (f *follows[T]) start(ctx context.Context, kinds []federated.Kind, after int64) (*follower[T], error) {
	made, err := newFollower(ctx, f.rest, kinds, after)
	if err != nil {
		return nil, unanswered(err)
	}
	following, cancel := context.WithCancel(context.Background())
	made.cancel = cancel
	f.running.Go(func() { made.run(following) }) // ends with close, or a while after the last watch
	return made, nil
}

// isThere refuses a revision that the store has not reached.
func (v View) isThere(ctx context.Context, revision int64) error {
	current, err := v.Log.Revision(ctx)
	if err != nil {
		return unanswered(err)
	}
	if revision > current {
		return storage.NewTooLargeResourceVersionError(uint64(revision), uint64(current), 1)
	}
	return nil
}

// close ends all watches, and returns once nothing goes on.
func (f *follows[T]) close() {
	f.mu.Lock()
	f.closed = true
	if f.follower != nil {
		f.follower.end(apierrors.NewServiceUnavailable("the server is shutting down"))
	}
	f.mu.Unlock()
	f.running.Wait()
}

// tooOld is the answer to who begins before what is known. Clients list again.
func tooOld(after, oldest int64) error {
	return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", after, oldest))
}

// unanswered is the error of a request for which the store was asked.
func unanswered(err error) error {
	if apierrors.IsResourceExpired(err) {
		return err
	}
	return apierrors.NewServiceUnavailable(fmt.Sprintf("the store does not say what happened: %v", err))
}
