// Package openapi describes the federated kinds: to clients, in documents of OpenAPI v2 and
// v3, and to server-side apply, which merges inside templates by the list keys of the target
// kind.
//
// Models are the definitions of a set of kinds. They are made anew when the set or a schema
// changes, and only when somebody asks: an idle server needs none. Routes have to be made
// with NewRouteSample for their objects, so that each kind finds its own model although
// there is one Go type for all.
//
// Everything may be used concurrently.
package openapi
