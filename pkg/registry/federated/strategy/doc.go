// Package strategy is the registry of one federated kind: what is kept, refused and warned
// about when an object, its status or its scale is written, and what "kubectl get" prints.
//
// NewStorage returns the REST storage. The rules about objects are pure functions of
// pkg/apis/kubefed/types; here they are called with what only a request knows: the version
// that the client speaks, its wish for field validation, and through a PlacementChecker the
// targets that there are.
//
// Everything may be used concurrently.
package strategy
