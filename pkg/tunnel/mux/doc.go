// Package mux carries many streams, each with its own flow control, over one connection: a stream
// whose reader stalls holds up nobody else. It knows nothing of names, certificates or targets; those
// are its users', in package tunnel and below.
//
// # Frames
//
// A connection carries frames in both directions. A frame is a header of eight bytes and a
// payload; numbers are big-endian:
//
//	0      1      2             4                           8
//	| type | flags | length      | stream                    | payload …
//
// length is that of the payload in bytes. stream is 0 for frames of the link itself.
//
//	type      payload                          bytes at most   stream
//	0 HELLO   JSON: see Hello                  4096            0
//	1 OPEN    window (4), then JSON            4 + 4096        new
//	2 RESULT  code (2), window (4), text       6 + 1024        opened
//	3 DATA    bytes of the stream              32768           open
//	4 FIN     none                             0               open
//	5 RESET   code (2), text                   2 + 1024        open
//	6 CREDIT  bytes (4)                        4               open
//	7 RETURN  bytes (4)                        4               open
//	8 PING    any                              8               0
//	9 PONG    that of the PING                 8               0
//	10 DRAIN  JSON                             4096            0
//	11 NEWS   JSON                             16384           0
//
// Of a type that a receiver does not know it skips the payload if the flag 0x80 is set, and ends the
// link if not. A payload that is longer than this table says, or shorter than its fixed part, ends the link.
//
// # Link
//
// Each side sends HELLO first, and nothing of it is believed before the other's has come: within ten
// seconds. What the two do not have in common of the features is not used. A PING is answered at
// once; of several that have not been answered the last is. Each side sends one every five seconds, and ends a
// link on which nothing has come for fifteen: both are set by Config.
//
// DRAIN says that its sender wants no more streams, and until when those that are open may go on;
// others may still be opened by its sender. NEWS are what the users of this package tell each other.
//
// # Streams
//
// The side that accepted the connection opens streams with odd numbers, the one that made it with even ones,
// each in rising order; no number is used twice on a link. OPEN says what for, RESULT whether that is so:
// code 0, or one of Code. Until then neither side sends DATA.
//
// FIN ends one direction; the other goes on. With the flag 0x01 its sender does not read any more either, and has
// forgotten the stream: what comes for it later is dropped. Everything before it is delivered. Who has sent FIN without it
// may send another with it.
// RESET ends a stream at once, whatever is under way, and says why. After FIN or RESET no DATA follows from the
// same side.
//
// # Credit
//
// Who opens a stream gives its peer credit with OPEN, and gets some with RESULT: so many bytes of DATA
// may be sent. CREDIT gives more, once bytes have left the receiver's hands: were read by its
// program or written to their destination. There is no credit for the link as a whole, which unread
// streams could use up. Who sends more than he may, has the stream reset.
//
// A receiver begins with 256 KiB, or 64 KiB when memory is tight, and doubles what it has outstanding, up
// to 16 MiB, when a quarter of that is used up in less than half a round trip: then it is the
// credit that is waited for, not the sender. What is more than at first comes from a Budget. A sender that was
// idle for ten seconds gives back what it has beyond the first with RETURN.
//
// # Order
//
// What is to be sent is taken in turns: first frames without DATA, then at most 32,760 bytes of a stream that has
// bytes and credit. Streams belong to shares, which each side decides for what it sends: the share is next that has sent least for its
// weight, and of its streams the one that waits longest. Frames of one stream keep their order. What a write hands over is copied into the
// connection's batch and nowhere else, and the write returns then: streams hold nothing to be sent.
//
// A Session and its Streams may be used concurrently; of one Stream one Read and one Write at a time, as of
// any net.Conn.
package mux
