// Package cellview shows one namespace of a member as if it were a cluster of its own: it maps
// requests of clients of a cell on their way to the member, and the member's answers on their
// way back. docs/cell-endpoint.md is the contract.
//
// A cell is one namespace of one member, shop-rz00a, and is seen under the name of its namespace
// in the host, shop. View.Request maps or refuses a request; the Mapped that it returns says what
// to send, and its Answer maps what comes back. Nothing here sends anything, and nothing runs
// beside the caller: the HTTP part is the proxy's.
//
// What holds:
//
//   - Paths, selectors and bodies that lead out of the namespace are refused, with a Status that
//     names the cell. Lists and watches over all namespaces are narrowed.
//   - Names of namespaces are exchanged at known places only (places.go), and so are two keys of
//     labels (names.go). Both are exchanges, so that a round trip loses nothing.
//   - Requests are read whole, up to MaxBodyBytes. Answers are never: bytes are copied, and single
//     strings replaced. An object of another namespace ends an answer with ErrForeign before
//     any of it is shown.
//   - A mapped body is read by the member as it was read here: API servers take keys as they are
//     written, keys that come twice are mapped each, and YAML is sent on as JSON.
//
// It refuses to judge rights: whoever calls impersonates the client in the member, which
// decides. What is refused here is refused to everybody.
//
// A View is a value and may be used concurrently, as may Mapped and Answer. A writer of answers
// belongs to one answer.
package cellview
