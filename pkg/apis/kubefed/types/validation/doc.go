// Package validation says what a federated object may hold, one clear sentence for each
// thing that it may not: the field's path, the value, and what is allowed.
//
// It takes objects in the stored shape, v1beta2, and speaks in the words of the version
// that the client used: a write through v1beta1 hears of spec.placement.clusters[0].name.
// The API server's storage strategy and the admission webhook call the same functions.
//
// It checks one object by itself. What needs other objects (targets that exist, tenants,
// the schema of a template) is checked elsewhere, and so is metadata but for the one
// annotation that conversion reserves. Nothing here modifies an object or does I/O; all
// functions may be called concurrently.
package validation
