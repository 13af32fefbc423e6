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
//   - An object is read and written only if the hash of its manifest or its version in the
//     member differs from the entry in the status, or labels or annotations of ours are
//     missing there: a restart sends nothing. How it is written says ADR 19.
//   - A write that would take fields from other field managers is left undone where the type or the
//     object says so (conflict.go): see ADR 38.
//   - The status is written by sync alone, once for all targets whose results are there. What it
//     says that the one before did not is told in Events.
//
// What is to be done in a target is a job, a state machine (job.go). Who writes against us in
// a member is answered seldom (fight.go), so is what was done in vain, and what has ended is not made again (ended.go). ADR
// 20 says why. How objects in members begin and end is the user's to say (leaving.go), and what has lost its
// federated object is released (orphans.go); types that are off still let go (paused.go). ADR 37 says why. A cell
// that moves has its objects in more than one place meanwhile (former.go), and leaves the former ones when all that moves with
// it has arrived, which the census of a namespace tells (census.go): see ADR 42.
//
// # Bounds
//
// The queue of objects holds each object once; an executor's queue each of its targets
// once. Both are bounded by the number of stored objects times their targets; a full
// queue is therefore not possible, and adding never blocks. Events of a member have objects
// looked at no more often than pace.go says. In both, namespaces take turns, and
// none has all workers: at most 4 of the 16 or more that sync objects, and 6 of the up to 8 of an
// executor, which has none while it has nothing to do. Every call to a member has a deadline of
// 15 s. Compiled specs are kept up to 64 MiB.
package propagation
