// Package engine is a store with revisions, watches and compaction, as etcd has them, over a
// log that several processes share (package sqllog). It implements the Backend of Kine,
// whose server puts etcd's API in front of it.
//
//	engine, err := engine.Open(ctx, log, engine.Options{})
//	...
//	defer engine.Close()
//
// The state is in memory: package mvcc has the keys, a bounded cache the values. The way of
// a write: writer.go collects what waits, decide.go (pure) compares it with the state, the
// log takes it or says what was missed, and state.go applies what was committed. The way of
// a read: sync.go asks the log how far it is, once for all that wait, and reads what other
// processes have written. watch.go hands out events from a ring in memory, or from the log.
//
// When the database does not answer, requests wait for it for a few seconds (Patience),
// then they and all later ones fail at once, with gRPC's code Unavailable and one sentence,
// until a probe succeeds: health.go. A write that failed so may have been done all the
// same, as with etcd.
//
// What it refuses to do: it knows no etcd transactions beyond those that API servers send,
// and grants no leases with an identity of their own: a lease is a lifetime in seconds.
//
// All methods may be called by any number of goroutines.
package engine
