// Package memberclient talks to one member: it turns a KubeFedCluster and its Secret
// into a connection, and a connection into reads, writes and caches of managed objects.
//
// A Conn is made for one set of credentials and closed when they change; it starts no
// goroutine before Watch. It may be used concurrently. Every call has a deadline, and
// every failure is returned: retrying is the caller's.
//
// # Memory
//
// A cache holds objects with the label kubefed.io/managed=true only, and of these the
// metadata that is compared (names, labels, annotations, generation, resourceVersion),
// which is some 1 KiB each; specs never leave the reflector. Where the type collects
// status, .status is kept too, as bytes; else only metadata is asked for, so specs do not
// even cross the network.
package memberclient
