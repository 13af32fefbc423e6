// Package serving answers everything below /apis/types.kubefed.io.
//
//   - Server puts the registries of all kinds behind one HTTP handler, with discovery
//     and OpenAPI, and replaces them as a whole when the set of kinds changes.
//   - Controller watches FederatedTypeConfigs and tells Server which kinds to serve.
//
// It authenticates and authorizes nobody: that happens before Server is reached. Objects of
// kinds that are no longer served stay in the store.
//
// Everything exported may be used concurrently.
package serving
