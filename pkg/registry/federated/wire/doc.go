// Package wire is how federated objects look to clients and in the store: JSON or YAML, in
// either version, and JSON in v1beta2.
//
// Types is to the federated kinds what a runtime.Scheme is to built-in ones; NewSerializer
// and NewCodec return what the generic API server and the store encode and decode with. Objects
// are written by an encoder of our own, which copies templates byte for byte and converts
// lists item by item.
//
// The package converts and sets defaults by the rules of
// pkg/apis/kubefed/types/conversion; it judges no object. It offers no protobuf.
//
// Everything may be used concurrently.
package wire
