// Package scheduler does what ReplicaSchedulingPreferences say: it writes into a FederatedDeployment or
// FederatedReplicaSet where it is placed, and with how many replicas.
//
// Its unit of work is one federated object, whether it has a preference or not: what was written for a
// preference that is gone is found by the object's own record and taken back. A sync looks (see.go),
// has package replicas decide, and writes with one conditional patch under a field manager of its own (act.go).
// What runs in members is read beside that (read.go): a sync never waits for a member. What was not
// read keeps what it has.
//
// It refuses to write into objects that leave replicas to their members, and it leaves it to the engine
// what is done in members: the mask, tenants and namespaces are its business.
//
// Bounds: the queue holds each object once. A member is read by at most 2 goroutines at a time, each target once
// in 30 s unless a decision waits for it, and its pods once in 30 s. Of a target that runs all that
// it should nothing is read again before its object has changed there.
package scheduler
