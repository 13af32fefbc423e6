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
// A digest is the XOR of the first eight bytes of the SHA-256 of each name's entry as JSON, in hexadecimal.
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
//	names of a server       100,000, and 64 agents of each
//	streams of a link       10,000, and what they hold unread as for agents
//	a report                20,000 agents, 8 MiB; the timeout that it says, at most 10 s
//	connecting              10 s; again after 50 ms and more, up to 5 s, each time a random part of that
package peers
