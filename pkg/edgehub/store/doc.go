// Package store keeps on disk what views of an API server's objects are: all of a view as it was at some moment, or nothing of it.
//
// # What is promised
//
// After Apply has returned nil, what it was given survives kill -9 and a power cut, and so does what there was before while it has not: a crash at any
// moment leaves, for all views of one Apply together, the state before or the state after. An Apply that fails, as on a full disk, changes nothing, and may be
// tried again.
//
// What the disk gives back is checked: each object by a checksum, each view by a digest over its objects, all views by one over their names. What does not agree is not
// returned: the view is then among Damage, as if nobody had ever asked for it, and the others are written to a new file. The old one stays beside it, as NAME.damaged. What is
// found when something is written is ErrDamaged.
//
// A file that cannot be written, as of a file system that is read-only, is read all the same; Apply fails until it can be.
//
// # File
//
// One SQLite database, NAME, with its write-ahead log, NAME-wal; user_version is the format, 1.
//
//	meta(key, value)                 cluster: whatever says which cluster this is of; views: how many there are, and the digest of their names
//	views(id, name, kind, version, count, digest, sum)
//	                                 count and digest are of the view's objects, sum is the digest of the rest of the row
//	objects(id, kind, name, version, sum, body)
//	                                 one for all views that have it; sum is CRC-32C of the body
//	members(view, name, object)      which view has which
//
// A digest is the sum, modulo 2^64, of the first eight bytes of SHA-256 of each thing.
//
// A Store may be used concurrently; changes are made one after the other.
package store
