// Package tunnel reaches clusters and nodes that nobody can connect to: behind NAT, behind a firewall, at the end of a
// mobile line. An agent there makes one outgoing connection to each replica of the server, and whoever wants to reach
// something at its end says the name of the cluster or node. It imports nothing of ours, and knows
// nothing of Kubernetes.
//
// # Parts
//
//	mux        many streams on one connection, each with its own flow control: the protocol
//	carrier    the connections for that: direct, or inside WebSocket
//	server     takes the agents' links, and dials by name
//	peers      is how servers hand dials on to each other
//	agent      keeps links to the servers, and dials at its end what its policy allows
//	identity   how certificates are asked for
//	authority  signs them, for tokens and for certificates that are about to end
//	enroll     is how an agent comes by its own and keeps it
//
// # Identities
//
// A link is TLS 1.3 with certificates on both sides, and the protocol koinon-tunnel/1 (ALPN). Whom an agent stands for is in its
// certificate, in one URI:
//
//	koinon-agent:/clusters/CLUSTER
//	koinon-agent:/clusters/CLUSTER/nodes/NODE
//
// and nowhere else: what it says of itself can narrow that, never widen it. Both are names as Kubernetes has them.
// There is no link without a certificate, and no way to switch that off. A certificate with two such URIs, or with
// none, is refused. One that is valid and not allowed any more is told so in the server's HELLO, and the link ends.
//
// Connections that ask for http/1.1 instead need no certificate: on them agents ask for theirs, see package identity, or for a
// WebSocket, in which all this begins again.
//
// # Streams
//
// The server opens streams, agents do not. The request of a stream is
//
//	{"network":"tcp","address":"HOST:PORT","timeoutMillis":5000}
//
// where HOST:PORT may be a word that the agent has an address for: "apiserver" or "kubelet". The agent answers once it
// is connected, or with what hindered it: a code of package mux and a sentence. So who dials learns that a target refused, and not
// that a link broke.
//
// # Several of each
//
// An agent has links to all replicas: it learns of them from NEWS, {"replicas":[{"id":"…","address":"…"}]}, which the server sends
// when a link begins and when they change. A replica that others reach by the common address only has no
// address; the agent dials that one until it has met every id, ever less often. A cluster may have several agents. New streams go
// to the one with the fewest, and to another if that does not answer in time, or does not reach the target; a stream stays where it
// is. A server without a link hands the dial on to one that has one, once: see package peers.
//
// A node is one machine. Of several agents of its name that one is used whose certificate was issued last, and of those with the
// same certificate, such as copies of a disk, the one that came last: agents say in HELLO which process they are. Servers tell each
// other enough to agree on it. The others get nothing new; when they carry nothing they are told why, by NEWS {"refused":"…"}, and try again once a minute.
//
// # Ends
//
// DRAIN, {"untilMillis":…}, says that its sender will go: agents make another link first, servers take other links for new
// streams. What is carried goes on until the link ends. An agent that is told to end refuses streams that are opened all the same (Draining): nothing was
// sent, so that another may be asked, and who asked is told so if there is none. An agent that has a new certificate does the same by itself: it makes another link,
// sends DRAIN on the old one, and ends that when it carries nothing. A link on which nothing comes for fifteen seconds is dead. An agent comes back at once, then after
// 50 ms and more, each time a random part of that: up to 5 s, but up to 1.5 s, or a tenth of how long it has been away, while all that it tries is refused or
// reset. One that waits since it has met only replicas that it knows looks again when it is told of another.
//
// # Bounds
//
//	from a connection to HELLO               10 s, 512 at a time; then whoever has done nothing for 2 s makes room
//	a request by HTTP                        one for each connection; header 8 KiB and 5 s, body 16 KiB and 10 s
//	links of a name with one server          64, unless Config says otherwise
//	streams of a link                        1,000, unless Config says otherwise
//	what a link's streams hold unread        64 MiB beyond 256 KiB each, and together what the server's Budget allows
//	dialing                                  8 s at the server, 5 s at the agent
package tunnel
