// Package proxy serves the subresources through which clients reach members: clusters/NAME/proxy
// is one member's whole API, as the member has it; cells/CELL/proxy one cell as a cluster of its
// own (package cellview); fleets/all/proxy all members at once (package fleet).
//
// The caller is authorized here by the resource, its name and the verb of his request, and in the
// member once more, by what that allows him: package links has him impersonated there. Package
// relay carries requests on.
//
// These requests are not like others of the API server: they go on for hours, change their
// protocol, and their query is the member's. Front must stand between the chain of filters and the
// API's handlers; see there. All of it may be used concurrently.
package proxy
