// Package notice lets the processes that share a database tell one another that they have
// written, so that none has to ask the database all the time.
//
// A notice is a datagram over UDP, 44 bytes: "KN1" and a byte 0, then in network byte order
// the sender (8), its revision (8) and the number of the datagram (8), and the first 16
// bytes of an HMAC-SHA256 over all that, with the secret that the processes have from the
// database. It holds nothing of what was written. Whoever repeats an old one makes the
// receiver ask the database once; nobody else can.
//
// The addresses are in the database: each process announces the one under which its
// connection reaches the database, and a port that the system picks. Where datagrams do not
// arrive, because of a firewall, the receiver has to ask the database often instead.
//
// A Network may be used by any number of goroutines.
package notice
