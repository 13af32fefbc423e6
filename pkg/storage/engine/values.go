package engine

import (
	"context"

	"github.com/maypok86/otter/v2"
)

// entryBytes is what an entry of the cache takes beside its value.
const entryBytes = 128

// values are the values by revision: recent and often used ones in memory, the rest in the
// log. A value never changes, so nothing here can be out of date.
type values struct {
	log   Log
	cache *otter.Cache[int64, []byte]
}

func newValues(log Log, limitBytes int) *values {
	return &values{log: log, cache: otter.Must(&otter.Options[int64, []byte]{
		MaximumWeight: uint64(limitBytes),
		Weigher:       func(_ int64, value []byte) uint32 { return uint32(len(value) + entryBytes) },
	})}
}

// add keeps a value that was just written or read.
func (v *values) add(revision int64, value []byte) { v.cache.Set(revision, value) }

// drop forgets values that are compacted.
func (v *values) drop(revisions []int64) {
	for _, revision := range revisions {
		v.cache.Invalidate(revision)
	}
}

// one returns a value; false means that it is not in the log: it was compacted.
func (v *values) one(ctx context.Context, revision int64) ([]byte, bool, error) {
	if value, found := v.cache.GetIfPresent(revision); found {
		return value, true, nil
	}
	all, err := v.many(ctx, []int64{revision})
	if err != nil {
		return nil, false, err
	}
	return all[0], all[0] != nil, nil
}

// many returns values in the order of their revisions. One that is not in the log, because
// it was compacted, is nil; an empty one is not.
func (v *values) many(ctx context.Context, revisions []int64) ([][]byte, error) {
	found := make([][]byte, len(revisions))
	var missing []int64
	at := map[int64]int{}
	for i, revision := range revisions {
		value, cached := v.cache.GetIfPresent(revision)
		if cached {
			found[i] = value
			continue
		}
		missing = append(missing, revision)
		at[revision] = i
	}
	err := v.log.Values(ctx, missing, func(revision int64, value []byte) {
		if value == nil {
			value = []byte{}
		}
		found[at[revision]] = value
		v.add(revision, value)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}
