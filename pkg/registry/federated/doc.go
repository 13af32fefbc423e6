// Package federated serves the federated kinds: for every FederatedTypeConfig a kind
// Federated<Target> in types.kubefed.io, in both versions, for as long as the
// configuration exists.
//
// One Go type, v1beta2.FederatedObject, stands for all of them, stored and in memory;
// which kind an object is says its TypeMeta. The v1beta1 shape exists only while a
// request is decoded or a response written. Templates stay the bytes they came in.
//
//   - Kind is what a FederatedTypeConfig asks for.
//   - Types is what a runtime.Scheme is for built-in types: it knows which kinds there
//     are, makes and converts objects, and writes them as JSON.
//   - storage.go and strategy.go hold the registry of one kind.
//   - Server puts the registries of all kinds behind one HTTP handler, with discovery
//     and OpenAPI, and replaces them as a whole when the set of kinds changes.
//   - Controller watches FederatedTypeConfigs and tells Server which kinds to serve.
//
// Everything exported may be used concurrently.
package federated
