// Package replicas divides the replicas of a federated workload among its targets, as a
// ReplicaSchedulingPreference says, and knows how that is written into the federated object.
//
// Divide is the division itself. Decide says from what was seen of an object and its targets what
// each of them gets, or what to wait for. Write and Withdraw make of that the placement and the
// overrides of the object, and a Record of what was written, so that it can be taken away again.
//
// Everything here is pure: no I/O, no clock, no state, the same input gives the same output, ties go
// by name, and all of it may be called concurrently. Package scheduler looks, and acts.
package replicas
