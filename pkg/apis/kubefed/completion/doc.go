// Package completion says when an object in a member has ended: it ran, and is not to run
// again because somebody, such as its TTL, removed it.
//
// Jobs and Pods have rules of their own. Every other type ends if its FederatedTypeConfig has
// spec.runToCompletion, an expression in CEL that is given the object as self, the way
// validation rules of CustomResourceDefinitions are. The language is that of CEL with optional
// values (self.?status.phase), and numbers of any type compare. The libraries that API servers
// add are not there: what they cost is bounded by code that only API servers link, and this
// package is for clients, too.
//
// Objects come from members, which are not trusted, so an evaluation may cost no more than
// CostLimit, nor take longer than two seconds. Whatever goes wrong in one means that the object has not ended: the worst that
// follows is that it runs again, which is what happens without a rule.
//
// Packages health and retain have their expressions compiled here too: Predicate, Text and Condition.
//
// Rules are made once for a type, and may be used concurrently. The package does no I/O.
package completion
