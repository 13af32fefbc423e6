package mvcc

import (
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"
)

// Version is a key as a revision left it. Nothing in it changes.
type Version struct {
	Key string
	// Revision is the revision that made this version, Created the one that created the
	// key, Number how many versions the key has had since, this one included.
	Revision, Created, Number int64
	// Lease is the lifetime that was asked for, in seconds; 0 means forever.
	Lease int64
	// Deleted marks the end of a key: it is not there from Revision on.
	Deleted bool

	// older is the version before, and jump one further back. Both are cut when older is
	// compacted; what newer versions jump to may be compacted then, and is not used.
	older, jump atomic.Pointer[Version]
	// depth is the number of versions that were there before, those that are compacted too.
	depth int64
}

// follow makes a version the one after another. With the jumps, versions are a skew-binary
// list (E. W. Myers, "An applicative random-access stack", 1983): a search takes a logarithmic
// number of steps, and what is there never changes for those who search meanwhile.
func (v *Version) follow(old *Version) {
	v.depth = old.depth + 1
	v.older.Store(old)
	near := old.jumpOrSelf()
	far := near.jumpOrSelf()
	if old.depth-near.depth == near.depth-far.depth {
		v.jump.Store(far)
	} else {
		v.jump.Store(old)
	}
}

func (v *Version) jumpOrSelf() *Version {
	if jump := v.jump.Load(); jump != nil {
		return jump
	}
	return v
}

// cut ends the list at a version.
func (v *Version) cut() {
	v.older.Store(nil)
	v.jump.Store(nil)
}

// at returns the version that held at a revision, nil if the key was not there. It needs no
// lock: at or after the compacted revision nothing is cut that it comes to.
func (v *Version) at(revision int64) *Version {
	for v != nil && v.Revision > revision {
		v = v.before(revision)
	}
	if v == nil || v.Deleted {
		return nil
	}
	return v
}

// before is one step from a version that is later than a revision towards the one that held.
func (v *Version) before(revision int64) *Version {
	if jump := v.jump.Load(); jump != nil && jump.Revision > revision {
		return jump
	}
	return v.older.Load()
}

// superseded says that a version is of no use to readers at or after a revision.
type superseded struct {
	revision int64
	// old is replaced by successor; a deletion is replaced by nothing, and both are the same.
	old, successor *Version
}

// Index is the state. Make one with New.
type Index struct {
	mu sync.RWMutex
	// The rest is guarded by mu. keys has the newest version of each key, deletions too
	// until they are compacted; live counts the others.
	keys     *btree.BTreeG[*Version]
	live     int
	history  []superseded
	revision int64
	compact  int64
}

// New returns an index without keys, at a revision.
func New(revision, compact int64) *Index {
	less := func(a, b *Version) bool { return a.Key < b.Key }
	return &Index{
		keys:     btree.NewBTreeGOptions(less, btree.Options{NoLocks: true}),
		revision: revision,
		compact:  compact,
	}
}

// Revision is the one that the last Apply or Advance brought.
func (x *Index) Revision() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.revision
}

// Compacted is the revision below which versions may be gone.
func (x *Index) Compacted() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.compact
}

// Len is the number of keys.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.live
}

// Apply adds versions, in the order of their revisions, which are above all before. It
// returns what each replaced: nil where the key was not there.
func (x *Index) Apply(versions []*Version) []*Version {
	replaced := make([]*Version, len(versions))
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, version := range versions {
		replaced[i] = x.apply(version)
	}
	return replaced
}

func (x *Index) apply(version *Version) *Version {
	old, found := x.keys.Set(version)
	x.revision = version.Revision
	if found {
		version.follow(old)
		x.history = append(x.history, superseded{version.Revision, old, version})
	}
	if version.Deleted {
		x.history = append(x.history, superseded{version.Revision, version, version})
	}
	wasLive := found && !old.Deleted
	switch {
	case wasLive && version.Deleted:
		x.live--
	case !wasLive && !version.Deleted:
		x.live++
	}
	if !wasLive {
		return nil
	}
	return old
}

// Advance says that the state has not changed up to a revision.
func (x *Index) Advance(revision int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.revision = max(x.revision, revision)
}

// Get returns a key at a revision, 0 meaning now; nil if it is not there. With it comes the
// revision of the index when it was read.
func (x *Index) Get(key string, revision int64) (*Version, int64) {
	x.mu.RLock()
	newest, _ := x.keys.Get(&Version{Key: key})
	current := x.revision
	x.mu.RUnlock()
	if revision == 0 {
		revision = current
	}
	return newest.at(revision), current
}

// Page is a part of a range.
type Page struct {
	Versions []*Version
	// Count is the number of keys in the whole range.
	Count int64
	// Revision is that of the index when it was read.
	Revision int64
}

// Range returns the keys from start up to end, exclusive, at a revision, 0 meaning now. An
// empty end means to the last key. At most limit versions come back, 0 meaning all; they
// are counted all the same. A negative limit only counts.
func (x *Index) Range(start, end string, limit, revision int64) Page {
	x.mu.Lock()
	keys, page := x.keys.Copy(), Page{Revision: x.revision}
	x.mu.Unlock()
	if revision == 0 {
		revision = page.Revision
	}
	keys.Ascend(&Version{Key: start}, func(newest *Version) bool {
		if end != "" && newest.Key >= end {
			return false
		}
		if version := newest.at(revision); version != nil {
			if limit == 0 || page.Count < limit {
				page.Versions = append(page.Versions, version)
			}
			page.Count++
		}
		return true
	})
	return page
}

// Compact forgets the versions that nobody can see at or after a revision, and returns
// their revisions. A deletion at that very revision stays, for watchers that begin there.
//
// They have to be deleted in the order in which they are returned, here and by later calls:
// a deletion comes after all that it has ended, which would be back without it.
func (x *Index) Compact(revision int64) []int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.compact = max(x.compact, revision)
	var gone []int64
	var kept []superseded
	done := 0
	for ; done < len(x.history) && x.history[done].revision <= revision; done++ {
		entry := x.history[done]
		if entry.old == entry.successor {
			if entry.revision == revision {
				kept = append(kept, entry)
				continue
			}
			// A deletion. If nothing came after it, the key goes.
			if newest, _ := x.keys.Get(entry.old); newest == entry.old {
				x.keys.Delete(entry.old)
			}
			gone = append(gone, entry.old.Revision)
			continue
		}
		entry.successor.cut()
		if !entry.old.Deleted {
			gone = append(gone, entry.old.Revision)
		}
	}
	x.history = append(kept, x.history[done:]...)
	return gone
}
