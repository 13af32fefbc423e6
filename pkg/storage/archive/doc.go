// Package archive copies everything that a store holds, at one revision: into a file, out of
// a file, or from one store to another. What is copied from is a Source, what it is copied
// into a Sink; Copy does it.
//
//	source, err := archive.FromLog(ctx, log, nil)
//	...
//	defer source.Close()
//	sink, err := archive.ToFile("backup", archive.HeaderOf(source, "v1"))
//	...
//	defer sink.Close()
//	err = archive.Copy(ctx, source, sink, nil)
//
// A sink is all or nothing: until its Commit, nobody sees anything of what was added, and
// what was there before is untouched. The one exception is etcd, which has nothing to make
// that so; see ToEtcd.
//
// # The file
//
// A file is a gzip stream (RFC 1952) of lines, each of which is one JSON object in UTF-8 and
// a line feed. The first line is the header:
//
//	{"format":"koinon-datastore","version":1,"revision":4711,"keys":2,
//	 "created":"2026-01-02T15:04:05Z","software":"v1.2.3","source":"mysql"}
//
//	format     always "koinon-datastore"
//	version    the version of the format; it changes with any change of it
//	revision   the revision that the contents are of
//	keys       how many there are
//	created    when the file was begun (RFC 3339, UTC)
//	software   the release that wrote it
//	source     what kind of store it is from: sqlite, mysql, etcd or kine
//
// (it is one line; it is broken here to be read). One line for each key follows, in the
// order of "mod", which differs for all of them:
//
//	{"key":"L3JlZ2lzdHJ5L2E=","value":"ewB9","create":12,"mod":4711,"version":3,"lease":3600}
//
//	key        the key, base64 (RFC 4648, section 4), at least one byte
//	value      the value, base64; it may be empty
//	create     the revision that created the key
//	mod        the revision of this version; not above the header's revision
//	version    how many versions the key has had since it was created; from 1
//	lease      the lifetime of the key from when it was written, in seconds; left out if the
//	           key has no lease
//
// The last line says what all that should have come to:
//
//	{"end":true,"keys":2,"bytes":28,"sha256":"…"}
//
//	keys       as in the header
//	bytes      of all keys and values together
//	sha256     of all bytes of the stream before this line, in lower case hexadecimal
//
// No line has more than 64 MiB. Nothing follows the last line, nor the gzip stream. A reader
// refuses everything else, other fields included.
//
// Values are as they are in the store: what an API server encrypts is encrypted in the file,
// and nothing else is. Files are readable for their owner only.
//
// Nothing in this package may be used by several goroutines at once, but for Progress.
package archive
