package engine

import (
	"context"

	"github.com/k3s-io/kine/pkg/server"

	"github.com/koinon-io/koinon/pkg/storage/fault"
	"github.com/koinon-io/koinon/pkg/storage/mvcc"
)

// readAttempts bounds how often a read at the current revision begins anew because what it
// found was compacted before it had the values.
const readAttempts = 5

// toEnd is the end of a range that has none.
const toEnd = "\x00"

// readable makes sure that a revision can be read; 0 means what is acknowledged now.
func (e *Engine) readable(ctx context.Context, revision int64) error {
	if revision == 0 {
		return e.sync.wait(ctx)
	}
	if e.lostSince.Load() != 0 {
		return e.health.cannotRead(errLost) // the log may have other values at the same revisions
	}
	if revision > e.state.index().Revision() {
		if err := e.sync.wait(ctx); err != nil {
			return err
		}
		if revision > e.state.index().Revision() {
			return server.ErrFutureRev
		}
	}
	return e.notCompacted(revision)
}

func (e *Engine) notCompacted(revision int64) error {
	if revision != 0 && revision < e.state.index().Compacted() {
		return server.ErrCompacted
	}
	return nil
}

// Get implements server.Backend.
func (e *Engine) Get(ctx context.Context, key string, revision int64, keysOnly bool) (int64, *server.KeyValue, error) {
	for range readAttempts {
		if err := e.readable(ctx, revision); err != nil {
			return e.state.index().Revision(), nil, err
		}
		version, current := e.state.index().Get(key, revision)
		if version == nil {
			return current, nil, e.notCompacted(revision)
		}
		if keysOnly {
			return current, keyValue(version, nil), e.notCompacted(revision)
		}
		found, err := e.values.one(ctx, version.Revision)
		if err != nil {
			return 0, nil, e.health.cannotRead(err)
		}
		if found.there {
			return current, keyValue(version, found.value), nil
		}
		if err := e.overtaken(ctx); err != nil {
			return 0, nil, err
		}
	}
	return 0, nil, e.unreadable(revision)
}

// overtaken learns of the compaction that has taken a value away.
func (e *Engine) overtaken(ctx context.Context) error { return e.sync.wait(ctx) }

// errMissing is a log without values that no compaction has taken away.
var errMissing error = fault.New("", fault.Fault{Kind: fault.Damaged, Reason: "it does not return values that it has", Remedy: "see who else writes to its tables, or restore it from a backup"}, nil)

// unreadable is what became of a read at a revision whose values were never there. Who is told
// that they are compacted reads at a later revision, and would not find them there either.
func (e *Engine) unreadable(revision int64) error {
	if err := e.notCompacted(revision); err != nil {
		return err
	}
	return e.health.cannotRead(errMissing)
}

// List implements server.Backend.
func (e *Engine) List(ctx context.Context, key, end string, limit, revision int64, keysOnly bool) (int64, []*server.KeyValue, error) {
	if end == toEnd {
		end = ""
	}
	for range readAttempts {
		if err := e.readable(ctx, revision); err != nil {
			return e.state.index().Revision(), nil, err
		}
		page := e.state.index().Range(key, end, limit, revision)
		kvs, complete, err := e.keyValues(ctx, page.Versions, keysOnly)
		if err != nil {
			return 0, nil, err
		}
		if complete {
			return page.Revision, kvs, e.notCompacted(revision)
		}
		if err := e.overtaken(ctx); err != nil {
			return 0, nil, err
		}
	}
	return 0, nil, e.unreadable(revision)
}

// keyValues adds values to versions. It is not complete if one was compacted.
func (e *Engine) keyValues(ctx context.Context, versions []*mvcc.Version, keysOnly bool) ([]*server.KeyValue, bool, error) {
	kvs := make([]*server.KeyValue, len(versions))
	if keysOnly {
		for i, version := range versions {
			kvs[i] = keyValue(version, nil)
		}
		return kvs, true, nil
	}
	revisions := make([]int64, len(versions))
	for i, version := range versions {
		revisions[i] = version.Revision
	}
	values, err := e.values.many(ctx, revisions)
	if err != nil {
		return nil, false, e.health.cannotRead(err)
	}
	for i, version := range versions {
		if !values[i].there {
			return nil, false, nil
		}
		kvs[i] = keyValue(version, values[i].value)
	}
	return kvs, true, nil
}

// ListStream implements server.Backend.
func (e *Engine) ListStream(ctx context.Context, key, end string, limit, revision int64, keysOnly bool) server.ListResult {
	current, kvs, err := e.List(ctx, key, end, limit, revision, keysOnly)
	result, failed := make(chan *server.KeyValue), make(chan error, 1)
	go func() { // it ends with the request
		defer close(failed)
		defer close(result)
		if err != nil {
			failed <- err
			return
		}
		for _, kv := range kvs {
			select {
			case result <- kv:
			case <-ctx.Done():
				failed <- ctx.Err()
				return
			}
		}
	}()
	return server.ListResult{CurrentRevision: current, KVc: result, Errorc: failed}
}

// Count implements server.Backend.
func (e *Engine) Count(ctx context.Context, key, end string, revision int64) (int64, int64, error) {
	if end == toEnd {
		end = ""
	}
	if err := e.readable(ctx, revision); err != nil {
		return e.state.index().Revision(), 0, err
	}
	page := e.state.index().Range(key, end, -1, revision)
	return page.Revision, page.Count, e.notCompacted(revision)
}
