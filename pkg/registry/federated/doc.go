// Package federated says what a federated kind is: for every FederatedTypeConfig a kind
// Federated<Target> in types.kubefed.io, in both versions, for as long as the
// configuration exists. It serves nothing; the packages below it do, each of which imports
// only those above it:
//
//   - wire is how objects look to clients and in the store.
//   - schema knows the schemas of target kinds, and compares templates with them.
//   - openapi describes the kinds to clients, and to server-side apply.
//   - ownership keeps track of who owns which fields, through both versions.
//   - strategy is what happens to an object of one kind when it is written, and its REST
//     storage.
//   - serving puts all kinds behind one HTTP handler, and follows the
//     FederatedTypeConfigs.
//
// wire and schema do not know each other.
//
// One Go type, v1beta2.FederatedObject, stands for all kinds, stored and in memory; which
// kind an object is says its TypeMeta. The v1beta1 shape exists only while a request is
// decoded or a response written. Templates stay the bytes they came in.
//
// Everything may be used concurrently.
package federated
