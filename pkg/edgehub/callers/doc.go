// Package callers knows who makes a request of the hub, and what he may, with and without the cloud.
//
// There are two kinds of caller. Local is whoever has a client certificate of the hub's own authority: kubelet, which is root on the node as the hub is, and
// could read the hub's disk. A pod is who its service account token says: the API server is asked (TokenReview), and it is asked what he may
// (SubjectAccessReview), both as the node, which may ask that. Nobody becomes the node, or anybody else, by what he leaves out: without a token he is nobody, as
// for an API server.
//
// While the API server is away, a token is whose it was when the API server said so last, or when it issued the token to this node's kubelet, though it has expired since: nobody
// can renew it. What somebody may is what the API server said last. What it was never asked is unknown, which is no yes and no no: ErrAway. Tokens are kept
// by their SHA-256; only those that kubelet was given are kept whole, as it has to be given them again.
//
// Everything may be called concurrently.
package callers
