// Package peers is how servers of the tunnel know each other's agents, and hand a dial on: once.
//
// # Links
//
// Each server makes one link to each other, and asks over it; what comes over a link that another has made is answered. So
// there are two for each pair, one in each direction. A link is TLS 1.3 on the port of agents with the protocol koinon-tunnel-server/1 (ALPN), and on both
// sides a certificate with the one URI
//
//	koinon-server:/ID
//
// which is signed by the authority of agents, whose key all servers have. Who makes the link knows from the Lease which ID has to
// answer. An agent's certificate is refused there, and a server's on a link of an agent. In the TLS there is the protocol of package mux. HELLO has {"id":"…"}.
// DRAIN says that its sender will go: others are asked first. A second link from the same ID ends the first.
//
// # Requests
//
// A stream is for one of these. What is not known is refused with the code Violated.
//
//	{"dial":{"cluster":"m1","node":"n1","network":"tcp","address":"apiserver","timeoutMillis":5000}}
//	{"names":{}}
//	{"report":{"cluster":"m1","node":"","probe":true,"timeoutMillis":5000}}
//
// dial: the receiver dials over a link that an agent has with it, and in no other way: what was handed on is never handed on again. The
// answer is that of the agent, code and text, or Absent if there is no agent, or Broken if its link was lost meanwhile. Then the
// stream is joined with the agent's: ends, resets and their reasons pass, and each side of both links has its own flow control.
//
// report is answered by one message, tunnel.Report, of what the receiver itself sees.
//
// # Names
//
// names is answered by messages for as long as the stream lasts. A message is its length in bytes (4, big-endian), and JSON of at
// most 256 KiB:
//
//	{"sequence":1,"set":[{"cluster":"m1","agents":["5f0c…"]},{"cluster":"m1","node":"n1","agents":["77aa…"]}],"more":true}
//	{"sequence":2,"set":[{"cluster":"m2","agents":["91bd…"]}],"digest":"…","count":3}
//	{"sequence":3,"set":[{"cluster":"m1"}],"digest":"…","count":2}
//
// At first all names come, then those that have changed, each with all agents that it has now; one without has none any more. Between
// messages, a name that changes twice is sent once: what waits is bounded by the names that there are. sequence counts from 1, with no
// gap. A message that is not followed at once by another (more) has the count of names and a digest of what its reader has to have by then; there
// is one every thirty seconds although nothing changed. A reader that finds another count, digest or sequence than it expects asks anew. What it has learned belongs to the link and goes with it at once, so
// that a server which came back, or was replaced, is not asked for what it had before.
//
// A digest is the XOR of the first eight bytes of the SHA-256 of each name's entry as JSON, in hexadecimal, of its members cluster, node and agents only: a
// reader that does not know others comes to the same.
//
// # The newest agent of a node
//
// Of the agents of a node one is used, at whichever servers they are. So the entry of a node has how its agent stands:
//
//	{"cluster":"m1","node":"n1","agents":["77aa…"],"issued":1764473646,"came":1764473651204,"beat":["5f0c…"]}
//
// issued is when the agent's certificate was issued, in seconds since 1970; came is when the agent did, in milliseconds; beat are the instances
// that it has come after, the last first. Of two agents that one is the node whose certificate was issued later; with the same one, such as copies of a disk,
// the one that has beat the other, if not both have; else the one that came later, and at last the one whose instance is the greater text. A server that
// hears of a better one treats its own as if that had come to itself: it gets nothing new, and is told why when it carries nothing. A server that
// hears of a worse one adds it to beat. So clocks do not matter where a server knew of the first when the second came: that one's came is later
// than any that is known. When the better one is gone, or its server, the next is used again. An entry without issued, of a server that does not know of this, is
// compared with none; nor is one of several agents.
//
// # Trust
//
// Servers trust each other. One that says that it has agents which it has not is handed connections, as it would be if it were
// the server that the client had reached: what is between a client and a member's API server is TLS in any case. Who has
// the key of the authority can be any agent anyway.
//
// # Bounds
//
//	servers                 64 links in each direction
//	names of a server       100,000, and 64 agents of each; beat 16
//	streams of a link       10,000, and what they hold unread as for agents
//	a report                20,000 agents, 8 MiB; the timeout that it says, at most 10 s
//	connecting              10 s; again after 50 ms and more, up to 5 s, each time a random part of that
package peers
