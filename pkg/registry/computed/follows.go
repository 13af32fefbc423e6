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
	// starting has what is sent to it by the one who makes a follower.
	starting chan struct{}

	mu sync.Mutex // guards what follows. Every list takes it: the store is not asked while it is held.
	// noted are the kinds that objects were computed of last; known says that there is such a time.
	noted []federated.Kind
	known bool
	// floor is where other kinds were noted: what was listed before is not continued from there.
	floor int64
	// follower is nil, or has ended, if nobody watches. It is of the noted kinds.
	follower *follower[T]
	closed   bool
	running  sync.WaitGroup
}

// note returns the kinds that objects are computed of now. If they are others than last time, what
// clients have is of the others, and so watches end: there is no event for a kind that comes or goes.
func (f *follows[T]) note(ctx context.Context) ([]federated.Kind, error) {
	kinds := f.rest.kinds(ctx)
	if f.rest.view.Log == nil || f.areNoted(kinds) {
		return kinds, nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	revision, err := f.rest.view.Log.Revision(ctx)
	if err != nil {
		return nil, unanswered(err)
	}
	f.setNoted(kinds, revision)
	return kinds, nil
}

// areNoted reports whether kinds are those that were noted. The first that there are have nothing before them, and are noted.
func (f *follows[T]) areNoted(kinds []federated.Kind) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.known {
		f.noted, f.known = kinds, true
	}
	return slices.Equal(kinds, f.noted)
}

// setNoted notes kinds at a revision that the store had when they were there.
func (f *follows[T]) setNoted(kinds []federated.Kind, revision int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Equal(kinds, f.noted) {
		return // by somebody else
	}
	f.noted, f.floor = kinds, max(f.floor, revision)
	if f.follower != nil {
		f.follower.end(errOtherKinds)
	}
}

var (
	errOtherKinds   = apierrors.NewResourceExpired("other kinds of federated objects are served now: list again")
	errShuttingDown = apierrors.NewServiceUnavailable("the server is shutting down")
)

// join returns a follower that has everything after a revision. The caller must leave it.
func (f *follows[T]) join(ctx context.Context, after int64) (*follower[T], error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if after > f.upTo() { // or a watch would wait until the store is as far
		if err := f.rest.view.isThere(ctx, after); err != nil {
			return nil, err
		}
	}
	for {
		kinds, err := f.note(ctx)
		if err != nil {
			return nil, err
		}
		if joined, err := f.joinRunning(kinds, after); joined != nil || err != nil {
			return joined, err
		}
		if joined, err := f.start(ctx, kinds, after); joined != nil || err != nil {
			return joined, err
		}
	}
}

// upTo returns the revision up to which the store is followed.
func (f *follows[T]) upTo() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.isRunning() {
		return 0
	}
	return f.follower.upTo()
}

func (f *follows[T]) isRunning() bool { return f.follower != nil && !f.follower.hasEnded() }

// joinRunning returns the follower of kinds, nil if there is none.
func (f *follows[T]) joinRunning(kinds []federated.Kind, after int64) (*follower[T], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, errShuttingDown
	case after < f.floor:
		return nil, tooOld(after, f.floor)
	case !f.isRunning(), !slices.Equal(kinds, f.noted):
		return nil, nil
	}
	return f.joinLocked(after)
}

func (f *follows[T]) joinLocked(after int64) (*follower[T], error) {
	if after < f.floor {
		return nil, tooOld(after, f.floor)
	}
	if oldest := f.follower.join(); after < oldest {
		f.follower.leave()
		return nil, tooOld(after, oldest)
	}
	return f.follower, nil
}

// start begins to follow the store after a revision, for one caller at a time. It returns nil to the others, and if
// other kinds are noted meanwhile.
func (f *follows[T]) start(ctx context.Context, kinds []federated.Kind, after int64) (*follower[T], error) {
	select {
	case f.starting <- struct{}{}:
		defer func() { <-f.starting }()
	case <-ctx.Done():
		return nil, unanswered(ctx.Err())
	}
	if joined, err := f.joinRunning(kinds, after); joined != nil || err != nil {
		return joined, err // somebody else has started it
	}
	made, err := newFollower(ctx, f.rest, kinds, after)
	if err != nil {
		return nil, unanswered(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, errShuttingDown
	case after < f.floor: // before anything runs that nobody would leave
		return nil, tooOld(after, f.floor)
	case !slices.Equal(kinds, f.noted):
		return nil, nil
	}
	following, cancel := context.WithCancel(context.Background())
	made.cancel = cancel
	f.follower = made
	f.running.Go(func() { made.run(following) }) // ends with close, or a while after the last watch
	return f.joinLocked(after)
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
		f.follower.end(errShuttingDown)
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
