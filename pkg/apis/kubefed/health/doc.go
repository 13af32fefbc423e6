// Package health says how an object in a member is: one word, a short sentence if it is not
// healthy, and numbers of replicas where it has any.
//
// The rules per kind are those of kstatus, as kpt and Flux have them: what controllers write into
// status of the built-in workloads, and the conditions Ready, Reconciling and Stalled of all others. An
// object whose spec has it wait is Suspended, which kstatus does not know. A FederatedTypeConfig may
// say otherwise of its type, by expressions in CEL: see v1beta1.HealthRule, and package completion,
// in whose environment, and at whose cost at most, they run.
//
// An object is never called healthy for what was seen of an earlier generation of it: one whose
// status.observedGeneration is not its generation is Progressing.
//
// Objects come from members, which are not trusted: whatever is wrong with one makes it Unknown, and
// what a summary takes is bounded whatever the object is. The same object gives the same summary at
// any time.
//
// Rules are made once for a type, and may be used concurrently. The package does no I/O.
package health
