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

// held is what is under a revision. An empty value is one, be it nil or not: whether there
// is one, only there tells.
type held struct {
	value []byte
	// there is false if the log does not have it: it was compacted.
	there bool
}

// add keeps a value that was just written or read.
func (v *values) add(revision int64, value []byte) { v.cache.Set(revision, value) }

// cached returns a value that is in memory.
func (v *values) cached(revision int64) held {
	value, there := v.cache.GetIfPresent(revision)
	return held{value, there}
}

// drop forgets values that are compacted.
func (v *values) drop(revisions []int64) {
	for _, revision := range revisions {
		v.cache.Invalidate(revision)
	}
}

// one returns a value.
func (v *values) one(ctx context.Context, revision int64) (held, error) {
	if found := v.cached(revision); found.there {
		return found, nil
	}
	all, err := v.many(ctx, []int64{revision})
	if err != nil {
		return held{}, err
	}
	return all[0], nil
}

// many returns values in the order of their revisions, each of which is named once.
func (v *values) many(ctx context.Context, revisions []int64) ([]held, error) {
	found := make([]held, len(revisions))
	var missing []int64
	at := map[int64]int{}
	for i, revision := range revisions {
		if found[i] = v.cached(revision); !found[i].there {
			missing = append(missing, revision)
			at[revision] = i
		}
	}
	err := v.log.Values(ctx, missing, func(revision int64, value []byte) {
		found[at[revision]] = held{value, true}
		v.add(revision, value)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}
