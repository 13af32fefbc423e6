// Package placement says which targets a federated object has: placement ∩ mask ∩
// tenant, as far as the FederatedNamespace of its namespace goes. It is pure: it gets every candidate handed in, does no I/O and keeps no state,
// so all of it may be called concurrently. The engine asks it, and the endpoint of a cell for what a
// controller that knows no mask may write.
//
// It refuses to guess. A name that leads nowhere is a target in state NotFound, not an
// error and not a shorter list; a selector that does not parse is an error.
package placement
