// Package sqllog is a log of revisions in a SQL database that several processes share:
// SQLite, or MySQL and what speaks its protocol (MariaDB, Galera, OceanBase, TiDB).
//
//	koinon_meta   id = 1: layout, tail, op, compact, epoch, base, staging, compacted, probe, secret
//	koinon_log    rev (primary key): name, create_rev, version, lease, expires, deleted, op, value
//	koinon_peer   the processes that use the database, and where to notify them
//
// What the log holds are the rows above base, up to tail. Those up to base were replaced, by
// a restore, and are void; those above tail were never committed to. Both may be deleted at
// any time: the ones above tail are what a restore has prepared (staging names it), or left
// behind when it was interrupted, and an append that comes to them puts its own in their
// place.
//
// A process appends after the tail that it knows. The lock of the one row of koinon_meta is
// what orders processes, so revisions are dense and are committed in their order; an append
// on a tail that is out of date does not happen, and learns what it missed instead.
//
// Nothing is ever searched by name: names are bytes that only the caller understands. Rows
// are found by revision alone, and the only deletions are those of a compaction or restore.
//
// Snapshot reads all of it at one revision, while others write. Replace puts something else
// in its place.
//
// What it refuses to do: it does not retry, does not cache, and does not interpret what it
// stores. An error of Append does not mean that nothing was appended; the operations' ids in
// the log tell, once an Append succeeds again. No error holds a data source name.
//
// A Log may be used by any number of goroutines.
package sqllog
