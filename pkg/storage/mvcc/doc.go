// Package mvcc is the state of a store in memory: every key with its versions since the last
// compaction, in order of keys. It holds no values; whoever needs one asks for it by
// revision.
//
//	index := mvcc.New(tail, compact)
//	index.Apply(version)                   // in order of revisions
//	version := index.Get(key, revision)    // nil: not there
//	page := index.Range(start, end, limit, revision)
//
// It does no I/O. All methods may be called by any number of goroutines. Get and Range see
// whole batches of Apply or nothing of them, and do not hold up writers: a Range reads a copy
// that shares the tree (copy on write), and versions are searched without a lock, in a number
// of steps that is logarithmic in how many a key has.
package mvcc
