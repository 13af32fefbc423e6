// Package history records what clients of a store asked and were told, and what watchers
// saw, and finds what contradicts it. It knows nothing of etcd or of databases, and does no
// I/O.
//
//	var recorder history.Recorder
//	o := recorder.Begin(history.Operation{Kind: history.Create, Key: "a", Value: "v1"})
//	...
//	o.Outcome, o.Revision = history.Done, revision
//	recorder.End(o)
//	report := history.Check(history.History{Operations: recorder.Operations(), Watchers: watchers})
//
// Values are names: no two writes put the same one. A write whose outcome is unknown (a
// timeout, a lost connection) may have happened at any time since, once or never; everything
// else has to fit one order of revisions:
//
//   - each key is a register that is linearizable (linearizable.go, with porcupine);
//   - revisions are unique, grow in real time, and never go back (revisions.go);
//   - all watchers see the same log, in order, whole, and each acknowledged write in it once,
//     with what was there before (log.go, watched.go);
//   - each read is the state at the revision that it names (reads.go).
package history
