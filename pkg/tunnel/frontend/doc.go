// Package frontend lets programs that know nothing of the tunnel connect through it: HTTP CONNECT here, and
// konnectivity's gRPC in package konnectivity. It decides whose agent is asked for what, who may, and how much
// at once, and carries bytes without looking at them.
//
// It terminates nothing: TLS between a client and its target passes through, and so do their credentials. It
// does not repeat anything either: what could not be connected is answered, once.
//
// # Doors
//
// A listener is served as a Door. A Unix socket says who its clients are: who may open the file may use it. Any other
// listener has TLS 1.2 or later with client certificates, always: there is no way to leave that out.
//
// # Whose agent
//
// What comes first fixes the name, or a part of it; what follows can narrow it and never widen it:
//
//  1. the door: Door.Client.Within, one listener per cluster or node
//  2. the certificate: what Policy.Client returns for it
//  3. the headers Koinon-Cluster and Koinon-Node, of clients that can send some; the user of a proxy's URL, https://CLUSTER@PROXY, which
//     comes as Proxy-Authorization without a password, is as Koinon-Cluster
//  4. the host of the target, if it ends with the suffix of Config: [NODE.]CLUSTER.SUFFIX. CLUSTER is the one that is
//     fixed, or else one label; a cluster whose name has dots is fixed in another way
//  5. the host of the target, if it is no address, and a node of that name is known in the cluster that is fixed
//
// One that contradicts what is before it is answered with 403. If there is no cluster then, the answer is 400. Addresses never say
// whose agent: they are the same in many clusters.
//
// # What is dialed there
//
// The target of the request alone counts; what the header Host says does not. It is HOST:PORT, and the first of these that it is:
//
//	NODE.CLUSTER.SUFFIX or the node that is fixed, port 10250      the word "kubelet" of package tunnel
//	NODE.CLUSTER.SUFFIX or the node that is fixed, another port    127.0.0.1 at the node's agent, as far as its policy goes
//	CLUSTER.SUFFIX, port 443 or 6443                               the word "apiserver"
//	kubernetes.default.svc[.cluster.local]:443                     the word "apiserver": certificates of API servers have these names
//	apiserver:443, kubelet:10250                                   the words
//	NODE, any port                                                 as with the suffix, if there is such a node and no other is fixed
//	anything else                                                  as it is, at the agent
//
// Then Policy.Allow is asked, within the limits of the tenant, and if it agrees Policy.Known: who may not reach a name does not learn whether there is one.
// So it is with a host that may be a node or not: a client that may not reach it as a node is refused, in the same words whether there is one. If it may, and there
// is none, it is asked whether it may reach it as a host, and if not, the answer is that no agent of the node is connected.
//
// # CONNECT
//
// A connection carries one request. Its head has at most 8 KiB and 64 headers, and five seconds from the connection
// on; while 512 connections of a listener have not sent theirs, the next one takes the place of the one that has been silent longest. Nothing may come behind it before the answer. The answer comes within the connect timeout; who closes while it is waited for
// cancels what is dialed. It is 200 alone, and nothing else is in what the client reads with it; or
//
//	400  not a request as it should be, a bad target, bytes before the answer, no cluster
//	403  the door, the certificate or the policy does not allow the name or the address, or the agent's policy does not
//	404  there is no such cluster
//	405  another method than CONNECT
//	408  the head did not come in time
//	429  a limit; Retry-After
//	431  the head is too long
//	502  the target refused, or cannot be reached
//	503  no agent is connected, or it was lost meanwhile; so is said of nodes that there are not: a node is known by its agent; Retry-After
//	504  no answer in time
//
// Heads are as RFC 9112 has them, and what it leaves to servers is refused: two readers that differ are how requests are smuggled. The answer is 400 for
//
//	lines that end with a line feed alone, a carriage return alone, an empty line before the request
//	a header that is continued on the next line (obs-fold), a space before the colon, NUL and other control characters but tabs
//	HTTP/1.1 without Host; two Hosts; a Host that is empty, or neither HOST nor HOST:PORT
//	Transfer-Encoding; Content-Length, unless it is 0, which some Windows clients send
//	two of a header that is read
//
// Host need not be the target: kube-apiserver sends 127.0.0.1 for all. HTTP/1.0 is taken, without Host as well: older clients send that.
//
// An answer that is not 200 comes with one sentence, which is the reason in the status line, too: Go's clients show nothing else.
//
// # Ends
//
// Each direction ends by itself. What a client sent before he closed is delivered while somebody takes it: see
// package mux. A client that resets resets the target, and the other way round as far as the kind of socket has resets.
//
// # Limits
//
// Names and tenants have limits, and not addresses: what is carried at once, dials that wait and dials in a second are refused with 429; bytes in a
// second wait where they are, at the client or the target, and take no memory but the stream's window. Where a link is too narrow, tenants share it by their
// weights. What the server dials itself
// counts for none of them, and has streams of each link that front ends leave to it: see tunnel.Shared.
//
// # Memory
//
// A carried connection that is idle has two goroutines and no buffers.
package frontend
