// Package memberclient talks to one member: it turns a KubeFedCluster and its Secret
// into a connection, and a connection into reads, writes and caches of managed objects.
//
// A member is not trusted with more than the objects that it is sent: its redirects are
// refused, its answers have bounds, its lists and watches a pace, and what it says is cut
// before it is stored. These bounds are in the configuration that Config returns, and in
// transport.go, list.go, watch.go and store.go. A member that goes beyond them fails, alone.
//
// A Conn is made for one set of credentials and closed when they change; it starts no
// goroutine before Watch. It may be used concurrently. Every call has a deadline, and
// every failure is returned: retrying is the caller's.
//
// # What a cache knows
//
// A cache holds what lists and watches have shown and, where our own writes are newer, what
// the member answered to them. Neither is believed for ever: see upkeep.go. What was
// not seen is not known: an absent object may have been deleted while nobody watched
// (SeenDeleted), and a type that is not served may have objects all the same (Vanished).
//
// # Memory
//
// A cache holds objects with the label kubefed.io/managed=true only, and of these the
// metadata that is compared (names, labels, annotations, generation, resourceVersion),
// which is some 1 KiB each; of a list or a watch, no more than one object is decoded at a time.
// Where the type collects status, .status is kept too, as bytes; where its objects may end,
// they are decoded as a whole and only that is kept; else only metadata is asked for, so
// specs do not even cross the network. All caches of one member hold 256 MiB together, at
// most. BenchmarkIdleMember measures what one costs that does nothing.
package memberclient
