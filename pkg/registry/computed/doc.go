// Package computed serves kinds of which objects are computed from federated objects when somebody
// reads them, beside those that are stored: PropagatedVersions, ClusterPropagatedVersions and
// FederatedServiceStatuses. One that is stored wins over one of the same name that is computed. Writes
// and deletions are of stored ones alone (ADR 35).
//
//	storage := computed.New(stored, computed.Kind[*v1alpha1.PropagatedVersion]{...}, view)
//
// A list has the resource version from which a watch goes on without a gap, and a watch can be resumed
// from the version of every event and bookmark. That takes one order of what happens to all
// federated kinds and to what is stored. Watch caches have an order each, so a watch is of the
// store itself: one for all watches of a kind, while there are any. What it computes goes into a
// log of bounded size that all watches read; a watch has one goroutine, and no copy of it. See ADR 46.
//
// Everything may be called concurrently.
package computed
