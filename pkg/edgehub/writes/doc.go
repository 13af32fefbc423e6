// Package writes answers, while the API server is away, the few writes and questions of a node that can be answered truly, and leaves the rest an error.
//
// A faked success is worse than an error: whoever is told that something is written does not write it again. So each of these is answered because it is true:
//
//   - A Lease of the node is the node's own sign of life, which nobody reads here. It is answered with the resourceVersion that upstream gave it last: the first renewal after
//     the return is a real one, and is refused as any other if somebody else has written it.
//   - Registration of the node is answered with AlreadyExists, if it is known to exist.
//   - The node's status is answered with the node as it would be, and not kept: kubelet compares with what it reads, and sends it until it reads it.
//   - Events, and flannel's annotations of its node, are kept on disk, and written when the API server is back, in their order, by whoever wrote them, and only on the object
//     that was meant, by its UID.
//   - A TokenRequest is answered with the token that was issued last for the same pod, to be asked for again soon.
//   - TokenReview and SubjectAccessReview of the node are answered with what the API server said last.
//
// Everything else that writes is ServiceUnavailable, and may be tried again. While the API server answers, everything goes there, and what it says is noted.
package writes
