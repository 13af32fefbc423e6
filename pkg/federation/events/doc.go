// Package events tells people what happens to federated objects and to clusters, in Events of
// core/v1 in the host.
//
//	happened := events.Transitions(stored, written, orphaned) // pure: nothing new, nothing told
//	recorder.Record(about, happened...)                       // does not block
//
// Events are transitions between two statuses that were stored one after the other, and say no
// more than those: a restart tells nothing, and what cannot be read in a status is not in an Event
// either. One Event speaks of all targets of an object to which the same has happened.
//
// What is written is bounded for each object and in all; what is above that is dropped. An Event is
// a hint, the status is what is true.
//
// All of it may be called concurrently.
package events
