// Package propagation writes federated objects into members. One engine serves all kinds
// and topologies.
//
// Its unit of work is one object: sync observes (from caches only), decides for each
// target (a pure function, decide), and hands what has to be done to the executor of the
// target's member. An executor decides again for its one target, acts, and has the object
// synced again, which folds the result into the status. So only executors wait for
// members, each for its own one: a member that is slow, unreachable or lacks a type holds
// up nobody else, and results are folded as they come.
//
// What is written, and when:
//
//   - Before the first write to any target the object carries our finalizer, and before
//     the first write to a target status.targets has an entry with a hash. So whatever
//     happens, a deletion knows where to look, and a member without an entry blocks
//     nothing.
//   - A manifest is sent only if its hash or the version of the member's object differs
//     from the entry in the status, or labels or annotations of ours are missing there: a
//     restart sends nothing.
//   - The status is written by sync alone, once for all targets whose results are there.
//
// # Bounds
//
// The queue of objects holds each object once; an executor's queue each of its targets
// once. Both are bounded by the number of stored objects times their targets; a full
// queue is therefore not possible, and adding never blocks. An executor has 8 workers and
// every call to a member has a deadline of 15 s.
package propagation
