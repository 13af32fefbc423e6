// Package placement says which targets a federated object has: placement ∩ mask ∩
// tenant. It is pure: it gets every candidate handed in, does no I/O and keeps no state,
// so all of it may be called concurrently.
//
// It refuses to guess. A name that leads nowhere is a target in state NotFound, not an
// error and not a shorter list; a selector that does not parse is an error.
package placement
